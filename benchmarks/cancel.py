"""How long the provider's socket stays open after somebody asked for a stop.

    python -m benchmarks.cancel
    python -m benchmarks.cancel --rounds 2 --cancels 5

The whole system as processes on loopback, with the simulator as provider. A cancel is timed from the moment before it
is sent, as a POST or as a frame of the socket, until the simulator saw the TCP connection of that post's request go;
both read the same clock. One cancel at a time, at a random moment, of posts that wait for their first token and of
posts in mid-stream; alone, and while other posts stream. Beside them in the same run: a plain client that closes a
stream of its own, which is what the simulator takes to notice.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import aiohttp
import uvloop
from nats.aio.msg import Msg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks import rig as rigs
from inkwire.following import PostFold
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import new_id
from inkwire_chassis.nats_connection import connected
from inkwire_contracts import subjects
from inkwire_contracts.client_frames import SERVER_FRAME
from tests.support.wait import eventually

GOAL_MS = 100.0
TOKENS_PER_S = 40.0
OWNER = "bench"
WAITING_TITLE = "Waiting"
"""In the title of a post whose provider never answers."""

MID_STREAM_CHARS = 80
"""Of a section of the article; then its answer is in full flow."""

LONGEST_PAUSE_S = 0.25
"""Before a cancel, at random: it meets the heartbeats and the stream at any moment."""

STEP_TIMEOUT_S = 60.0
WARM_UP_CANCELS = 2

Way = Literal["POST", "frame", "bare client"]
Phase = Literal["waiting", "streaming"]
WAYS: tuple[Way, ...] = ("POST", "frame", "bare client")
PHASES: tuple[Phase, ...] = ("waiting", "streaming")


@dataclass
class Sample:
    """One cancel; times in milliseconds after it was sent."""

    way: Way
    phase: Phase
    others: int
    round: int
    sent_ms: float
    """Since 1970."""
    closed_ms: float = 0.0
    """The simulator saw the connection go."""
    signal_ms: float | None = None
    """The wish is stored and the workers are told."""
    answer_ms: float | None = None
    """The 202, or the answering frame."""
    end_ms: float | None = None
    """A reader of the post saw that it was cancelled."""


def now_ms() -> float:
    """Milliseconds since 1970; the simulator reads the same clock."""
    return time.time_ns() / 1e6


class Simulator:
    """What the simulator noted, and how it behaves."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call of its control API."""
        async with self._session.request(method, f"{self.url}/control/{path}", json=body) as answer:
            answer.raise_for_status()
            content = await answer.read()
        return json.loads(content) if content else None

    async def prepare(self) -> None:
        """Outlines come at once, and posts that are to wait wait for ever."""
        quick = {"tokens_per_s": 0, "ttft_ms": 0}
        await self.control("POST", "faults", {"kind": "hang", "count": None, "match": WAITING_TITLE,
                                              "params": {"seconds": 600}})  # fmt: skip
        await self.control("POST", "faults", {"kind": "speed", "count": None, "match": "JSON", "params": quick})

    async def requests(self) -> list[dict[str, Any]]:
        """Since the log was cleared."""
        found: list[dict[str, Any]] = (await self.control("GET", "requests"))["requests"]
        return found

    async def until_one_waits(self) -> None:
        """A request is there that gets no answer."""

        async def waits() -> bool:
            found = await self.requests()
            return any("hang" in (r["fault"] or "") and r["close_reason"] is None for r in found)

        await eventually(waits, what="a request waits")


