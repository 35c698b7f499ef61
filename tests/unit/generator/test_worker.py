"""How a job is settled whose attempt could not be brought to an end."""

import asyncio
from typing import Any

import pytest

from inkwire_chassis.jetstream import BrokerError
from inkwire_contracts.commands import Job
from inkwire_contracts.events import RequestedData
from inkwire_generator.adapters.jobs import TakenJob
from inkwire_generator.adapters.worker import AWAY_MAX_S, Worker, WorkerLimits
from inkwire_generator.pulse import Pulse
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
        self.delays_s: list[float] = []
        self.beats = self.releases = 0

    async def beat(self) -> None:
        self.beats += 1

    async def release(self) -> None:
        self.releases += 1

    async def later(self, delay_s: float) -> None:
        self.delays_s.append(delay_s)


class FakeQueue:
    """Gives one job."""

    def __init__(self, taken: Any) -> None:
        self._taken = [taken]
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

    held = None

    async def run(self) -> Any:
        await asyncio.Event().wait()

    def cancel(self) -> None:
        return None


class NoWishes:
    """A log in which nobody wants to cancel."""

    async def cancel_wanted(self, _job: Job) -> bool:
        return False


async def test_heartbeats_are_as_many_within_a_lease_as_was_chosen() -> None:
    """A lease of over an hour, of which each fifty-thousandth brings a heartbeat."""
    taken = FakeTaken(1)
    queue: Any = FakeQueue(taken)
    log: Any = NoWishes()
    runner: Any = SilentRunner()
    limits = WorkerLimits(posts=1, lease_s=5_000.0, stall_limit_s=30.0, lease_beats_count=50_000)
    worker = Worker(queue, log, lambda _job, _deliveries, _pulse: runner, ManualClock(), limits)
    taking = asyncio.ensure_future(worker.take_loop())
    await eventually(lambda: taken.beats >= 2, what="two heartbeats")
    await worker.stop()
    await taking
    assert taken.releases == 1
