"""Deliveries per processor second of the gateway, beside a bare send loop and what others do.

    python -m benchmarks.fanout [--rounds 3] [--shapes 1x1000,1x5000,1000x5] [--profile PROGRAM]

The whole gateway: its real process, tokens, hub, fold, and NATS in the path. benchmarks/README.md tells the method.
Linux with a C compiler; the Go peer is left out where it cannot be built.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import rig as rigs
from benchmarks.fanout_rig import (
    CENTRIFUGO,
    FLOOR,
    GATEWAY,
    Cpu,
    LoadClient,
    Missing,
    Server,
    Stage,
    cpu_of,
    median,
    resident_kib,
    settle,
    staged,
)

FIRST_RATE = 30_000.0
"""Deliveries a second of a first round, to warm up."""

MORE_THAN_CAN_BE_HAD = 150_000.0
"""Deliveries a second at which the frames per processor second tell what load saturates a core."""

WARM_UP_S = 0.5
"""Of the same load, before it counts: a post that has been silent is compared with the log first."""

FAR_OVERLOADED = (GATEWAY, CENTRIFUGO)
"""Who has a turn at each overload but the first: the others queue what they cannot send, and drain it for minutes."""

DRAIN_S = 15.0
IDLE_S = 0.5
SPY_START_S = 0.5
SPY_TIMEOUT_S = 60.0
PROFILE_LINES = 40


@dataclass(frozen=True)
class Shape:
    """So many posts with so many readers each."""

    posts: int
    readers: int

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """``1x1000``"""
        posts, _, readers = text.partition("x")
        return cls(int(posts), int(readers))

    @property
    def connections(self) -> int:
        """In all."""
        return self.posts * self.readers

    def __str__(self) -> str:
        return f"{self.posts:,} x {self.readers:,}"


@dataclass(frozen=True)
class Load:
    """What one server did with one load."""

    offered: float
    """Deliveries a second that were asked for."""
    deliveries: int
    lost: int
    frames: int
    seconds: float
    p50_ms: float
    p99_ms: float
    late_ms: float
    """How late the load client was at most; its own lateness counts as the server's."""
    skipped: int
    """Deliveries that came as part of a snapshot."""
    cpu_s: float
    user_s: float
    system_s: float
    client_s: float
    others_percent: float
    """What everything else on the machine used, in percent of one core."""

    @property
    def per_cpu_s(self) -> float:
        """Deliveries per second of the server's processor time."""
        return self.deliveries / self.cpu_s

    @property
    def frames_per_cpu_s(self) -> float:
        """The same of frames: what merged events save does not count."""
        return self.frames / self.cpu_s

    @property
    def frames_per_delivery(self) -> float:
        """1 unless events were merged."""
        return self.frames / self.deliveries


@dataclass(frozen=True)
class Round:
    """One server, one shape, once."""

    server: str
    handshakes_per_cpu_s: float
    half: Load
    overs: tuple[Load, ...]
    """At more than can be had, in the order asked for."""

    @property
    def loads(self) -> tuple[Load, ...]:
        """All of them."""
        return (self.half, *self.overs)


