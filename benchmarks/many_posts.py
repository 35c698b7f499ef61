"""400 posts at 50 tokens/s, end to end: what a reader waits for, by durability mode, and what each process takes.

    python -m benchmarks.many_posts                          the table of benchmarks/README.md, in under three minutes
    python -m benchmarks.many_posts --rounds 1 --loads 400x50 --sync-intervals always

The way, its clock and its check of every delta are those of benchmarks.latency; the pass-through is left out. Modes are
those of nats-server: `always` keeps each event before it is acknowledged, `100ms` may lose that much with the power.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import uvloop

from benchmarks import rig as rigs
from benchmarks.latency import Result, bench, posts_of

PARTS = ("provider", "generator", "nats", "gateway", "persister", "client")
WARM_UP_LOAD = "40x50"
WARM_UP_S = 5.0

Rounds = dict[tuple[str, str], list[Result]]
"""By load and durability mode."""


async def _run(rig: rigs.Rig, given: argparse.Namespace, mode: str, found: Rounds) -> None:
    async with bench(rig, given.sections) as running:
        warm_up = await running.round("inkwire", *posts_of(WARM_UP_LOAD, WARM_UP_S, given.sections), seed=1)
        print(f"(to warm up) {WARM_UP_LOAD} {mode} {_line(warm_up)}", flush=True)
        for number in range(given.rounds):
            for load in given.loads:
                result = await running.round("inkwire", *posts_of(load, given.seconds, given.sections), seed=number + 2)
                print(f"{load} {mode} {_line(result)}", flush=True)
                found.setdefault((load, mode), []).append(result)


def _line(result: Result) -> str:
    cpu = " ".join(f"{name} {used:.0f}" for name, used in result.cpu_percent.items() if used >= 0.5)
    return (
        f"p50 {result.p50_ms:.1f} p99 {result.p99_ms:.1f} max {result.max_ms:.0f} ms  {result.chunks_per_s:.0f}/s"
        f"  {result.frames_per_delta:.2f} frames/delta  lost {result.lost} doubled {result.doubled} of {result.deltas}"
        f"  provider late p99 {result.provider_late_p99_ms:.1f} ms  fsync p50 {result.fsync_p50_ms:.2f} p99"
        f" {result.fsync_p99_ms:.2f} ms  CPU %: {cpu}; others {result.others_percent:.0f}"
    )


def table(found: Rounds) -> str:
    """Markdown: medians over rounds, the p99 of each round beside."""
    head = ["load", "sync_interval", "deltas/s", "frames/delta", "p50 ms", "p99 ms (each round)", "max ms"]
    head += ["lost, doubled", *(f"{part}, µs" for part in PARTS), "others, %"]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for (load, mode), rounds in found.items():
        p99 = ", ".join(f"{result.p99_ms:.0f}" for result in rounds)
        lost, doubled = sum(result.lost for result in rounds), sum(result.doubled for result in rounds)
        row = [
            load,
            f"`{mode}`",
            f"{_median(rounds, 'chunks_per_s'):,.0f}",
            f"{_median(rounds, 'frames_per_delta'):.2f}",
        ]
        row += [f"{_median(rounds, 'p50_ms'):.1f}", f"**{_median(rounds, 'p99_ms'):.0f}** ({p99})"]
        row += [f"{max(result.max_ms for result in rounds):.0f}", f"{lost}, {doubled}"]
        row += [f"{statistics.median(_cpu_us(result, part) for result in rounds):.1f}" for part in PARTS]
        row += [f"{_median(rounds, 'others_percent'):.0f}"]
        lines.append(" | ".join(row))
    return "\n".join(f"| {line} |" for line in lines)


def _median(rounds: list[Result], name: str) -> float:
    return float(statistics.median(getattr(result, name) for result in rounds))


def _cpu_us(result: Result, part: str) -> float:
    """Of all processes of that kind."""
    return sum(used for name, used in result.cpu_us.items() if name == part or name.startswith(f"{part} "))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=lambda text: text.split(","), default=["40x50", "400x50"],
                        help="posts x deltas/s of each, comma separated (default 40x50,400x50)")  # fmt: skip
    parser.add_argument("--sync-intervals", type=lambda text: text.split(","), default=["always", "100ms"],
                        help="of nats-server, comma separated (default always,100ms)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=2, help="of each load and mode; medians count (default 2)")
    parser.add_argument("--seconds", type=float, default=10, help="length of a post, about (default 10)")
    parser.add_argument("--sections", type=int, default=1, help="sections of the outline (default 1)")
    parser.add_argument("--generators", type=int, default=1, help="generator processes (default 1)")
    parser.add_argument("--folder", type=Path, help="where broker and store write (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write all rounds to this file")
    return parser.parse_args()


def main() -> int:
    """Run; the exit status is 1 if a delta was lost or doubled."""
    given = arguments()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    most = max(posts_of(load, 1, 1)[0] for load in given.loads)
    found: Rounds = {}
    for mode in given.sync_intervals:
        plan = rigs.Plan(mode, given.generators, sections=given.sections, posts_per_worker=most)
        with (
            tempfile.TemporaryDirectory(prefix="inkwire-bench-", dir=given.folder) as folder,
            rigs.running(plan, Path(folder)) as rig,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(_run(rig, given, mode, found))
    print(f"\n{table(found)}\n", flush=True)
    if given.json:
        rounds = {f"{load} {mode}": [asdict(result) for result in results] for (load, mode), results in found.items()}
        given.json.write_text(json.dumps(rounds))
    return int(any(result.lost or result.doubled for results in found.values() for result in results))


if __name__ == "__main__":
    sys.exit(main())
