"""What a worker does about its memory."""

from typing import Any

import pytest

from inkwire_chassis.health import Health
from inkwire_chassis.lifecycle import Supervisor
from inkwire_generator.adapters import memory as adapter
from inkwire_generator.adapters.memory import EX_TEMPFAIL, MIB, MemoryLimitTooLow, MemoryWatch, resident_bytes
from inkwire_generator.memory import Action, decide

LIMIT = 1_000


@pytest.mark.parametrize("active", [0, 3])
def test_below_nine_tenths_nothing_happens(active: int) -> None:
    """There is room for more posts."""
    assert decide(899, LIMIT, active) is Action.GO_ON


@pytest.mark.parametrize("used", [900, 999])
def test_a_nearly_full_worker_ends_what_it_has(used: int) -> None:
    """It begins nothing, so that posts which others hand over do not make it full; without posts it starts anew."""
    assert decide(used, LIMIT, 1) is Action.TAKE_NONE
    assert decide(used, LIMIT, 0) is Action.HAND_OVER


@pytest.mark.parametrize("active", [0, 3])
def test_at_the_limit_the_posts_are_handed_over(active: int) -> None:
    """Whatever is being written, the process ends."""
    assert decide(1_000, LIMIT, active) is Action.HAND_OVER


class FakeWorker:
    """Counts posts, and notes what it is told."""

    def __init__(self) -> None:
        self.active_count = 1
        self.takes_jobs = True
        self.overloaded = False

    def take_jobs(self, yes: bool) -> None:
        self.takes_jobs = yes


class Watched:
    """A watch whose process uses as much memory as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used = 80
        monkeypatch.setattr(adapter, "resident_bytes", lambda: self.used)
        self.worker, self.health, self.supervisor = FakeWorker(), Health("generator"), Supervisor()
        worker: Any = self.worker
        self.watch = MemoryWatch(100, worker, self.health, self.supervisor)
        self.health.add("memory", self.watch.probe)

    async def look(self, used: int) -> tuple[bool, dict[str, str]]:
        """One look at so much memory, and what readiness says then."""
        self.used = used
        self.watch._look()
        return await self.health.ready()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A worker with one post, far from its limit of 100."""
    return Watched(monkeypatch)


async def test_a_worker_takes_jobs_again_once_there_is_room(watched: Watched) -> None:
    """Nearly full it takes none and is not ready; below the mark it is as before."""
    ready, checks = await watched.look(95)
    assert not ready and checks["memory"].startswith("nearly full: no job is taken")
    assert not watched.worker.takes_jobs
    ready, _ = await watched.look(50)
    assert ready and watched.worker.takes_jobs and not watched.supervisor.stopping.is_set()


async def test_a_full_worker_says_why_it_ends(watched: Watched) -> None:
    """It is not ready any more, for a reason that an operator can read, and its exit code asks for a new start."""
    ready, checks = await watched.look(100)
    assert not ready and checks["process"].startswith("draining: memory limit: ")
    assert watched.supervisor.stopping.is_set() and watched.supervisor.exit_code == EX_TEMPFAIL
    assert watched.worker.overloaded


def test_a_limit_that_the_start_alone_reaches_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the setting and the least value that would do."""
    monkeypatch.setattr(adapter, "resident_bytes", lambda: 90 * MIB)
    worker: Any = FakeWorker()
    with pytest.raises(MemoryLimitTooLow, match=r"^INKWIRE_GENERATOR_MEMORY_LIMIT_MIB: 100 is too low: .* 101 is the"):
        MemoryWatch(100 * MIB, worker, Health("generator"), Supervisor())


def test_the_memory_of_this_process_is_known() -> None:
    """A Python process holds some megabytes, and not the machine's whole memory."""
    assert 5 * MIB < resident_bytes() < 64 * 1024 * MIB
