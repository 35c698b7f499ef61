"""The sweep looks at everybody in bounded slices, within its interval."""

from collections.abc import Sequence

import pytest

from inkwire_gateway.adapters.sweep import SWEEP_INTERVAL_S, SWEEP_SLICE, sweep


class Enough(Exception):
    """The test has seen what it wanted."""


async def swept(clients: dict[object, int], rounds: int) -> tuple[list[Sequence[int]], float]:
    """The slices of some rounds and how long they were meant to take in all."""
    slices: list[Sequence[int]] = []
    slept = [0.0]

    async def sleep(pause_s: float) -> None:
        if slept[0] >= rounds * SWEEP_INTERVAL_S - 1e-6:
            raise Enough
        slept[0] += pause_s

    with pytest.raises(Enough):
        await sweep(clients, slices.append, sleep)
    return slices, slept[0]


async def test_ten_thousand_are_seen_in_slices() -> None:
    """In one interval everybody is looked at once, never more than a slice of them at a time."""
    slices, took_s = await swept({n: n for n in range(10_000)}, 1)
    assert max(len(part) for part in slices) <= SWEEP_SLICE
    assert [n for part in slices for n in part] == list(range(10_000))
    assert took_s == pytest.approx(SWEEP_INTERVAL_S)


async def test_few_and_none() -> None:
    """Few are one slice; without anybody the sweep waits as long and goes on."""
    assert (await swept({1: 1, 2: 2}, 2))[0] == [[1, 2], [1, 2]]
    assert (await swept({}, 3))[0] == [[], [], []]
