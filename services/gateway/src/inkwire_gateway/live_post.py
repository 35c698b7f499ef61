"""A post that is followed here: its fold, its recent events, and how history and tail become one gapless sequence.

  a          b            d
----> BUFFERING ----> LIVE ----> CLOSED
           ^           |
           +-----------+
                 c
a: the live subject is subscribed, its messages are kept in a buffer while history is read
b: history and buffer were folded and nothing is missing between them
c: a message does not follow (or contradicts what is here): the log is read again from the last good place
d: nobody reads it any more
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from inkwire_contracts.events import ChunkProduced, Event, UnknownEvent, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_gateway.ring import Entry, Ring


class Phase(StrEnum):
    """See the diagram above."""

    BUFFERING = "buffering"
    LIVE = "live"
    CLOSED = "closed"


class Verdict(StrEnum):
    """What has to be done after events came in."""

    OK = "ok"
    GAP = "gap"
    """Something is missing: read the log after ``stream_seq`` and :meth:`LivePost.refill`."""
    DAMAGED = "damaged"
    """An event contradicts the fold: load the post anew and :meth:`LivePost.start`."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """An event with its bytes and its place in the stream."""

    event: Event
    raw: bytes
    stream_seq: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A post's state to start from, with its newest events in order (as many as were read)."""

    snapshot: Snapshot
    stream_seq: int
    epoch: str
    recent: Sequence[Entry] = ()
    source: Literal["log", "store"] = "log"
    """Whether the store alone had to be read."""


@dataclass(frozen=True, slots=True)
class Capture:
    """The post as it stood at ``seq``, to be sent at a reader's own pace: head first, then data and texts."""

    epoch: str
    seq: int
    head: dict[str, Any]
    """The snapshot's JSON with every text empty and every section's data null: bounded by requested and planned."""
    texts: tuple[tuple[str, str], ...]
    """(section, text), finished sections first; empty ones are left out."""
    data: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(section, data) of those that have some; each was bounded by the event that brought it."""


class LivePost:
    """Pure: messages in, verdicts out. Bounded by its ring and its buffer.

    Args:
        post: the post's id.
        ring: where applied events go.
        max_buffer: messages kept while history is read; more are dropped and read from the log instead.
    """

    def __init__(self, post: str, ring: Ring, *, max_buffer: int) -> None:
        self.snapshot = Snapshot(post=post)
        self.ring = ring
        self.stream_seq = 0
        self.epoch = ""
        self.phase = Phase.BUFFERING
        self._buffer: deque[tuple[bytes, int]] = deque()
        self._max_buffer = max_buffer
        self._overflowed = False
        self._capture: Capture | None = None

    @property
    def seq(self) -> int:
        """How far the post is folded."""
        return self.snapshot.seq

    def close(self) -> None:
        """Take nothing in any more."""
        self.phase = Phase.CLOSED
        self._buffer.clear()

    def suspend(self) -> None:
        """Keep what comes in until :meth:`start` or :meth:`refill`, because the log is about to be read."""
        self.phase = Phase.BUFFERING

    def start(self, loaded: Loaded) -> Verdict:
        """Begin at a loaded state and add what was buffered meanwhile."""
        self.snapshot = loaded.snapshot
        self.stream_seq = loaded.stream_seq
        self.epoch = loaded.epoch
        self._capture = None
        first = loaded.recent[0].seq if loaded.recent else loaded.snapshot.seq + 1
        self.ring.clear(first - 1)
        for entry in loaded.recent:
            self.ring.append(entry)
        return self._drain()

    def offer(self, raw: bytes, stream_seq: int) -> Verdict:
        """A message from the live subject."""
        if self.phase is Phase.LIVE:
            return self._take(raw, stream_seq)
        return self._keep(raw, stream_seq) if self.phase is Phase.BUFFERING else Verdict.OK

    def refill(self, events: Sequence[LogEvent]) -> Verdict:
        """Events read from the log after ``stream_seq``, complete as far as they go; then the buffer again."""
        for stored in events:
            outcome = self._fold(stored.event, stored.raw, stored.stream_seq)
            if outcome in (Outcome.GAP, Outcome.INVALID):
                self.phase = Phase.BUFFERING
                return Verdict.DAMAGED
        return self._drain()

    def capture(self) -> Capture:
        """The post as it stands; made once per ``seq``, however many readers join there."""
        if self._capture is None or self._capture.seq != self.seq:
            head = self.snapshot.model_dump(mode="json", exclude={"sections": {"__all__": {"text", "data"}}})
            for section in head["sections"]:
                section["text"], section["data"] = "", None
            done = [s for s in self.snapshot.sections if s.status == "done"]
            rest = [s for s in self.snapshot.sections if s.status != "done"]
            texts = tuple((s.section, s.text) for s in done + rest if s.text)
            data = tuple((s.section, s.data) for s in self.snapshot.sections if s.data is not None)
            self._capture = Capture(self.epoch, self.seq, head, texts, data)
        return self._capture

    def _drain(self) -> Verdict:
        """Go live through the buffer; what was dropped at its bound is a gap like any other."""
        self.phase = Phase.LIVE
        waiting, self._buffer = self._buffer, deque()
        overflowed, self._overflowed = self._overflowed, False
        while waiting:
            verdict = self._take(*waiting.popleft())
            if verdict is not Verdict.OK:
                self._buffer.extend(waiting)
                self._overflowed = overflowed
                return verdict
        if overflowed:
            self.phase = Phase.BUFFERING
            return Verdict.GAP
        return Verdict.OK

    def _take(self, raw: bytes, stream_seq: int) -> Verdict:
        try:
            event = parse_event(raw)
            if event.seq > self.seq + 1:
                self.phase = Phase.BUFFERING
                self._keep(raw, stream_seq)
                return Verdict.GAP
            outcome = self._fold(event, raw, stream_seq)
        except (ValueError, TypeError):
            outcome = Outcome.INVALID
        if outcome in (Outcome.APPLIED, Outcome.DUPLICATE):
            return Verdict.OK
        self.phase = Phase.BUFFERING
        return Verdict.DAMAGED

    def _fold(self, event: Event, raw: bytes, stream_seq: int) -> Outcome:
        outcome = fold(self.snapshot, event)
        if outcome is Outcome.APPLIED:
            self.ring.append(entry_of(event, raw))
            # Not for duplicates: one may be stored beyond events that are still missing here.
            self.stream_seq = max(self.stream_seq, stream_seq)
        return outcome

    def _keep(self, raw: bytes, stream_seq: int) -> Verdict:
        if len(self._buffer) < self._max_buffer:
            self._buffer.append((raw, stream_seq))
            return Verdict.OK
        known, self._overflowed = self._overflowed, True
        return Verdict.OK if known else Verdict.GAP


def entry_of(event: Event, raw: bytes) -> Entry:
    """An event as its channel's ring holds it."""
    name = event.type if isinstance(event, UnknownEvent) else type(event).name
    section = event.data.section if isinstance(event, ChunkProduced) else None
    return Entry(event.seq, name, raw, section)
