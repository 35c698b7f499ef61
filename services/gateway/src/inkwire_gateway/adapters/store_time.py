"""How long the store is waited for."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from inkwire_stores.ports import StoreUnavailable

T = TypeVar("T")
STORE_TIMEOUT_S = 3.0
"""A store that does not answer for so long is away: where it can, the log does; else it is asked again in turn."""


async def in_time(read: Awaitable[T]) -> T:
    """What is read.

    Raises:
        StoreUnavailable: it took too long, or the read's own reason.
    """
    try:
        async with asyncio.timeout(STORE_TIMEOUT_S):
            return await read
    except TimeoutError:
        raise StoreUnavailable("no answer in time") from None