@dataclass
class Person:
    """Someone with a token: asks over HTTP or over a socket that follows what was asked for."""

    rig: rigs.Rig
    session: aiohttp.ClientSession
    socket: ClientConnection
    headers: dict[str, str]
    signals_ms: dict[str, float] = field(default_factory=dict)
    """When the workers were told, by post."""

    async def create(self, title: str) -> str:
        """Have a post written."""
        body = {"title": title, "options": {"length": "long"}}
        async with self.session.post(f"{self.rig.api_url}/posts", json=body, headers=self.headers) as answer:
            answer.raise_for_status()
            return str((await answer.json())["id"])

    async def follow(self, post: str) -> None:
        """Subscribe; :meth:`frames` reads what comes."""
        await self.socket.send(json.dumps({"type": "subscribe", "channel": f"post:{post}"}))

    async def leave(self, post: str) -> None:
        """Unsubscribe, and read until nothing of it comes any more."""
        await self.socket.send(json.dumps({"type": "unsubscribe", "channel": f"post:{post}"}))
        await self.until(post, "unsubscribed")

    async def frames(self, post: str) -> AsyncIterator[bytes]:
        """What comes of the post, for ever."""
        while True:
            message = await self.socket.recv(decode=False)
            frame = json.loads(message)
            if frame["type"] == "error":
                raise RuntimeError(frame)
            if frame.get("channel") == f"post:{post}":
                yield message

    async def until(self, post: str, kind: str) -> None:
        """Read until a frame of that type comes."""
        async for message in self.frames(post):
            if json.loads(message)["type"] == kind:
                return

    async def mid_stream(self, post: str) -> None:
        """Read until the article's words are coming, however much of it was there before."""
        folded = PostFold(post)
        async for message in self.frames(post):
            update = folded.receive(SERVER_FRAME.validate_json(message))
            section = update.snapshot.section(update.snapshot.open_section or "") if update else None
            if section is not None and section.in_document and section.length >= MID_STREAM_CHARS:
                return

    async def post_cancel(self, post: str) -> None:
        """Over HTTP."""
        async with self.session.post(f"{self.rig.api_url}/posts/{post}/cancel", headers=self.headers) as answer:
            answer.raise_for_status()
            await answer.read()

    async def frame_cancel(self, post: str) -> None:
        """Over the socket; the answer is read by who follows."""
        await self.socket.send(json.dumps({"type": "cancel", "channel": f"post:{post}", "id": 1}))


class Bench:
    """Cells of a run: so many cancels of one way, phase and load."""

    def __init__(self, person: Person, simulator: Simulator, chance: random.Random) -> None:
        self._person = person
        self._simulator = simulator
        self._chance = chance
        self._titles = 0

    async def cell(self, way: Way, phase: Phase, others: int, number: int, cancels: int) -> list[Sample]:
        """Cancels one after the other; each is paired with the one connection that its client closed."""
        await self._simulator.control("DELETE", "requests")
        taken: list[Sample] = []
        for _ in range(cancels):
            async with asyncio.timeout(STEP_TIMEOUT_S):
                one = self._bare(phase) if way == "bare client" else self._ours(way, phase)
                taken.append(await one)
        closed = await eventually(lambda: self._closed(len(taken)), what="all connections are closed")
        if len(closed) > len(taken):
            raise RuntimeError(f"{len(closed)} connections were closed by {len(taken)} cancels")
        for sample, closed_ms in zip(taken, closed, strict=True):
            sample.others, sample.round, sample.closed_ms = others, number, closed_ms - sample.sent_ms
        limits = [sample.sent_ms for sample in taken[1:]] + [now_ms()]
        if any(s.closed_ms < 0 or s.sent_ms + s.closed_ms > end for s, end in zip(taken, limits, strict=True)):
            raise RuntimeError("a connection was closed before its cancel or after the next one")
        return taken

    async def _closed(self, at_least: int) -> list[float] | None:
        """When the simulator saw connections go that their clients closed."""
        found = [r["closed_at_ms"] for r in await self._simulator.requests() if r["close_reason"] == "client_closed"]
        return sorted(found) if len(found) >= at_least and None not in found else None

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.random() * LONGEST_PAUSE_S)

    async def _ours(self, way: Way, phase: Phase) -> Sample:
        person = self._person
        self._titles += 1
        post = await person.create(f"{WAITING_TITLE if phase == 'waiting' else 'Streaming'} {self._titles}")
        await person.follow(post)
        if phase == "waiting":
            await person.until(post, "live")
            await self._simulator.until_one_waits()
        else:
            await person.mid_stream(post)
        await self._pause()
        sample = Sample(way, phase, 0, 0, now_ms())
        async with asyncio.TaskGroup() as group:
            seen = group.create_task(self._see_the_end(post, sample, with_answer=way == "frame"))
            if way == "frame":
                await person.frame_cancel(post)
            else:
                await person.post_cancel(post)
                sample.answer_ms = now_ms() - sample.sent_ms
            await seen
        if post in person.signals_ms:
            sample.signal_ms = person.signals_ms.pop(post) - sample.sent_ms
        await person.leave(post)
        return sample

    async def _see_the_end(self, post: str, sample: Sample, *, with_answer: bool) -> None:
        """The end may be told before the answer is."""
        async for message in self._person.frames(post):
            frame, after_ms = json.loads(message), now_ms() - sample.sent_ms
            if frame["type"] == "cancelling":
                sample.answer_ms = after_ms
            elif frame.get("name") == "post.cancelled":
                sample.end_ms = after_ms
            if sample.end_ms is not None and (sample.answer_ms is not None or not with_answer):
                return

    async def _bare(self, phase: Phase) -> Sample:
        """A connection of its own for each, as the worker's is closed with its stream."""
        word = WAITING_TITLE if phase == "waiting" else "Streaming"
        body = {"model": "clock", "stream": True, "messages": [{"role": "user", "content": f"{word}: write an essay"}]}
        async with aiohttp.ClientSession() as session:
            asking = asyncio.ensure_future(session.post(f"{self._simulator.url}/v1/chat/completions", json=body))
            if phase == "waiting":
                await self._simulator.until_one_waits()
                await self._pause()
                sample = Sample("bare client", phase, 0, 0, now_ms())
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                return sample
            response = await asking
            await response.content.readany()
            reading = asyncio.ensure_future(response.read())
            await self._pause()
            sample = Sample("bare client", phase, 0, 0, now_ms())
            response.close()
            await asyncio.gather(reading, return_exceptions=True)
            return sample


