"""Events of one post, for the gateway's unit tests."""

from typing import Any

from inkwire_contracts.events import Event, encode_event, event_from_dict
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_gateway.live_post import Loaded, LogEvent, entry_of

POST = "p" * 26
OWNER = "ada"
EPOCH = "epoch-1"


class Script:
    """Builds contiguous events and folds them; ``events[n]`` has seq n + 1 and stream sequence 10 * (n + 1)."""

    def __init__(self, post: str = POST) -> None:
        self.truth = Snapshot(post=post)
        self.events: list[LogEvent] = []

    def add(self, kind: str, **data: Any) -> LogEvent:
        """The next event."""
        value: dict[str, Any] = {
            "type": kind,
            "post": self.truth.post,
            "owner": OWNER,
            "run": self.truth.run or 1,
            "attempt": 0 if kind == "requested" else 1,
            "seq": self.truth.seq + 1,
            "time": "2026-01-01T00:00:00.000Z",
            "data": data,
        }
        if kind not in ("chunk", "progress"):
            value["prev"] = self.truth.key_seq
        event: Event = event_from_dict(value)
        assert fold(self.truth, event) is Outcome.APPLIED
        stored = LogEvent(event, encode_event(event), 10 * event.seq)
        self.events.append(stored)
        return stored

    def begin(self) -> "Script":
        """Requested, started and a section open: three events."""
        self.add("requested", title="T", recipe="blog")
        self.add("started")
        self.add("section_started", section="s")
        return self

    def chunk(self, text: str) -> LogEvent:
        """More text."""
        section = self.truth.section("s")
        assert section is not None
        return self.add("chunk", section="s", start=section.length, end=section.length + len(text), text=text)

    def publish(self) -> None:
        """The end: two events."""
        section = self.truth.section("s")
        assert section is not None
        self.add("section_completed", section="s", text=section.text)
        self.add("published", sha256="0" * 64, length=section.length)

    def loaded(self, up_to: int | None = None, recent: int = 1_000) -> Loaded:
        """The post as the history adapter would give it."""
        events = self.events if up_to is None else self.events[:up_to]
        snapshot = Snapshot(post=self.truth.post)
        for stored in events:
            assert fold(snapshot, stored.event) is Outcome.APPLIED
        kept = [entry_of(stored.event, stored.raw) for stored in events[len(events) - min(recent, len(events)) :]]
        return Loaded(snapshot, events[-1].stream_seq, EPOCH, kept)
