"""From the model's socket to the reader's program: Inkwire beside a direct pass-through, in one run.

    python -m benchmarks.latency                      the two loads of benchmarks/README.md
    python -m benchmarks.latency --rounds 1 --loads 4x50

Both ways get the same streams from the same provider process (see clock_provider.py), in turns; readers of both live
in this one process. A delta's latency is the time from its write at the provider to the moment the reader's program
has the frame that holds it; of merged chunks every delta counts. Every delta ever written must arrive exactly once.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from nats.aio.msg import Msg
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks import rig as rigs
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import new_id
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import H_MSG_ID, JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.events import RequestedData

STAMP = re.compile(rb"~(\d{16})~")
OWNER = "bench"
CALLS_BESIDE_SECTIONS = 2  # introduction and closing
WARM_UP_S = 1.0
ROUND_TIMEOUT_S = 300.0
PAUSE_S = 1.0
QUIET_CHECKS = 60
SAMPLE_S = 0.5
IDLE_PERCENT = 10
"""What our own processes use while nothing is written."""


@dataclass
class Reader:
    """What one reader saw."""

    stamps: list[int] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    frames_ns: list[int] = field(default_factory=list)
    """When each frame that held text came."""
    caught_up: list[int] = field(default_factory=list)
    """Stamps that came as text of a snapshot: they count as delivered, not as latency."""

    def take(self, data: bytes, now_ns: int) -> None:
        """A frame of live text."""
        found = STAMP.findall(data)
        if found:
            self.frames_ns.append(now_ns)
            self.stamps.extend(map(int, found))
            self.received_ns.extend([now_ns] * len(found))

    def latencies_ms(self, begin_ns: int = 0, end_ns: int = 2**63) -> list[float]:
        """Of the deltas written in a span of time."""
        pairs = zip(self.stamps, self.received_ns, strict=True)
        return [(received_ns - stamp) / 1e6 for stamp, received_ns in pairs if begin_ns <= stamp < end_ns]

    def clear(self) -> None:
        """Begin again."""
        for seen in (self.stamps, self.received_ns, self.frames_ns, self.caught_up):
            seen.clear()


@dataclass
class Result:
    """One round of one way."""

    way: str
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    chunks_per_s: float
    frames_per_delta: float
    deltas: int
    lost: int
    doubled: int
    provider_late_p99_ms: float
    fsync_p50_ms: float
    fsync_p99_ms: float
    """What the broker's disk took to keep 400 bytes, just before the round."""
    cpu_percent: dict[str, float] = field(default_factory=dict)
    """Of one core, while all streams ran."""
    cpu_us: dict[str, float] = field(default_factory=dict)
    """Processor time for each delta, while all streams ran."""
    others_percent: float = 0.0
    """What everything else on the machine used meanwhile, in percent of one core."""
    stored_p50_ms: float = 0.0
    stored_p99_ms: float = 0.0
    """From the provider to the broker's copy of what it has stored, where that was followed (``--stages``)."""


@dataclass(frozen=True)
class Usage:
    """Processor time used so far, in seconds: by each of our processes, and by everything."""

    at_ns: int
    ours_s: dict[str, float]
    machine_s: float

    @classmethod
    def now(cls, rig: rigs.Rig) -> "Usage":
        """What is used until now."""
        return cls(time.monotonic_ns(), rig.cpu_s(), rigs.machine_busy_s())


