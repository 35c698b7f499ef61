"""Looks at all connections again and again, a slice at a time, so that the fan-out never waits for it."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

SWEEP_INTERVAL_S = 0.5
"""In which everybody is looked at once, about."""

SWEEP_SLICE = 200
"""Connections looked at in one tick of the loop, at most."""


async def sweep(
    clients: Mapping[object, T],
    look: Callable[[Sequence[T]], None],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Call ``look`` with slices of the clients, for ever. Who comes during a round is in the next one."""
    while True:
        everyone = list(clients.values())
        pause_s = SWEEP_INTERVAL_S / max(1, math.ceil(len(everyone) / SWEEP_SLICE))
        for start in range(0, max(1, len(everyone)), SWEEP_SLICE):
            await sleep(pause_s)
            look(everyone[start : start + SWEEP_SLICE])
