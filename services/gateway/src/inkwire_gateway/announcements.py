"""What this process says of its own connections: beats, goodbyes, whispers. Awaits a port, does no I/O itself."""

import asyncio
import heapq
import zlib
from collections import deque
from dataclasses import dataclass
from itertools import count

from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import get_logger
from inkwire_contracts.client_frames import PresentMember
from inkwire_gateway.ports import Presence, Unavailable

BEATS_PER_TTL = 3
"""A connection says so often in its time that it is there: two beats may be lost."""

MAX_WHISPERS = 1_000
"""Whispers that wait to be told; more are dropped, as whispers may be."""

RETRY_S = 1.0

Key = tuple[str, str]
"""A conversation and a connection."""


@dataclass(slots=True)
class _Beat:
    who: PresentMember
    said: int = 0


class Announcements:
    """One voice for all connections of the process, so that what it says of one is in order.

    Memory is bounded by the connections and the channels each may follow, and by ``MAX_WHISPERS``.

    Args:
        ttl_s: who is silent for so long is taken for gone by others.
    """

    def __init__(self, presence: Presence, *, clock: Clock, ttl_s: float) -> None:
        self._presence = presence
        self._clock = clock
        self._interval_s = ttl_s / BEATS_PER_TTL
        self._beats: dict[Key, _Beat] = {}
        self._due: list[tuple[float, int, Key, _Beat]] = []
        self._numbers = count()
        self._goodbyes: dict[Key, str] = {}
        self._whispers: deque[tuple[str, PresentMember, str, str, bytes]] = deque(maxlen=MAX_WHISPERS)
        self._wake = asyncio.Event()
        self.handing_over = False
        """The process stops and its clients come back elsewhere at once: nobody says goodbye."""

    def hold(self, conversation: str, who: PresentMember, connection: str) -> None:
        """A connection is there from now on."""
        beat = _Beat(who)
        self._beats[conversation, connection] = beat
        self._push(self._clock.monotonic_s(), (conversation, connection), beat)
        self._wake.set()

    def release(self, conversation: str, connection: str) -> None:
        """It is there no more."""
        beat = self._beats.pop((conversation, connection), None)
        if beat is not None and not self.handing_over:
            self._goodbyes[conversation, connection] = beat.who.user
            self._wake.set()

    def whisper(self, conversation: str, who: PresentMember, connection: str, name: str, data: bytes) -> None:
        """Tell the others soon."""
        self._whispers.append((conversation, who, connection, name, data))
        self._wake.set()

    def repeat(self) -> None:
        """Say everything again: it may not have been heard."""
        now_s = self._clock.monotonic_s()
        self._due = []
        for key, beat in self._beats.items():
            self._push(now_s, key, beat)
        self._wake.set()

    async def run(self) -> None:
        """Speak, for as long as the process lives."""
        while True:
            try:
                await self._speak()
            except Unavailable as error:
                get_logger().debug("presence cannot be told", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            wait_s = max(0.0, self._due[0][0] - self._clock.monotonic_s()) if self._due else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _speak(self) -> None:
        self._wake.clear()
        while self._goodbyes or self._whispers or self._is_due():
            while self._whispers:
                await self._presence.whisper(*self._whispers.popleft())
            for key, user in list(self._goodbyes.items()):
                if key not in self._beats:
                    await self._presence.take_leave(key[0], user, key[1])
                self._goodbyes.pop(key, None)
            if self._is_due():
                await self._say_next()

    def _is_due(self) -> bool:
        return bool(self._due) and self._due[0][0] <= self._clock.monotonic_s()

    async def _say_next(self) -> None:
        _, number, key, beat = self._due[0]
        if self._beats.get(key) is beat:
            await self._presence.say(key[0], beat.who, key[1])
        if not self._due or self._due[0][1] != number:
            return  # everything is to be said again
        heapq.heappop(self._due)
        if self._beats.get(key) is beat:
            beat.said += 1
            # Spread: the beats of those who came together drift apart.
            share = zlib.crc32(f"{key[1]}{beat.said}".encode()) / 2**32
            due_s = self._clock.monotonic_s() + self._interval_s * (0.75 + 0.5 * share)
            self._push(due_s, key, beat)

    def _push(self, due_s: float, key: Key, beat: _Beat) -> None:
        heapq.heappush(self._due, (due_s, next(self._numbers), key, beat))