def percentile(ordered: list[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Bench:
    """Rounds on a running rig."""

    def __init__(self, rig: rigs.Rig, log: EventLog, session: aiohttp.ClientSession, sections: int) -> None:
        self._rig = rig
        self._log = log
        self._session = session
        self._calls = sections + CALLS_BESIDE_SECTIONS
        self._keys = KeyRing.parse(rigs.JWT_KEYS, "inkwire")
        self._stored = Reader()

    async def follow_broker(self) -> None:
        """See each event when the broker hands it on, beside the readers."""

        async def take(msg: Msg) -> None:
            self._stored.take(msg.data, time.monotonic_ns())

        await self._log.jetstream.client.subscribe(subjects.live(f"posts.{OWNER}.*.chunk"), cb=take)

    async def round(self, way: str, posts: int, rate_per_s: float, deltas: int, seed: int) -> Result:
        """One round: begin, read all streams to their ends, compare."""
        body = {"rate_per_s": rate_per_s, "deltas": deltas, "seed": seed, "together": posts}
        async with self._session.post(f"{self._rig.provider_url}/round", json=body) as answer:
            answer.raise_for_status()
        ways: dict[str, Callable[[int], Coroutine[Any, Any, list[Reader]]]] = {
            "inkwire": self._inkwire,
            "pass-through": self._passthrough,
        }
        self._stored.clear()
        fsync_ms = rigs.fsync_ms(self._rig.folder)
        gc.collect()
        gc.freeze()
        usage = [Usage.now(self._rig)]
        async with asyncio.timeout(ROUND_TIMEOUT_S), self._sampled(usage):
            readers = await ways[way](posts)
        async with self._session.get(f"{self._rig.provider_url}/round") as answer:
            written = await answer.json()
        begin_ns, end_ns = _span(readers)
        result = _result(way, readers, written, begin_ns, end_ns, fsync_ms)
        _charge(result, usage, begin_ns, end_ns)
        if stored := sorted(self._stored.latencies_ms()):
            result.stored_p50_ms, result.stored_p99_ms = percentile(stored, 0.5), percentile(stored, 0.99)
        return result

    @contextlib.asynccontextmanager
    async def _sampled(self, usage: list["Usage"]) -> AsyncIterator[None]:
        """Note what is used, now and then, and at the end."""

        async def note() -> None:
            while True:
                await asyncio.sleep(SAMPLE_S)
                usage.append(Usage.now(self._rig))

        task = asyncio.create_task(note())
        try:
            yield
        finally:
            task.cancel()
            usage.append(Usage.now(self._rig))

    # -- Inkwire -----------------------------------------------------------------------------------------------

    async def _inkwire(self, posts: int) -> list[Reader]:
        """As the api commits a post, but for the order: readers are there before the work begins."""
        now = datetime.now(UTC)
        data = RequestedData(title="What time is it?", recipe="blog", options={"length": "short"}, fingerprint="f" * 64)
        time_text = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        jobs = [Job(post=new_id(), owner=OWNER, run=1, time=time_text, request=data) for _ in range(posts)]
        for job in jobs:
            await self._log.ensure_requested(job)
        token = self._keys.mint(OWNER, now=now, lifetime_s=3_600, jti=new_id())
        ready: list[asyncio.Event] = [asyncio.Event() for _ in jobs]
        async with asyncio.TaskGroup() as group:
            reading = [
                group.create_task(self._read_socket(job.post, token, live))
                for job, live in zip(jobs, ready, strict=True)
            ]
            for live in ready:
                await live.wait()
            for job in jobs:
                subject = subjects.job(job.request.pool, job.priority, job.owner)
                await self._log.jetstream.publish(subject, job.model_dump_json().encode(), {H_MSG_ID: job.msg_id})
        return [task.result() for task in reading]

    async def _read_socket(self, post: str, token: str, live: asyncio.Event) -> Reader:
        reader = Reader()
        protocols = [Subprotocol("inkwire.v1"), Subprotocol(f"token.{token}")]
        async with connect(
            self._rig.socket_url, subprotocols=protocols, compression=None, ping_interval=None, max_size=2**24
        ) as socket:
            await socket.send(json.dumps({"type": "subscribe", "channel": f"post:{post}"}))
            while True:
                message: bytes = await socket.recv(decode=False)
                now_ns = time.monotonic_ns()
                head = message[:120]
                if b'"name":"chunk.produced"' in head:
                    reader.take(message, now_ns)
                elif b'"type":"live"' in head:
                    live.set()
                elif b'"type":"text"' in head:
                    reader.caught_up.extend(map(int, STAMP.findall(message)))
                elif b'"name":"post.published"' in head:
                    return reader
                elif b'"name":"post.failed"' in head or b'"type":"error"' in head:
                    raise RuntimeError(message[:500].decode("utf-8", "replace"))

    # -- the pass-through --------------------------------------------------------------------------------------

    async def _passthrough(self, posts: int) -> list[Reader]:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(self._read_stream()) for _ in range(posts)]
        return [task.result() for task in reading]

    async def _read_stream(self) -> Reader:
        reader, ends = Reader(), 0
        url = f"{self._rig.passthrough_url}/stream?calls={self._calls}"
        async with self._session.get(url) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                reader.take(line, time.monotonic_ns())
                ends += line == b"data: [DONE]\n"
        if ends != self._calls:
            raise RuntimeError(f"a stream of the pass-through had {ends} ends instead of {self._calls}")
        return reader


def _span(readers: list[Reader]) -> tuple[int, int]:
    """When all streams ran: from a moment after the last one began to the first one's end."""
    begin_ns = max(reader.stamps[0] for reader in readers) + int(WARM_UP_S * 1e9)
    end_ns = min(reader.stamps[-1] for reader in readers)
    if begin_ns >= end_ns:
        raise RuntimeError("there was no time at which all streams ran: let posts be longer (--seconds)")
    return begin_ns, end_ns


def _charge(result: Result, usage: list[Usage], begin_ns: int, end_ns: int) -> None:
    """What was used in a span of time, as far as the samples tell."""
    first = max((at for at in usage if at.at_ns <= begin_ns), key=lambda at: at.at_ns)
    last = min((at for at in usage if at.at_ns >= end_ns), key=lambda at: at.at_ns)
    wall_s = (last.at_ns - first.at_ns) / 1e9
    ours_s = {name: used_s - first.ours_s[name] for name, used_s in last.ours_s.items()}
    others_s = max(0.0, last.machine_s - first.machine_s - sum(ours_s.values()))
    result.others_percent = round(100 * others_s / wall_s, 1)
    result.cpu_percent = {name: round(100 * used_s / wall_s, 1) for name, used_s in ours_s.items()}
    deltas = result.chunks_per_s * wall_s
    result.cpu_us = {name: round(1e6 * used_s / deltas, 1) for name, used_s in ours_s.items()}


def _result(
    way: str,
    readers: list[Reader],
    written: dict[str, list[int]],
    begin_ns: int,
    end_ns: int,
    fsync_ms: list[float],
) -> Result:
    """Figures of the time when all streams ran."""
    latencies = sorted(ms for reader in readers for ms in reader.latencies_ms(begin_ns, end_ns))
    frames = sum(begin_ns <= at_ns < end_ns for reader in readers for at_ns in reader.frames_ns)
    sent = Counter(written["stamps"])
    got = Counter(stamp for reader in readers for stamp in reader.stamps + reader.caught_up)
    late_ms = sorted(late / 1e6 for late in written["late_ns"])
    return Result(
        way=way,
        p50_ms=percentile(latencies, 0.50),
        p90_ms=percentile(latencies, 0.90),
        p99_ms=percentile(latencies, 0.99),
        max_ms=latencies[-1],
        chunks_per_s=len(latencies) / ((end_ns - begin_ns) / 1e9),
        frames_per_delta=frames / len(latencies),
        deltas=sent.total(),
        lost=(sent - got).total(),
        doubled=(got - sent).total(),
        provider_late_p99_ms=percentile(late_ms, 0.99),
        fsync_p50_ms=percentile(fsync_ms, 0.50),
        fsync_p99_ms=percentile(fsync_ms, 0.99),
    )


# -- a run -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """One round of each way, right after each other."""

    ours: Result
    theirs: Result

    @property
    def others_percent(self) -> float:
        """See :class:`Result`; the worse of the two."""
        return max(self.ours.others_percent, self.theirs.others_percent)


def _show(load: str, result: Result) -> None:
    machine = (
        f"others {result.others_percent:.0f}; fsync p50 {result.fsync_p50_ms:.2f} p99 {result.fsync_p99_ms:.2f} ms"
    )
    cpu = " ".join(f"{name} {used:.0f}" for name, used in result.cpu_percent.items() if used >= 0.5)
    stored = f"  stored p50 {result.stored_p50_ms:.2f} p99 {result.stored_p99_ms:.2f}" if result.stored_p50_ms else ""
    print(
        f"{load:>7} {result.way:<12} p50 {result.p50_ms:6.2f}  p99 {result.p99_ms:7.2f}  max {result.max_ms:7.1f} ms"
        f"  {result.chunks_per_s:5.0f}/s  {result.frames_per_delta:.2f} frames/delta"
        f"  lost {result.lost} doubled {result.doubled} of {result.deltas}{stored}"
        f"  provider late p99 {result.provider_late_p99_ms:.1f} ms\n{'':20} CPU %: {cpu}; {machine}",
        flush=True,
    )


def _summarise(load: str, pairs: list[Pair], quiet: float) -> None:
    counted = [pair for pair in pairs if pair.others_percent <= quiet] or pairs
    print(f"{load:>7} medians of {len(counted)} pairs; {len(pairs)} were run, the others while the machine was busy:")
    for rounds in ([pair.ours for pair in counted], [pair.theirs for pair in counted]):
        medians = {
            name: statistics.median(getattr(r, name) for r in rounds)
            for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms", "chunks_per_s", "frames_per_delta", "others_percent")
        }
        print(f"        {rounds[0].way:<12} " + "  ".join(f"{name} {value:.2f}" for name, value in medians.items()))
        cpu = {part: statistics.median(r.cpu_percent[part] for r in rounds) for part in rounds[0].cpu_percent}
        print(f"        {'':<12} CPU %: " + ", ".join(f"{part} {used:.1f}" for part, used in cpu.items()))
    for name in ("p50_ms", "p99_ms"):
        ratios = sorted(getattr(pair.ours, name) / getattr(pair.theirs, name) for pair in counted)
        middle, least, most = statistics.median(ratios), ratios[0], ratios[-1]
        print(f"        ratio of {name}: median {middle:.2f}, from {least:.2f} to {most:.2f}")
    print(flush=True)


@contextlib.asynccontextmanager
async def bench(rig: rigs.Rig, sections: int) -> AsyncIterator[Bench]:
    """Rounds on a rig that runs."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        connected(rig.nats_url, "bench") as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session,
    ):
        jetstream = JetStream(client)
        await jetstream.start()
        yield Bench(rig, EventLog(jetstream, new_id), session, sections)


async def _run(rig: rigs.Rig, given: argparse.Namespace) -> dict[str, list[Pair]]:
    """A pair to warm up, then for each load as many quiet pairs as were asked for, or at most twice as many in all."""
    async with bench(rig, given.sections) as running:
        if given.stages:
            await running.follow_broker()
        await _pair(running, given, given.loads[0], 0)
        print("(that was to warm up)", flush=True)
        found: dict[str, list[Pair]] = {load: [] for load in given.loads}
        for number in range(1, 2 * given.rounds + 1):
            for load, pairs in found.items():
                if sum(pair.others_percent <= given.quiet for pair in pairs) < given.rounds:
                    pairs.append(await _pair(running, given, load, number))
    return found


def posts_of(load: str, seconds: float, sections: int) -> tuple[int, int, int]:
    """Posts, deltas/s, and deltas of each of the model's calls, of a load such as 40x50."""
    posts, rate_per_s = map(int, load.split("x"))
    return posts, rate_per_s, max(1, round(seconds * rate_per_s / (sections + CALLS_BESIDE_SECTIONS)))


async def _pair(running: Bench, given: argparse.Namespace, load: str, number: int) -> Pair:
    posts, rate_per_s, deltas = posts_of(load, given.seconds, given.sections)
    ways = ["inkwire", "pass-through"]
    results: dict[str, Result] = {}
    for way in ways if number % 2 else reversed(ways):
        await _quiet(given.quiet)
        results[way] = await running.round(way, posts, rate_per_s, deltas, seed=number + 1)
        _show(load, results[way])
    return Pair(results["inkwire"], results["pass-through"])


async def _quiet(limit_percent: float) -> None:
    """Wait until the machine is nearly idle, for at most a minute."""
    for _ in range(QUIET_CHECKS):
        before_s = rigs.machine_busy_s()
        await asyncio.sleep(PAUSE_S)
        if 100 * (rigs.machine_busy_s() - before_s) / PAUSE_S <= limit_percent + IDLE_PERCENT:
            return


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=lambda text: text.split(","), default=["40x50", "4x50"],
                        help="posts x deltas/s of each, comma separated (default 40x50,4x50)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="of each way and load; medians count (default 5)")
    parser.add_argument("--quiet", type=float, default=15, metavar="PERCENT",
                        help="a pair of rounds counts if others used no more of a core (default 15)")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=12, help="length of a post, about (default 12)")
    parser.add_argument("--sections", type=int, default=1, help="sections of the outline (default 1)")
    parser.add_argument("--sync-interval", default="always", help="of nats-server: always (default), 100ms, 2m")
    parser.add_argument("--generators", type=int, default=1, help="generator processes (default 1)")
    parser.add_argument("--caddy", action="store_true", help="readers connect through Caddy")
    parser.add_argument("--profile", type=Path, help="folder for cProfile's output of generators and gateway")
    parser.add_argument(
        "--folder", type=Path, help="where the broker and the store write (default: a temporary folder)"
    )
    parser.add_argument("--stages", action="store_true",
                        help="follow the broker's live subjects too, to tell the halves of the way apart")  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all rounds to this file")
    return parser.parse_args()


def main() -> int:
    """Run; the exit status is 1 if a delta was lost or doubled."""
    given = arguments()
    if given.profile:
        given.profile.mkdir(parents=True, exist_ok=True)
    plan = rigs.Plan(
        given.sync_interval, given.generators, given.caddy, given.profile and given.profile.resolve(), given.sections
    )
    print(f"load average {os.getloadavg()[0]:.1f}; {plan}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="inkwire-bench-", dir=given.folder) as folder,
        rigs.running(plan, Path(folder)) as rig,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(_run(rig, given))
    for load, pairs in found.items():
        _summarise(load, pairs, given.quiet)
    if given.json:
        given.json.write_text(json.dumps({load: [asdict(pair) for pair in pairs] for load, pairs in found.items()}))
    results = [result for pairs in found.values() for pair in pairs for result in (pair.ours, pair.theirs)]
    return int(any(result.lost or result.doubled for result in results))


if __name__ == "__main__":
    sys.exit(main())
