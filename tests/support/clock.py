"""A clock that stands still until a test moves it; fits the Clock port of inkwire_chassis."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Wall time, monotonic time and sleeping, all moved by `advance` alone."""

    def __init__(self, now: datetime = START, monotonic_s: float = 1_000.0) -> None:
        if now.tzinfo is None:
            raise ValueError("the clock needs an aware time")
        self._now = now
        self._monotonic_s = monotonic_s
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Aware wall time in UTC."""
        return self._now

    def monotonic_s(self) -> float:
        """Seconds since some moment; moved by `advance`, never by `set_wall`."""
        return self._monotonic_s

    @property
    def sleepers(self) -> int:
        """How many `sleep` calls are waiting, so that a test can wait for the code to go to sleep."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    def set_wall(self, now: datetime) -> None:
        """Let the wall clock jump, as a clock correction does, without time going by."""
        if now.tzinfo is None:
            raise ValueError("the clock needs an aware time")
        self._now = now

    def advance(self, seconds: float) -> None:
        """Let time go by and wake every sleeper that is due, in order. Raises ValueError for a negative time."""
        if seconds < 0:
            raise ValueError("time does not go backwards")
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic_s:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved time by `seconds`; zero or less only yields to other tasks."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic_s + seconds, next(self._order), sleeper))
        await sleeper
