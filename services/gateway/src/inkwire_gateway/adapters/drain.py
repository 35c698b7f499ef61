"""Moves connections away in small batches, in random order, with jittered pauses, within a deadline."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

DRAIN_INTERVAL_S = 0.05
"""Between two batches, on average."""

DRAIN_BATCH = 20
"""Connections closed at once, at least."""


async def drain(
    connections: Sequence[T],
    close: Callable[[T], None],
    *,
    within_s: float,
    now_s: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Close all of them, so that they do not come to another gateway at once or in any order.

    A batch is as large as the time that is left demands: a loop that is late closes more at once.
    """
    waiting = list(connections)
    random.shuffle(waiting)
    deadline_s = now_s() + within_s
    while waiting:
        rounds = max(1, math.floor((deadline_s - now_s()) / DRAIN_INTERVAL_S))
        size = max(DRAIN_BATCH, math.ceil(len(waiting) / rounds))
        for connection in waiting[:size]:
            close(connection)
        del waiting[:size]
        if waiting:
            left_s = max(0.0, deadline_s - now_s())
            await sleep(min(left_s, DRAIN_INTERVAL_S * (0.5 + jitter())))
