"""Connections are moved in small batches, in random order, within the deadline, whatever the machine does."""

import pytest

from inkwire_gateway.adapters.drain import DRAIN_BATCH, DRAIN_INTERVAL_S, drain


class Course:
    """One drain on a clock of its own, in which closing and sleeping may take longer than asked."""

    def __init__(self, *, close_s: float = 0.0, late_s: float = 0.0) -> None:
        self.now = 100.0
        self.close_s, self.late_s = close_s, late_s
        self.batches: list[list[int]] = [[]]
        self.pauses: list[float] = []

    def close(self, connection: int) -> None:
        """One more of this batch."""
        self.now += self.close_s
        self.batches[-1].append(connection)

    async def sleep(self, pause_s: float) -> None:
        """The next batch begins."""
        self.pauses.append(pause_s)
        self.now += pause_s + self.late_s
        self.batches.append([])

    async def run(self, count: int, within_s: float) -> None:
        """Drain that many."""
        await drain(range(count), self.close, within_s=within_s, now_s=lambda: self.now, sleep=self.sleep)
        assert sorted(n for batch in self.batches for n in batch) == list(range(count)), "each once"


async def test_few_go_in_small_batches() -> None:
    """A hundred go twenty at a time, in no order, with pauses that differ."""
    course = Course()
    await course.run(100, 1.5)
    assert [len(batch) for batch in course.batches] == [DRAIN_BATCH] * 5
    assert [n for batch in course.batches for n in batch] != list(range(100))
    assert len(set(course.pauses)) > 1
    assert all(DRAIN_INTERVAL_S / 2 <= pause <= DRAIN_INTERVAL_S * 1.5 for pause in course.pauses)


@pytest.mark.parametrize(("close_s", "late_s"), [(0.0, 0.0), (0.000_05, 0.0), (0.0, 0.2)], ids=["idle", "busy", "late"])
async def test_ten_thousand_end_in_time(close_s: float, late_s: float) -> None:
    """However late the loop is, all are closed by the deadline, but for one pause too many and the work itself."""
    course = Course(close_s=close_s, late_s=late_s)
    await course.run(10_000, 1.5)
    assert course.now - 100.0 <= 1.5 + late_s + 10_000 * close_s + 1e-6
    assert len(course.batches) > 3


async def test_no_time_at_all() -> None:
    """Without time everybody goes at once, and an empty gateway has nothing to wait for."""
    course = Course()
    await course.run(5_000, 0.0)
    assert [len(batch) for batch in course.batches] == [5_000]
    empty = Course()
    await empty.run(0, 1.5)
    assert empty.pauses == []
