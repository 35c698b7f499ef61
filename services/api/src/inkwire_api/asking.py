"""Ask the broker until it answers, or the time for it is up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from inkwire_api.ports import BrokerUnavailable
from inkwire_chassis.logs import get_logger
from inkwire_contracts.errors import InkwireError

ASK_TRIES = 100
"""Bound on asking the broker again; the commit time-out is usually nearer."""
ASK_FIRST_S = 0.05
ASK_MAX_S = 0.5

T = TypeVar("T")


def delay_s(attempt: int) -> float:
    """How long to wait after the attempt of that number, from 0."""
    return float(min(ASK_FIRST_S * 2 ** min(attempt, 10), ASK_MAX_S))


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the broker answers; the question must be one that may be repeated.

    Raises:
        InkwireError: ``broker_unavailable``.
    """
    for attempt in range(ASK_TRIES):
        try:
            return await ask()
        except BrokerUnavailable as error:
            if attempt == 0:
                get_logger().warning("the broker did not answer; asking again", error=str(error))
            await asyncio.sleep(delay_s(attempt))
    raise InkwireError("broker_unavailable")


@asynccontextmanager
async def in_time(timeout_s: float) -> AsyncIterator[None]:
    """Bound the time of everything that a block asks.

    Raises:
        InkwireError: ``broker_unavailable``.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise InkwireError("broker_unavailable") from None