@contextlib.asynccontextmanager
async def _streaming(bench: Bench, person: Person, posts: int) -> AsyncIterator[None]:
    """Other posts that are in mid-stream from the beginning to the end of the block."""
    made = [await person.create(f"Background {n}") for n in range(posts)]
    for post in made:
        await person.follow(post)
        await person.until(post, "live")
        await person.leave(post)
    yield
    streaming = 0
    for post in made:
        async with person.session.get(f"{person.rig.api_url}/posts/{post}", headers=person.headers) as answer:
            streaming += (await answer.json())["status"] == "generating"
        await person.post_cancel(post)
    print(f"        {streaming} of {posts} other posts were still streaming at the end", flush=True)


@contextlib.asynccontextmanager
async def _person(rig: rigs.Rig, session: aiohttp.ClientSession) -> AsyncIterator[Person]:
    keys = KeyRing.parse(rigs.JWT_KEYS, "inkwire")
    token = keys.mint(OWNER, now=datetime.now(UTC), lifetime_s=6 * 3600, jti=new_id())
    protocols = [Subprotocol("inkwire.v1"), Subprotocol(f"token.{token}")]
    async with (
        connected(rig.nats_url, "bench") as client,
        connect(rig.socket_url, subprotocols=protocols, compression=None, max_size=2**24) as socket,
    ):
        person = Person(rig, session, socket, {"Authorization": f"Bearer {token}"})

        async def told(msg: Msg) -> None:
            person.signals_ms[msg.subject.rpartition(".")[2]] = now_ms()

        await client.subscribe(subjects.cancel_signal("*"), cb=told)
        await client.flush()
        yield person


# -- a run -------------------------------------------------------------------------------------------------------------


async def _run(rig: rigs.Rig, given: argparse.Namespace) -> list[Sample]:
    """A round to warm up, then the rounds that count; ways take turns within a round."""
    found: list[Sample] = []
    async with aiohttp.ClientSession() as session, _person(rig, session) as person:
        simulator = Simulator(session, rig.provider_url)
        await simulator.prepare()
        bench = Bench(person, simulator, random.Random(given.seed))
        end_s = time.monotonic() + 60 * given.minutes
        for number in range(given.rounds + 1):
            if time.monotonic() > end_s:
                print(f"round {number} and those after it are left out: {given.minutes:.0f} minutes are over")
                break
            for others in (0, given.others):
                used_s, ours_s, begin_s = rigs.machine_busy_s(), sum(rig.cpu_s().values()), time.monotonic()
                taken = await _round(bench, person, others, number, given.cancels if number else WARM_UP_CANCELS)
                wall_s = time.monotonic() - begin_s
                ours_s = sum(rig.cpu_s().values()) - ours_s
                strangers_s = max(0.0, rigs.machine_busy_s() - used_s - ours_s)
                fsync = rigs.fsync_ms(rig.folder)
                print(f"round {number or 'to warm up'}, {others} other posts; used by strangers: "
                      f"{100 * strangers_s / wall_s:.0f} % of a core, by us {100 * ours_s / wall_s:.0f} %; "
                      f"fsync p50 {percentile(fsync, 0.5):.2f} p99 {percentile(fsync, 0.99):.2f} ms")  # fmt: skip
                for way in WAYS:
                    print(f"        {way:<12} {_figures([s.closed_ms for s in taken if s.way == way])}", flush=True)
                found += taken if number else []
    return found


