"""The manual clock: nothing moves but by advance."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.clock import START, ManualClock
from tests.support.wait import eventually


def test_time_stands_still() -> None:
    """Reading the clock does not move it."""
    clock = ManualClock()
    assert (clock.now(), clock.monotonic_s()) == (clock.now(), clock.monotonic_s())


def test_advance_moves_both_clocks() -> None:
    """Wall time and monotonic time move by the same amount."""
    clock = ManualClock(monotonic_s=5)
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic_s()) == (START + timedelta(seconds=1.5), 6.5)


def test_the_wall_clock_can_jump_alone() -> None:
    """A correction of the wall clock lets no time go by."""
    clock = ManualClock(monotonic_s=5)
    clock.set_wall(datetime(2020, 1, 1, tzinfo=UTC))
    assert (clock.now().year, clock.monotonic_s()) == (2020, 5)


def test_refuses_what_no_clock_does() -> None:
    """Time does not go backwards, and naive times are refused."""
    with pytest.raises(ValueError, match="backwards"):
        ManualClock().advance(-1)
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="aware"):
        ManualClock().set_wall(datetime(2026, 1, 1))


async def test_sleepers_wake_when_they_are_due_and_in_order() -> None:
    """Advance wakes those whose time has come, the earliest first, and leaves the others."""
    clock = ManualClock()
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for seconds in (3, 1, 2, 9):
            tasks.create_task(sleeper(seconds))
        await eventually(lambda: clock.sleepers == 4, what="all sleep")
        clock.advance(3)
        await eventually(lambda: len(woken) == 3, what="three are awake")
        assert (woken, clock.sleepers) == ([1, 2, 3], 1)
        clock.advance(6)
    assert woken == [1, 2, 3, 9]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    """Advance passes over a sleeper that was cancelled."""
    clock = ManualClock()
    task = asyncio.ensure_future(clock.sleep(1))
    await eventually(lambda: clock.sleepers == 1, what="it sleeps")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    clock.advance(2)
    assert clock.sleepers == 0
