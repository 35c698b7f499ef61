"""Time as the matrix needs it: gaps between kills and the pace of slow readers, ended early when all is over."""

import asyncio
import contextlib


async def pause(over: asyncio.Event, seconds: float) -> bool:
    """Let `seconds` pass unless `over` is set first; whether it was."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await over.wait()
    return over.is_set()
