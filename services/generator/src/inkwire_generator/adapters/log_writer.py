"""Writes one post's log: one event in flight, text coalescing behind it, everything accepted folded at once.

There is one source of text: the snapshot folded from what the broker has acknowledged. Nothing waits for a timer: the
first piece goes out as it comes, and whatever arrives while it is under way makes the next chunk. A worker with many
posts sends only so much at once (:class:`Turns`); the others' text grows while it waits, in the providers' sockets
(:meth:`LogWriter.settle`), because what is read late is read in one go, and is in the chunk all the same.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Protocol

from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.event_log import Held, LogDamaged
from inkwire_chassis.lifecycle import cancel_and_wait, spawn
from inkwire_contracts.data import Data
from inkwire_contracts.events import Event
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_generator.composing import Author, next_chunk, next_event
from inkwire_generator.pulse import Pulse

MAX_CHUNK_CHARS = 16_384
"""Text of one chunk event, in code points; with six bytes each in JSON it still fits an event."""

MAX_BUFFERED_CHARS = 65_536
"""Text that waits for the broker; at the bound the provider is not read any further."""

MAX_SETTLE_S = 0.5
"""The longest that a provider's socket waits for its post's turn; then its text is kept here, as far as it may."""

CHUNKS_COUNT = 128
"""Chunks under way at once, of all posts of a worker: enough to keep a broker busy, chosen by figures
(benchmarks/README.md). More would only wait there, with text that is as old as it was when they left."""

KEYS_COUNT = 16
"""Key events under way at once, of all posts of a worker. Where hundreds of posts begin a section in the same second,
they take this share of broker and processor, and text that people read now keeps the rest."""


class Turns:
    """What a worker's posts have under way at the broker at once. First come, first served."""

    def __init__(self, chunks: int = CHUNKS_COUNT, keys: int = KEYS_COUNT) -> None:
        self.chunks = asyncio.Semaphore(chunks)
        self.keys = asyncio.Semaphore(keys)
        self._waiting: set[Pulse] = set()

    @asynccontextmanager
    async def one_of(self, kind: asyncio.Semaphore, pulse: Pulse) -> AsyncIterator[None]:
        """A turn for the length of a block."""
        self._waiting.add(pulse)
        try:
            await kind.acquire()
        finally:
            self._waiting.discard(pulse)
        try:
            yield
        finally:
            kind.release()

    def touch(self, now_s: float) -> None:
        """Those that have turns wait for room in the log: who waits behind them does not hang, either."""
        for pulse in self._waiting:
            pulse.touch(now_s)


class Append(Protocol):
    """The log's fenced write."""

    def __call__(self, event: Event, held: Held) -> Awaitable[int]:
        """Write; returns the stream sequence. Raises Fenced."""
        ...


class LogWriter:
    """See :class:`inkwire_generator.ports.Writer`. Made by :func:`open_writer`."""

    def __init__(
        self,
        append: Append,
        held: Held,
        snapshot: Snapshot,
        author: Author,
        clock: Clock,
        pulse: Pulse,
        turns: Turns,
    ) -> None:
        self.snapshot = snapshot
        self._append = append
        self._held = held
        self._author = author
        self._clock = clock
        self._pulse = pulse
        self._turns = turns
        self._settling = False
        self._turn = asyncio.Event()
        self._section = ""
        self._pieces: list[str] = []
        self._buffered_chars = 0
        self._next: tuple[type[Event], Data] | None = None
        self._failure: BaseException | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._room = asyncio.Event()
        self._idle.set()
        self._room.set()

    async def push(self, section: str, text: str) -> None:
        self._check()
        if not text:
            return
        self._section = section
        self._pieces.append(text)
        self._buffered_chars += len(text)
        self._idle.clear()
        self._wake.set()
        if self._buffered_chars >= MAX_BUFFERED_CHARS:
            self._room.clear()
            await self._room.wait()
            self._check()

    async def settle(self) -> None:
        if not self._pieces:
            return
        self._turn.clear()
        self._settling = True
        try:
            async with asyncio.timeout(MAX_SETTLE_S):
                await self._turn.wait()
        except TimeoutError:
            return
        finally:
            self._settling = False
        self._check()

    async def write(self, event_type: type[Event], data: Data) -> None:
        await self.drain()
        self._next = (event_type, data)
        self._idle.clear()
        self._wake.set()
        await self.drain()

    async def drain(self) -> None:
        await self._idle.wait()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def pump(self) -> None:
        """Store what is waiting, for ever; a failure is kept for whoever writes next, and ends the pump."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._pieces or self._settling or self._next is not None:
                    await self._store_next()
                self._idle.set()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised again in the post's own task
            self._failure = error
        finally:
            self._idle.set()
            self._room.set()
            self._turn.set()

    async def _store_next(self) -> None:
        if self._next is not None and not self._pieces:  # the post's own task waits for it
            async with self._turns.one_of(self._turns.keys, self._pulse):
                await self._store(self._take())
            return
        async with self._turns.one_of(self._turns.chunks, self._pulse):
            if self._settling:
                self._turn.set()
                await asyncio.sleep(0)  # what has come meanwhile is read and pushed now
            if self._pieces:
                await self._store(self._take())

    def _take(self) -> Event:
        time = rfc3339(self._clock.now())
        if not self._pieces:
            assert self._next is not None  # noqa: S101 - pump() looked
            (event_type, data), self._next = self._next, None
            return next_event(self.snapshot, self._author, event_type, data, time)
        text = "".join(self._pieces)
        chunk, rest = text[:MAX_CHUNK_CHARS], text[MAX_CHUNK_CHARS:]
        self._pieces = [rest] if rest else []
        self._buffered_chars = len(rest)
        if self._buffered_chars < MAX_BUFFERED_CHARS:
            self._room.set()
        return next_chunk(self.snapshot, self._author, self._section, chunk, time)

    async def _store(self, event: Event) -> None:
        await self._append(event, self._held)
        outcome = fold(self.snapshot, event)
        if outcome is not Outcome.APPLIED:
            raise LogDamaged(f"our own {event.type} at seq {event.seq} does not fold: {outcome}")
        self._pulse.touch(self._clock.monotonic_s())


@asynccontextmanager
async def open_writer(writer: LogWriter) -> AsyncIterator[LogWriter]:
    """Run the writer's pump for the length of a block; leaving abandons what is not stored yet."""
    pump = spawn(f"log writer {writer.snapshot.post}", writer.pump())
    try:
        yield writer
    finally:
        await cancel_and_wait(pump)
