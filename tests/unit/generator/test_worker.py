"""How a job is settled whose attempt could not be brought to an end."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from inkwire_chassis.event_log import Held
from inkwire_chassis.jetstream import BrokerError
from inkwire_contracts.commands import Job
from inkwire_contracts.events import RequestedData
from inkwire_generator.adapters.jobs import TakenJob
from inkwire_generator.adapters.worker import AWAY_MAX_S, Worker, WorkerLimits
from inkwire_generator.pulse import Pulse
from inkwire_generator.runner import Ending
from inkwire_generator.schedule import Lane
from inkwire_stores.ports import StoreUnavailable
from tests.support.clock import ManualClock
from tests.support.wait import eventually

JOB = Job(
    post="aaaabbbbccccddddeeeeffff22",
    owner="ada",
    run=1,
    time="2026-03-01T10:00:00.000Z",
    request=RequestedData(title="A title", recipe="blog"),
)


class FakeTaken:
    """A job in hand that notes what becomes of it."""

    def __init__(self, deliveries: int) -> None:
        self.job = JOB
        self.deliveries = deliveries
        self.lane = Lane("general", "normal", 3)
        self.delays_s: list[float] = []
        self.beats = self.releases = 0

    async def beat(self) -> None:
        self.beats += 1

    async def release(self) -> None:
        self.releases += 1

    async def later(self, delay_s: float) -> None:
        self.delays_s.append(delay_s)


class FakeQueue:
    """Gives the jobs it has, the last one first."""

    def __init__(self, *taken: Any) -> None:
        self._taken = list(taken)
        self._woken = asyncio.Event()

    async def take(self) -> TakenJob | None:
        return self._taken.pop() if self._taken else None

    async def wait(self) -> None:
        await self._woken.wait()

    def wake(self) -> None:
        self._woken.set()


class FailingRunner:
    """An attempt that finds nobody there."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def run(self) -> Any:
        raise self._error

    def cancel(self) -> None:
        return None


@pytest.mark.parametrize("error", [BrokerError("no answer"), StoreUnavailable("locked")], ids=["broker", "store"])
@pytest.mark.parametrize(("deliveries", "delay_s"), [(1, 1.0), (2, 2.0), (20, AWAY_MAX_S)])
async def test_an_outage_costs_a_job_seconds_however_often_it_was_delivered(
    error: Exception, deliveries: int, delay_s: float
) -> None:
    """Deliveries count deaths and releases too: after many of them, a short outage must not mean a long silence."""
    taken = FakeTaken(deliveries)
    queue: Any = FakeQueue(taken)

    def make_runner(_job: Job, _deliveries: int, _pulse: Pulse) -> Any:
        return FailingRunner(error)

    log: Any = None  # nobody gets that far
    worker = Worker(queue, log, make_runner, ManualClock(), WorkerLimits(posts=1, lease_s=5.0, stall_limit_s=30.0))
    taking = asyncio.ensure_future(worker.take_loop())
    await eventually(lambda: taken.delays_s, what="the job is handed back")
    await worker.stop()
    await taking
    assert taken.delays_s == [delay_s]


class SilentRunner:
    """An attempt that makes no step."""

    def __init__(self, held: Held | None = None) -> None:
        self.held = held
        self.cancelled = False

    async def run(self) -> Any:
        await asyncio.Event().wait()

    def cancel(self) -> None:
        self.cancelled = True


async def test_heartbeats_are_as_many_within_a_lease_as_was_chosen() -> None:
    """A lease of over an hour, of which each fifty-thousandth brings a heartbeat."""
    taken = FakeTaken(1)
    queue: Any = FakeQueue(taken)
    log: Any = None
    runner: Any = SilentRunner()
    limits = WorkerLimits(posts=1, lease_s=5_000.0, stall_limit_s=30.0, lease_beats_count=50_000)
    worker = Worker(queue, log, lambda _job, _deliveries, _pulse: runner, ManualClock(), limits)
    taking = asyncio.ensure_future(worker.take_loop())
    await eventually(lambda: taken.beats >= 2, what="two heartbeats")
    await worker.stop()
    await taking
    assert taken.releases == 1


class Wishes:
    """A log with one wish to cancel, which is not there for the first who asks."""

    def __init__(self, post: str) -> None:
        self._post = post
        self.asked: list[set[str]] = []

    async def cancels_wanted(self, jobs: Sequence[Job]) -> set[str]:
        self.asked.append({job.post for job in jobs})
        if len(self.asked) == 1:
            raise BrokerError("no answer")
        return {self._post}

    async def release(self, _held: Held) -> None:
        return None


async def test_wishes_nobody_told_of_are_read_for_all_claimed_posts_at_once() -> None:
    """One read for all, again after one that failed; who is not meant goes on, who has no claim reads for itself."""
    posts = [f"aaaabbbbccccddddeeeefff{number}22" for number in "abc"]
    takens = [FakeTaken(1) for _ in posts]
    runners = {post: SilentRunner(Held(post, 7, 1)) for post in posts[:2]} | {posts[2]: SilentRunner()}
    for taken, post in zip(takens, posts, strict=True):
        taken.job = JOB.model_copy(update={"post": post})
    queue: Any = FakeQueue(*takens)
    log: Any = Wishes(posts[1])
    make_runner: Any = lambda job, _deliveries, _pulse: runners[job.post]  # noqa: E731
    limits = WorkerLimits(posts=3, lease_s=5_000.0, stall_limit_s=30.0, lease_beats_count=50_000)
    worker = Worker(queue, log, make_runner, ManualClock(), limits)
    taking = asyncio.ensure_future(worker.take_loop())
    await eventually(lambda: worker.active_count == 3, what="all are under way")
    watching = asyncio.ensure_future(worker.watch_cancels())
    await eventually(lambda: runners[posts[1]].cancelled, what="the wish is seen")
    await worker.stop()
    await asyncio.gather(taking, watching)
    assert all(asked == set(posts[:2]) for asked in log.asked)
    assert not runners[posts[0]].cancelled and not runners[posts[2]].cancelled


class NotToClaim(SilentRunner):
    """An attempt that somebody with a later delivery has kept from claiming, which is over at once."""

    async def run(self) -> Any:
        return Ending.SILENT


@pytest.mark.parametrize("told", [True, False], ids=["told", "read"])
async def test_an_attempt_whose_job_came_once_more_still_hears_of_its_wish_to_cancel(told: bool) -> None:
    """A second copy of a job ends without a claim; the attempt that goes on is the one that a wish is for."""
    old, copy = FakeTaken(2), FakeTaken(1)
    writing: Any = SilentRunner(Held(JOB.post, 7, 2))
    runners = [NotToClaim(), writing]
    queue: Any = FakeQueue(copy, old)
    log: Any = Wishes(JOB.post)
    limits = WorkerLimits(posts=2, lease_s=5_000.0, stall_limit_s=30.0, lease_beats_count=50_000)
    worker = Worker(queue, log, lambda _job, _deliveries, _pulse: runners.pop(), ManualClock(), limits)
    taking = asyncio.ensure_future(worker.take_loop())
    await eventually(lambda: not runners and worker.active_count == 1, what="the copy is over")
    if told:
        worker.cancel_told(JOB.post, JOB.run)
    else:
        watching = asyncio.ensure_future(worker.watch_cancels())
    await eventually(lambda: writing.cancelled, what="the wish is seen")
    await worker.stop()
    await asyncio.gather(taking, *([] if told else [watching]))
