"""How long readers wait when every worker is replaced while posts are being written.

    python -m benchmarks.rolling_restart
    python -m benchmarks.rolling_restart --posts 20 --rounds 1

Three rounds in one session: nothing is restarted; each worker's successor is started before it gets its SIGTERM;
each worker is stopped before its successor is started. A post's pause is the longest time between two frames with
words of the model, the wait for the model's first token included. Every text is held to its digest.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import uvloop

from benchmarks import rig as rigs
from benchmarks.readers import Desk, Reader, Story, desk, summary, told
from tests.support.processes import ServiceProcess

GOAL_S = 2.0
RUN_TIMEOUT_S = 300.0

Order = Literal["nothing is restarted", "start, then stop", "stop, then start"]
ORDERS: tuple[Order, ...] = ("nothing is restarted", "start, then stop", "stop, then start")


@dataclass
class Outcome:
    """One round."""

    order: Order
    stories: list[Story]
    begin_s: float
    end_s: float
    in_vain: int
    stops_s: list[float]
    """From SIGTERM to the end of each process."""

    @property
    def pauses_s(self) -> list[float]:
        """The longest of each post while workers were replaced."""
        return [story.longest_pause_s(self.begin_s, self.end_s) for story in self.stories]

    @property
    def hand_overs_s(self) -> list[tuple[float, float]]:
        """Of all posts."""
        return [parts_s for story in self.stories for parts_s in story.hand_overs_s()]


class Crew:
    """The workers, in the order in which they are replaced."""

    def __init__(self, rig: rigs.Rig, size: int) -> None:
        self._rig = rig
        self._size = size
        self._born = 0
        self.workers: list[ServiceProcess] = []
        self.stops_s: list[float] = []

    async def fill(self) -> None:
        """Start what is missing."""
        while len(self.workers) < self._size:
            self.workers.append(await self._hire())

    async def _hire(self) -> ServiceProcess:
        self._born += 1
        return await self._rig.start_worker(f"worker-{self._born}").ready()

    async def _dismiss(self, worker: ServiceProcess) -> None:
        begin_s = time.monotonic()
        status = await worker.terminated()
        self.stops_s.append(time.monotonic() - begin_s)
        if status != 0:
            raise RuntimeError(f"{worker.name} ended with {status}:\n{worker.tail()}")

    async def replace_all(self, order: Order, settle_s: float) -> None:
        """One after the other, with time to settle in between."""
        if order == "nothing is restarted":
            await asyncio.sleep(settle_s * self._size)
            return
        for old in tuple(self.workers):
            if order == "start, then stop":
                self.workers.append(await self._hire())
            self.workers.remove(old)
            await self._dismiss(old)
            await self.fill()
            await asyncio.sleep(settle_s)


async def one_round(at: Desk, crew: Crew, order: Order, given: argparse.Namespace, seed: int) -> Outcome:
    """Write all posts, and replace the crew while they are written."""
    await at.pace(given.rate, given.seconds, given.first_token_s, seed)
    readers: list[Reader] = [await at.open() for _ in range(given.posts)]
    crew.stops_s.clear()
    async with asyncio.timeout(RUN_TIMEOUT_S), asyncio.TaskGroup() as group:
        for reader in readers:
            group.create_task(at.read(reader))
        for reader in readers:
            await reader.writing.wait()
        begin_s = time.monotonic()
        await crew.replace_all(order, given.settle_s)
        end_s = time.monotonic()
    in_vain = sum([await at.attempts_in_vain(reader) for reader in readers])
    return Outcome(order, [told(reader) for reader in readers], begin_s, end_s, in_vain, list(crew.stops_s))


def show(found: Outcome) -> None:
    """A few lines."""
    published = sum(story.status == "published" for story in found.stories)
    print(f"{found.order}: {published} of {len(found.stories)} published with a good digest", flush=True)
    print(f"    longest pause of each post   {summary(found.pauses_s)}")
    if found.hand_overs_s:
        print(f"    pauses at hand-overs         {summary([sum(parts_s) for parts_s in found.hand_overs_s])}")
        print(f"      until the next has begun   {summary([before_s for before_s, _ in found.hand_overs_s])}")
        print(f"      from there to its words    {summary([after_s for _, after_s in found.hand_overs_s])}")
        print(f"    SIGTERM to end of process    {summary(found.stops_s)}")
        print(f"    attempts that count as vain  {found.in_vain}", flush=True)


async def run(rig: rigs.Rig, given: argparse.Namespace) -> list[Outcome]:
    """All rounds."""
    crew = Crew(rig, given.workers)
    await crew.fill()
    found = []
    async with desk(rig, given.sections) as at:
        for number in range(given.rounds):
            for order in ORDERS:
                print(f"load average {os.getloadavg()[0]:.1f}")
                found.append(await one_round(at, crew, order, given, seed=number + 1))
                show(found[-1])
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=50, help="written at once (default 50)")
    parser.add_argument("--workers", type=int, default=3, help="generator processes (default 3)")
    parser.add_argument("--rate", type=float, default=40.0, help="tokens/s of each post (default 40)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a post, about (default 30)")
    parser.add_argument("--sections", type=int, default=4, help="sections of the outline (default 4)")
    parser.add_argument("--first-token-s", type=float, default=0.25, help="the model's first token (default 0.25)")
    parser.add_argument("--settle-s", type=float, default=2.0, help="between two replacements (default 2)")
    parser.add_argument("--rounds", type=int, default=2, help="of each order (default 2)")
    return parser.parse_args()


def main() -> int:
    """Run; the exit status is 1 if a text was wrong or a pause longer than the goal."""
    given = arguments()
    plan = rigs.Plan(generators=0, sections=given.sections, posts_per_worker=32)
    with (
        tempfile.TemporaryDirectory(prefix="inkwire-bench-") as folder,
        rigs.running(plan, Path(folder)) as rig,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(run(rig, given))
    for order in ORDERS:
        rounds = [outcome for outcome in found if outcome.order == order]
        print(f"{order:<22} {summary([pause_s for outcome in rounds for pause_s in outcome.pauses_s])}")
    worst_s = max(pause_s for outcome in found for pause_s in outcome.pauses_s)
    return int(worst_s >= GOAL_S or any(outcome.in_vain for outcome in found))


if __name__ == "__main__":
    sys.exit(main())