class Bench:
    """Runs rounds; nothing of it is shared between rounds but the processes."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self._stage = stage
        self.seconds = seconds
        self._stream_seq = 10_000_000  # beyond the log's own

    def round(
        self,
        server: Server,
        shape: Shape,
        rate: float,
        over_rates: Sequence[float] = (),
        watch: Callable[[], None] | None = None,
    ) -> Round:
        """Connect, follow, read for a while at ``rate`` deliveries a second, and perhaps at more than can be had.

        ``watch`` is called when everybody is there and nothing is sent yet.
        """
        pid = server.process.pid
        settle(pid)
        with LoadClient(self._stage, server, shape.posts) as client:
            before = cpu_of(pid)
            client.ask(f"connect {shape.connections}")
            shaken = cpu_of(pid) - before
            client.ask("subscribe")
            settle(pid)
            if watch is not None:
                watch()
            half = self._load(client, server, shape, rate)
            overs = tuple(self._load(client, server, shape, over_rate) for over_rate in over_rates)
        server.process.assert_running()
        return Round(server.name, shape.connections / shaken.total_s, half, overs)

    def _load(self, client: LoadClient, server: Server, shape: Shape, rate: float) -> Load:
        self._send(client, shape, rate, WARM_UP_S)
        pids = {"server": server.process.pid, "broker": self._stage.broker.process.pid}
        before = {name: cpu_of(pid) for name, pid in pids.items()}
        busy_s, start_s = rigs.machine_busy_s(), time.monotonic()
        told = self._send(client, shape, rate, self.seconds)
        used = {name: cpu_of(pid) - before[name] for name, pid in pids.items()}
        ours_s = sum(cpu.total_s for cpu in used.values()) + told["client_cpu_s"]
        others_s = max(0.0, rigs.machine_busy_s() - busy_s - ours_s)
        return _load(told, rate, used["server"], 100 * others_s / (time.monotonic() - start_s))

    def _send(self, client: LoadClient, shape: Shape, rate: float, seconds: float) -> dict[str, Any]:
        events = max(1, round(rate / shape.readers * seconds))
        told = client.ask(f"send {events} {rate / shape.readers} {DRAIN_S} {self._stream_seq}")
        self._stream_seq += events
        return told

    def resident(self, counts: list[int]) -> None:
        """Print what idle connections cost a gateway that never had any."""
        pid = self._stage.gateway.process.pid
        with LoadClient(self._stage, self._stage.gateway, 1) as client:
            first = resident_kib(pid)
            for count in counts:
                before = cpu_of(pid)
                answer = client.ask(f"connect {count}")
                shaken_s = (cpu_of(pid) - before).total_s
                time.sleep(IDLE_S)
                each = (resident_kib(pid) - first) / count
                rate = answer["connected"] / shaken_s
                print(
                    f"{count:>6,} connections: {each:5.1f} KiB each, {rate:,.0f} handshakes per CPU-second", flush=True
                )
            client.ask("subscribe")
            time.sleep(IDLE_S)
            print(f"{'':>6} all following a post: {(resident_kib(pid) - first) / counts[-1]:5.1f} KiB each", flush=True)


def _load(told: dict[str, Any], rate: float, cpu: Cpu, others_percent: float) -> Load:
    return Load(
        offered=rate,
        deliveries=told["deliveries"],
        lost=told["expected"] - told["deliveries"],
        frames=told["frames"],
        seconds=told["seconds"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        late_ms=told["late_ms"],
        skipped=told["skipped"],
        cpu_s=cpu.total_s,
        user_s=cpu.user_s,
        system_s=cpu.system_s,
        client_s=told["client_cpu_s"],
        others_percent=others_percent,
    )


def _show(shape: Shape, found: Round) -> None:
    for number, load in enumerate(found.loads):
        kind = "over" if number else "half"
        shares = f"user {load.user_s:.2f} system {load.system_s:.2f} client {load.client_s:.2f} s"
        snapshot = f"  {load.skipped} by snapshot" if load.skipped else ""
        print(
            f"{shape!s:>9} {found.server:<22} {kind} {load.offered:8,.0f}/s  {load.per_cpu_s:8,.0f} per CPU-s"
            f"  {load.frames_per_delivery:.2f} frames  p50 {load.p50_ms:7.1f} p99 {load.p99_ms:7.1f} ms"
            f"  {load.deliveries / load.seconds:9,.0f}/s  lost {load.lost}{snapshot}  {shares}"
            f"  late {load.late_ms:.0f} ms  others {load.others_percent:.0f} %"
            f"  {found.handshakes_per_cpu_s:6,.0f} handshakes per CPU-s",
            flush=True,
        )


def summarise(shape: Shape, rounds: list[dict[str, Round]]) -> None:
    """A Markdown table: medians of rounds, and of ratios made within a round."""
    print(f"\n{shape} readers, {len(rounds)} rounds; others used "
          f"{median([r.half.others_percent for row in rounds for r in row.values()]):.0f} % of a core\n")  # fmt: skip
    print(
        "| | frames per CPU-s | of C `send()` (each round) | Inkwire is | frames/event | user : sys | p50 ms | p99 ms |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in rounds[0]:
        halves = [row[name].half for row in rounds]
        to_floor = [
            row[name].half.frames_per_cpu_s / row[FLOOR].half.frames_per_cpu_s for row in rounds if FLOOR in row
        ]
        ours = [row[GATEWAY].half.frames_per_cpu_s / row[name].half.frames_per_cpu_s for row in rounds]
        each = ", ".join(f"{ratio:.2f}" for ratio in to_floor)
        user, system = median([load.user_s for load in halves]), median([load.system_s for load in halves])
        print(
            f"| {name} | {median([load.frames_per_cpu_s for load in halves]):,.0f}"
            f" | **{median(to_floor):.2f}** ({each})"
            f" | {median(ours):.2f} | {median([load.frames_per_delivery for load in halves]):.2f}"
            f" | {user:.2f} : {system:.2f} | {median([load.p50_ms for load in halves]):.1f}"
            f" | {median([load.p99_ms for load in halves]):.1f} |"
        )
    for number in range(max(len(found.overs) for found in rounds[0].values())):
        _summarise_overload(number, rounds)
    print("\nhandshakes per CPU-second: " + ", ".join(
        f"{name} {median([row[name].handshakes_per_cpu_s for row in rounds]):,.0f}" for name in rounds[0]
    ), flush=True)  # fmt: skip


def _summarise_overload(number: int, rounds: list[dict[str, Round]]) -> None:
    times = round(rounds[0][GATEWAY].overs[number].offered / rounds[0][GATEWAY].half.offered, 1)
    print(f"\n| {times:g} times that load | offered/s | delivered/s | per CPU-s | frames/event | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    for name in rounds[0]:
        loads = [row[name].overs[number] for row in rounds if len(row[name].overs) > number]
        if not loads:
            continue
        print(
            f"| {name} | {loads[0].offered:,.0f} | {median([v.deliveries / v.seconds for v in loads]):,.0f}"
            f" | {median([v.per_cpu_s for v in loads]):,.0f}"
            f" | {median([v.frames_per_delivery for v in loads]):.2f}"
            f" | {median([v.p50_ms for v in loads]):.0f} | {median([v.p99_ms for v in loads]):.0f} |"
        )


# -- a profile ---------------------------------------------------------------------------------------------------------


def hottest(stacks: str, most: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The lines of a profile (``frame;frame;frame count``) with the largest shares, on their own and with callees."""
    alone: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        places = stack.split(";")
        alone[places[-1]] += int(count)
        for place in set(places):
            within[place] += int(count)
    total = max(1, alone.total())
    return (
        [(place, count / total) for place, count in alone.most_common(most)],
        [(place, count / total) for place, count in within.most_common(most)],
    )


