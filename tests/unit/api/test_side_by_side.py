"""The same for many, a few at a time."""

import asyncio

import pytest

from inkwire_api.side_by_side import for_each


async def test_results_come_in_order_and_a_few_at_a_time() -> None:
    """However long each takes."""
    running = most = 0

    async def double(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10 - number):
            await asyncio.sleep(0)
        running -= 1
        return 2 * number

    assert await for_each(range(10), 3, double) == [2 * number for number in range(10)]
    assert most == 3


async def test_the_first_error_ends_them_all() -> None:
    """It is raised as it is, and nothing goes on behind the caller's back."""
    done: list[int] = []

    async def fail(number: int) -> None:
        if number == 1:
            raise KeyError("no")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.append(number)

    with pytest.raises(KeyError):
        await for_each(range(4), 4, fail)
    assert not done