async def _round(bench: Bench, person: Person, others: int, number: int, cancels: int) -> list[Sample]:
    taken: list[Sample] = []
    async with _streaming(bench, person, others) if others else contextlib.nullcontext():
        for phase in PHASES:
            for way in WAYS if number % 2 else reversed(WAYS):
                taken += await bench.cell(way, phase, others, number, cancels)
    return taken


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of values in order: the smallest that at least this share of them does not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def _figures(values: Sequence[float]) -> str:
    ordered = sorted(values)
    median, p90, p99 = statistics.median(ordered), percentile(ordered, 0.9), percentile(ordered, 0.99)
    return f"n {len(ordered):4}  median {median:6.1f}  p90 {p90:6.1f}  p99 {p99:6.1f}  max {ordered[-1]:6.1f} ms"


def summarise(found: list[Sample]) -> bool:
    """Print all; whether every way of ours is within the goal."""
    print("\ncancel sent -> provider's socket closed, all rounds that count:")
    reached = True
    for way in WAYS:
        values = sorted(s.closed_ms for s in found if s.way == way)
        print(f"  {way:<12} {_figures(values)}")
        each = [
            percentile(sorted(s.closed_ms for s in found if s.way == way and s.round == n), 0.99)
            for n in sorted({s.round for s in found})
        ]
        print(f"  {'':<12} p99 of each round: {', '.join(f'{value:.1f}' for value in each)} ms")
        for phase in PHASES:
            for others in sorted({s.others for s in found}):
                cell = [s.closed_ms for s in found if (s.way, s.phase, s.others) == (way, phase, others)]
                print(f"    {phase:<10} {others:3} others  {_figures(cell)}")
        if way != "bare client":
            reached = reached and percentile(values, 0.99) <= GOAL_MS
            _show_stages([s for s in found if s.way == way])
    print(f"goal: p99 <= {GOAL_MS:.0f} ms: {'reached' if reached else 'missed'}", flush=True)
    return reached


def _show_stages(samples: list[Sample]) -> None:
    """Where the time goes."""
    told = [s.signal_ms for s in samples if s.signal_ms is not None]
    rest = [s.closed_ms - s.signal_ms for s in samples if s.signal_ms is not None]
    print(f"    sent -> workers told       {_figures(told)}")
    print(f"    workers told -> closed     {_figures(rest)}")
    print(f"    sent -> answer             {_figures([s.answer_ms for s in samples if s.answer_ms is not None])}")
    print(f"    sent -> reader sees end    {_figures([s.end_ms for s in samples if s.end_ms is not None])}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="that count; one more comes first (default 5)")
    parser.add_argument("--cancels", type=int, default=10, help="of each way, phase and load in a round (default 10)")
    parser.add_argument(
        "--others", type=int, default=20, help="posts that stream beside, half of the time (default 20)"
    )
    parser.add_argument("--minutes", type=float, default=30, help="then no other round begins (default 30)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which cancels are sent (default 1)")
    parser.add_argument("--folder", type=Path, help="where broker and store write (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    return parser.parse_args()


def main() -> int:
    """Run; the exit status is 1 if the goal was missed."""
    given = arguments()
    plan = rigs.Plan(api=True, simulator_tokens_per_s=TOKENS_PER_S)
    print(f"load average {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores; {plan}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="inkwire-bench-", dir=given.folder) as folder,
        rigs.running(plan, Path(folder)) as rig,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(_run(rig, given))
    if given.json:
        given.json.write_text(json.dumps([asdict(sample) for sample in found]))
    return int(not summarise(found))


if __name__ == "__main__":
    sys.exit(main())