class Spy:
    """py-spy on the gateway while it is under load.

    It does not stop the process for a sample: that would shift the shares. Samples in the event loop itself
    (``Runner.run``, on its own) are its own work and its waiting.
    """

    def __init__(self, program: str, stage: Stage, seconds: float) -> None:
        self._output = stage.folder / "stacks"
        duration = max(1, int(seconds + WARM_UP_S))
        argv = [program, "record", "--nonblocking", "--rate", "500", "--format", "raw", "--output", self._output]
        self._argv = [str(part) for part in [*argv, "--duration", duration, "--pid", stage.gateway.process.pid]]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin; py-spy takes a moment to read the process' symbols."""
        self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(SPY_START_S)

    def stacks(self) -> str:
        """What it saw, once it has ended.

        Raises:
            Missing: it saw nothing, and said why.
        """
        assert self._process is not None
        try:
            _, errors = self._process.communicate(timeout=SPY_TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
        if not self._output.exists():
            raise Missing(f"a profile: {errors[-300:]}")
        return self._output.read_text()


def _profile(program: str, stage: Stage, bench: Bench, shape: Shape, rate: float) -> None:
    spy = Spy(program, stage, bench.seconds)
    _show(shape, bench.round(stage.gateway, shape, rate, watch=spy.start))
    alone, within = hottest(spy.stacks(), PROFILE_LINES)
    for title, places in (("on its own", alone), ("with what it calls", within)):
        print(f"\n{shape}: share of the samples, {title}")
        for place, share in places:
            print(f"  {100 * share:5.1f} %  {place}", flush=True)


# -- a run -------------------------------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="1x1000,1x5000,1000x5", help="posts x readers of each, comma separated")
    parser.add_argument("--servers", default="", help="peers to run beside the gateway, comma separated (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="of each server and shape; medians count (default 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load (default 2)")
    parser.add_argument("--overload", default="1x1000", help="shapes that are overloaded too (default 1x1000)")
    parser.add_argument(
        "--overload-times",
        default="3",
        help="how many times half the saturating load that is, comma separated; each has a table of its own, and all"
        " but the first are for the gateway and Centrifugo only (default 3)",
    )
    parser.add_argument("--idle", default="1000,5000,10000", help="connections whose memory is read; empty: none")
    parser.add_argument(
        "--profile", metavar="PROGRAM", help="py-spy: watch the gateway in one more round of each shape"
    )
    parser.add_argument("--json", type=Path, help="write all rounds to this file")
    return parser.parse_args()


def _rounds(
    bench: Bench, stage: Stage, shape: Shape, given: argparse.Namespace
) -> tuple[list[dict[str, Round]], float]:
    """Rounds in which every server has its turn, the first one another each time; and the load they had."""
    first = bench.round(stage.gateway, shape, FIRST_RATE, [MORE_THAN_CAN_BE_HAD])
    rate = first.overs[0].frames_per_cpu_s / 2
    overloaded = str(shape) in [str(Shape.parse(text)) for text in given.overload.split(",") if text]
    over_rates = [float(times) * rate for times in given.overload_times.split(",")] if overloaded else []
    print(f"(that was to warm up: half of the saturating load is {rate:,.0f} deliveries/s)", flush=True)
    rounds: list[dict[str, Round]] = []
    for number in range(given.rounds):
        turn = number % len(stage.servers)
        found: dict[str, Round] = {}
        for server in stage.servers[turn:] + stage.servers[:turn]:
            asked = over_rates if server.name in FAR_OVERLOADED else over_rates[:1]
            found[server.name] = bench.round(server, shape, rate, asked)
            _show(shape, found[server.name])
        rounds.append({server.name: found[server.name] for server in stage.servers})
    return rounds, rate


def main() -> int:
    """Run; the exit status is 1 if a delivery was lost (one out of order ends the run)."""
    given = arguments()
    shapes = [Shape.parse(text) for text in given.shapes.split(",")]
    only = [name for name in given.servers.split(",") if name]
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    results: dict[str, list[dict[str, Round]]] = defaultdict(list)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="inkwire-bench-") as folder,
            staged(Path(folder), max(shape.posts for shape in shapes), only) as stage,
        ):
            bench = Bench(stage, given.seconds)
            if given.idle:
                bench.resident([int(count) for count in given.idle.split(",")])
            for shape in shapes:
                results[str(shape)], rate = _rounds(bench, stage, shape, given)
                summarise(shape, results[str(shape)])
                if given.profile:
                    _profile(given.profile, stage, bench, shape, rate)
    except Missing as missing:
        print(f"not measured: {missing}")
        return 0
    if given.json:
        text = json.dumps(
            {shape: [{n: asdict(r) for n, r in row.items()} for row in v] for shape, v in results.items()}
        )
        given.json.write_text(text)
    loads = [load for rows in results.values() for row in rows for r in row.values() for load in r.loads]
    return int(any(load.lost for load in loads))


if __name__ == "__main__":
    sys.exit(main())
