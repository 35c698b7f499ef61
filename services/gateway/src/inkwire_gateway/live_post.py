"""A post that is followed here: its fold and its recent events. How they stay whole: live_log.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inkwire_contracts.events import ChunkProduced, Event, UnknownEvent, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_gateway.live_log import LiveLog, Phase, Verdict
from inkwire_gateway.ring import Entry, Ring


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


class LivePost(LiveLog[int]):
    """See :class:`LiveLog`. A message is its bytes and its place in the stream.

    Args:
        post: the post's id.
    """

    def __init__(self, post: str, ring: Ring, *, max_buffer: int) -> None:
        super().__init__(ring, max_buffer=max_buffer)
        self.snapshot = Snapshot(post=post)
        self.stream_seq = 0

    @property
    def seq(self) -> int:
        """How far the post is folded."""
        return self.snapshot.seq

    def start(self, loaded: Loaded) -> Verdict:
        """Begin at a loaded state and add what was buffered meanwhile."""
        self.snapshot = loaded.snapshot
        self.stream_seq = loaded.stream_seq
        self.epoch = loaded.epoch
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
        """The post as it stands."""
        head = self.snapshot.model_dump(mode="json", exclude={"sections": {"__all__": {"text", "data"}}})
        for section in head["sections"]:
            section["text"], section["data"] = "", None
        done = [s for s in self.snapshot.sections if s.status == "done"]
        rest = [s for s in self.snapshot.sections if s.status != "done"]
        texts = tuple((s.section, s.text) for s in done + rest if s.text)
        data = tuple((s.section, s.data) for s in self.snapshot.sections if s.data is not None)
        return Capture(self.epoch, self.seq, head, texts, data)

    def _take(self, raw: bytes, stream_seq: int) -> Verdict:
        try:
            event = parse_event(raw)
            if event.seq > self.seq + 1:
                self.phase = Phase.BUFFERING
                self._keep(raw, stream_seq)
                return Verdict.GAP
            if event.seq > self.seq and stream_seq <= self.stream_seq:
                outcome = Outcome.INVALID  # what follows is never stored before: this is of another log
            else:
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


def entry_of(event: Event, raw: bytes) -> Entry:
    """An event as its channel's ring holds it."""
    if type(event) is ChunkProduced:
        return Entry(event.seq, event.name, raw, event.data.section)
    return Entry(event.seq, event.type if isinstance(event, UnknownEvent) else event.name, raw)
