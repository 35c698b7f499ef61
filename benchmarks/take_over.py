"""From the SIGKILL of a worker to the next words on the reader's screen, with the product's own lease.

    python -m benchmarks.take_over
    python -m benchmarks.take_over --kills 5

Posts are being written all the time. The worker that writes most of them is killed and started again at once, as its
launcher would; then the next one. For each post that it was writing, the time from the kill to the first words of the
next attempt counts, if nobody was killed meanwhile. Every text is held to its digest.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import rig as rigs
from benchmarks.readers import Desk, Reader, Story, desk, summary, told
from inkwire_contracts.topology import ACK_WAIT_S
from tests.support.processes import ServiceProcess
from tests.support.wait import eventually

ALLOWANCE_S = 1.5
"""What may pass beyond the lease and the model's first token."""

QUIET_S = 3.0
"""Between a take-over and the next kill: words of all posts come again."""

WAIT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Kill:
    """When a worker died, and which."""

    at_s: float
    worker: str


@dataclass(frozen=True)
class TakeOver:
    """One post whose worker was killed."""

    until_started_s: float
    """From the kill until the reader knew that another worker goes on."""
    until_words_s: float
    """From there to its first words."""

    @property
    def seconds(self) -> float:
        """From the kill to the next words."""
        return self.until_started_s + self.until_words_s


def take_overs(story: Story, kills: list[Kill]) -> list[TakeOver]:
    """One for each kill of the worker that was writing the post."""
    found = []
    for kill in kills:
        attempts = [number for number, (at_s, _) in story.workers.items() if at_s <= kill.at_s]
        written = any(text.at_s <= kill.at_s for text in story.texts)
        if not written or not attempts or story.workers[max(attempts)][1] != kill.worker:
            continue
        again = [text for text in story.texts if text.at_s > kill.at_s and text.attempt > max(attempts)]
        # What it had published in its last moment may still have come; a post that it finished so has no next attempt.
        if again:
            started_s = story.workers[max(attempts) + 1][0]
            found.append(TakeOver(started_s - kill.at_s, again[0].at_s - started_s))
    return found


class Office:
    """Keeps so many posts being written, and kills who writes them."""

    def __init__(self, rig: rigs.Rig, at: Desk, given: argparse.Namespace) -> None:
        self._rig = rig
        self._at = at
        self._given = given
        self._workers: dict[str, ServiceProcess] = {}
        self._born = 0
        self._over = False
        self.readers: list[Reader] = []
        self.kills: list[Kill] = []

    async def hire(self) -> None:
        """One more worker, ready."""
        self._born += 1
        name = f"worker-{self._born}"
        self._workers[name] = await self._rig.start_worker(name).ready()

    async def keep_writing(self) -> None:
        """A post after the other, until the end is wished for; then to the end of this one."""
        while not self._over:
            reader = await self._at.open()
            self.readers.append(reader)
            await self._at.read(reader)

    async def kill_often(self) -> None:
        """Kill, wait until all is well, kill."""
        for number in range(self._given.kills):
            await self._until_all_write()
            await asyncio.sleep(QUIET_S)
            await eventually(self._busy, what="a worker writes", timeout_s=WAIT_TIMEOUT_S)
            victim, count = self._busy()[0]
            self.kills.append(Kill(time.monotonic(), victim))
            self._workers.pop(victim).kill9()
            print(f"kill {number + 1}: {victim}, which wrote {count} posts", flush=True)
            await self.hire()
        await self._until_all_write()
        self._over = True

    def _busy(self) -> list[tuple[str, int]]:
        """Living workers and how many posts each writes, most first."""
        return Counter(r.worker for r in self._running() if r.worker in self._workers).most_common()

    async def _until_all_write(self) -> None:
        """Every post's worker lives, and its words come."""
        await eventually(
            lambda: all(r.worker in self._workers and r.writing.is_set() for r in self._running()),
            what="every post is being written",
            timeout_s=WAIT_TIMEOUT_S,
        )

    def _running(self) -> list[Reader]:
        return [reader for reader in self.readers if not reader.over]


async def run(rig: rigs.Rig, given: argparse.Namespace) -> tuple[list[TakeOver], int]:
    """All kills; the take-overs, and how many posts were published with a good digest."""
    async with desk(rig, given.sections) as at:
        await at.pace(given.rate, given.seconds, given.first_token_s, seed=1)
        office = Office(rig, at, given)
        for _ in range(given.workers):
            await office.hire()
        async with asyncio.TaskGroup() as group:
            for _ in range(given.posts):
                group.create_task(office.keep_writing())
            await office.kill_often()
    stories = [told(reader) for reader in office.readers]
    found = [one for story in stories for one in take_overs(story, office.kills)]
    return found, sum(story.status == "published" for story in stories)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="of workers (default 30)")
    parser.add_argument("--posts", type=int, default=12, help="written at once (default 12)")
    parser.add_argument("--workers", type=int, default=3, help="generator processes (default 3)")
    parser.add_argument("--rate", type=float, default=40.0, help="tokens/s of each post (default 40)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a post, about (default 60)")
    parser.add_argument("--sections", type=int, default=6, help="sections of the outline (default 6)")
    parser.add_argument("--first-token-s", type=float, default=0.25, help="the model's first token (default 0.25)")
    return parser.parse_args()


def main() -> int:
    """Run; the exit status is 1 if one take-over was slower than the goal."""
    given = arguments()
    plan = rigs.Plan(generators=0, sections=given.sections, posts_per_worker=32)
    goal_s = ACK_WAIT_S + ALLOWANCE_S + given.first_token_s
    print(f"load average {os.getloadavg()[0]:.1f}; goal {goal_s:.2f} s", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="inkwire-bench-") as folder,
        rigs.running(plan, Path(folder)) as rig,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found, published = runner.run(run(rig, given))
    print(f"{published} posts published with a good digest; load average {os.getloadavg()[0]:.1f}")
    late = sum(one.seconds > goal_s for one in found)
    print(f"kill to next words          {summary([one.seconds for one in found])}; slower than the goal: {late}")
    print(f"  until the next has begun  {summary([one.until_started_s for one in found])}")
    print(f"  from there to its words   {summary([one.until_words_s for one in found])}")
    return int(not found or late > 0)


if __name__ == "__main__":
    sys.exit(main())
