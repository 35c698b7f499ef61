"""The recent events of a channel, shared by all its readers: a reader that falls behind is a cursor, not a queue."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from inkwire_contracts.client_frames import MAX_TEXT_FRAME_BYTES
from inkwire_gateway.coalesce import merge_chunks

MAX_MERGED_BYTES = MAX_TEXT_FRAME_BYTES - 4096
"""Log bytes that one merged frame may stand for; merging only makes them shorter, the rest is room for the frame."""

RELIEF_RINGS = 64
"""Rings that are made smaller in one go."""


class Entry(NamedTuple):
    """One event as it goes to readers. ``section`` is set for chunks alone: they may be merged."""

    seq: int
    name: str
    raw: bytes
    section: str | None = None
    origin: str | None = None
    """The one connection that is not sent this, because it comes from there."""


class Batch(NamedTuple):
    """What one frame carries: an event, or ``events`` neighbouring chunks merged. ``seq`` is the last it covers."""

    seq: int
    name: str
    raw: bytes
    origin: str | None = None
    events: int = 1


class RingBudget:
    """What all rings of a process hold together. Beyond it rings that stand still let go first, see :meth:`relieve`.

    Nobody loses anything by it: readers for whom a ring is too short get a snapshot.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._rings: dict[Ring, None] = {}
        """Those that hold something, the next one to be looked at first."""

    @property
    def is_exceeded(self) -> bool:
        """Whether :meth:`relieve` is due."""
        return self.used_bytes > self.max_bytes

    def hold(self, ring: "Ring", size_bytes: int) -> None:
        """A ring is not empty any more."""
        self._rings[ring] = None
        self.used_bytes += size_bytes

    def forget(self, ring: "Ring") -> None:
        """A ring was emptied."""
        self._rings.pop(ring, None)
        self.used_bytes -= ring.size_bytes

    def relieve(self) -> None:
        """Make rings smaller until the bound is kept, :data:`RELIEF_RINGS` in turn at most; the others next time.

        One that got nothing since the last look keeps its newest event, another the newer half of its events: in that
        is what its readers are about to be sent. Neither keeps fewer than it has to.
        """
        for _ in range(min(RELIEF_RINGS, len(self._rings))):
            if not self.is_exceeded:
                return
            ring = next(iter(self._rings))
            self._rings[ring] = self._rings.pop(ring)
            ring.shrink(max(ring.min_events, (len(ring) + 1) // 2 if ring.grew else 1))
            ring.grew = False


class Ring:
    """Events in order, bounded in number and bytes; at a bound the oldest go, and ``floor`` says so.

    Args:
        max_events: how many events are kept at most.
        max_bytes: how many bytes of their JSON are kept at most (the newest event always stays).
        budget: shared with others; without one this ring is on its own.
        min_events: so many of the newest are kept whatever others need.
    """

    def __init__(
        self, max_events: int, max_bytes: int, budget: RingBudget | None = None, *, min_events: int = 1
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self.min_events = min_events
        self._budget = budget or RingBudget(max_bytes)
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self.grew = False
        """Whether something came since :meth:`RingBudget.relieve` looked at it."""
        self.floor = 0
        """Every event after this ``seq`` is here."""
        self.head = 0
        """The newest ``seq``; equal to ``floor`` where the ring is empty."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes of JSON held."""
        return self._bytes

    def clear(self, seq: int) -> None:
        """Forget everything; the next event follows ``seq``."""
        self._budget.forget(self)
        self._entries.clear()
        self._bytes = 0
        self.floor = self.head = seq

    def append(self, entry: Entry) -> None:
        """Add the next event; :meth:`RingBudget.relieve` is the caller's."""
        self._hold(len(entry.raw))
        self._entries.append(entry)
        self.grew = True
        self.head = entry.seq
        while len(self._entries) > 1 and (len(self._entries) > self._max_events or self._bytes > self._max_bytes):
            self._let_go()

    def shrink(self, events: int) -> None:
        """Keep so many of the newest events."""
        while len(self._entries) > events:
            self._let_go()

    def _let_go(self) -> None:
        gone = self._entries.popleft()
        self._bytes -= len(gone.raw)
        self._budget.used_bytes -= len(gone.raw)
        self.floor = gone.seq

    def _hold(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        if self._entries:
            self._budget.used_bytes += size_bytes
        else:
            self._budget.hold(self, size_bytes)

    def prepend(self, entries: Sequence[Entry], floor: int) -> None:
        """Add events before those that are here, as many of the newest as fit: all after ``floor`` are among them."""
        for entry in reversed(entries):
            full = len(self._entries) >= self._max_events or self._bytes + len(entry.raw) > self._max_bytes
            if full or self._budget.is_exceeded:
                self.floor = entry.seq
                return
            self._hold(len(entry.raw))
            self._entries.appendleft(entry)
        self.floor = min(self.floor, floor)

    def covers(self, cursor: int) -> bool:
        """Whether everything after ``cursor`` is here (nothing missing counts too)."""
        return self.floor <= cursor <= self.head

    def batch_after(self, cursor: int, up_to: int) -> Batch | None:
        """The next frame for a reader that has everything up to ``cursor``; ``None`` at ``up_to``.

        Chunks of one section are merged, never across another event. Call only while :meth:`covers` holds.
        """
        if cursor >= up_to:
            return None
        newest = self._entries[-1]
        if newest.seq == up_to == cursor + 1:  # nearly always
            return Batch(newest.seq, newest.name, newest.raw, newest.origin)
        start = self._index_after(cursor)
        first = self._entries[start]
        if first.section is None or first.seq >= up_to:
            return Batch(first.seq, first.name, first.raw, first.origin)
        raws: list[bytes] = []
        size = 0
        for entry in islice(self._entries, start, None):
            size += len(entry.raw)
            if entry.section != first.section or entry.seq > up_to or (raws and size > MAX_MERGED_BYTES):
                break
            raws.append(entry.raw)
        raw, count = merge_chunks(tuple(raws), first.seq) if len(raws) > 1 else (first.raw, 1)
        return Batch(self._entries[start + count - 1].seq, first.name, raw, None, count)

    def _index_after(self, cursor: int) -> int:
        guess = cursor + 1 - self._entries[0].seq
        if 0 <= guess < len(self._entries) and self._entries[guess].seq == cursor + 1:
            return guess
        return bisect_right(self._entries, cursor, key=lambda entry: entry.seq)
