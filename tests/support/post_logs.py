"""The log of a post as a worker would write it: plain events for tests of what reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from inkwire_contracts.events import (
    Cancelled,
    CancelledData,
    ChunkData,
    ChunkProduced,
    Deleted,
    Event,
    Failed,
    FailedData,
    GenerateRequested,
    Planned,
    PlannedData,
    PlannedSection,
    PostPublished,
    ProgressData,
    Progressed,
    PublishedData,
    RequestedData,
    Retrying,
    RetryingData,
    SectionCompleted,
    SectionCompletedData,
    SectionStarted,
    SectionStartedData,
    Started,
    StartedData,
)
from inkwire_contracts.fold import digest
from inkwire_contracts.ids import encode_id

End = Literal["published", "failed", "cancelled"]
TIME: Final = "2026-11-21T09:00:00.000Z"
SECTIONS: Final = (
    ("intro", "# Ten tips\n\nLaravel, fast: cafe\u0301 and naïve.\n\n"),
    ("body", "## Cache 🗄️\n\nKeep it.\n\n## Queue 👩‍👩‍👧\n\nLet it run.\n\n"),
    ("end", "## The end\n\nשלום — done.\n"),
)


def post_id(number: int) -> str:
    """A valid post id, the same for the same number."""
    return encode_id(f"{number:010} is a post".encode())


@dataclass
class PostLog:
    """Appends events with right seq and prev; ``events`` is the log so far."""

    post: str = field(default_factory=lambda: post_id(1))
    owner: str = "ana"
    run: int = 1
    attempt: int = 0
    seq: int = 0
    key_seq: int = 0
    events: list[Event] = field(default_factory=list)

    def add(self, cls: type[Event], data: Any = None, **changes: Any) -> Event:
        """Append one event of a class; ``changes`` override the envelope."""
        self.seq += 1
        envelope: dict[str, Any] = {
            "post": self.post,
            "owner": self.owner,
            "run": self.run,
            "attempt": self.attempt,
            "seq": self.seq,
            "time": TIME,
        }
        if "prev" in cls.model_fields:
            envelope["prev"] = self.key_seq
            self.key_seq = self.seq
        if data is not None:
            envelope["data"] = data
        event = cls(**{**envelope, **changes})
        self.events.append(event)
        return event

    def request(self, title: str = "Ten Laravel tips") -> None:
        """requested."""
        self.add(GenerateRequested, RequestedData(title=title, recipe="blog", options={"tone": "warm"}))

    def start(self) -> None:
        """started, by the next attempt."""
        self.attempt += 1
        self.add(Started, StartedData(worker=f"worker-{self.attempt}"))

    def plan(self, sections: Sequence[tuple[str, str]] = SECTIONS) -> None:
        """planned."""
        planned = [PlannedSection(section=name, title=name.title()) for name, _ in sections]
        self.add(Planned, PlannedData(sections=planned, metadata={"tags": ["laravel"]}))

    def open_section(self, name: str, text: str, *, chunk: int = 9) -> None:
        """section_started and its chunks, with progress between; not completed."""
        self.add(SectionStarted, SectionStartedData(section=name, title=name.title()))
        for start in range(0, len(text), chunk):
            piece = text[start : start + chunk]
            self.add(ChunkProduced, ChunkData(section=name, start=start, end=start + len(piece), text=piece))
        self.add(Progressed, ProgressData(percent=50, message=f"Writing {name}"))

    def write_section(self, name: str, text: str, *, chunk: int = 9) -> None:
        """A whole section."""
        self.open_section(name, text, chunk=chunk)
        self.add(SectionCompleted, SectionCompletedData(section=name, text=text, data={"a.b": [1, {"$c": 2**70}]}))

    def retry(self, section: str) -> None:
        """retrying."""
        self.add(Retrying, RetryingData(section=section, code="provider_cut", delay_ms=10))

    def publish(self, text: str, *, sha256: str | None = None) -> None:
        """published; its digest is the text's unless another is given."""
        self.add(PostPublished, PublishedData(sha256=sha256 or digest(text), length=len(text)))

    def fail(self, section: str = "", text: str = "") -> None:
        """failed."""
        self.add(Failed, FailedData(code="provider_auth", params={"x.y": 1}, section=section, text=text))

    def cancel(self, section: str = "", text: str = "") -> None:
        """cancelled."""
        self.add(Cancelled, CancelledData(section=section, text=text))

    def delete(self) -> None:
        """deleted."""
        self.add(Deleted)

    @property
    def key_events(self) -> list[Event]:
        """What the persister's consumer delivers of this log."""
        return [event for event in self.events if is_key(event)]


def is_key(event: Event) -> bool:
    """Whether it is a key event."""
    return getattr(event, "prev", None) is not None


def text_of(sections: Sequence[tuple[str, str]] = SECTIONS) -> str:
    """The document of sections."""
    return "".join(text for _, text in sections)


def whole_post(
    number: int = 1, *, owner: str = "ana", sections: Sequence[tuple[str, str]] = SECTIONS, end: End = "published"
) -> PostLog:
    """A post from its request to its end; one that is not published ends in the middle of its last section."""
    log = PostLog(post=post_id(number), owner=owner)
    log.request()
    log.start()
    log.plan(sections)
    *finished, (last, last_text) = sections
    for name, text in finished:
        log.write_section(name, text)
    if end == "published":
        log.write_section(last, last_text)
        log.publish(text_of(sections))
        return log
    log.open_section(last, last_text)
    half = last_text[: len(last_text) // 2]
    log.fail(last, half) if end == "failed" else log.cancel(last, half)
    return log


def with_stream_seqs(events: Sequence[Event], *, first: int = 100, step: int = 3) -> Iterator[tuple[Event, int]]:
    """Events with the places that a stream shared with other posts gives them."""
    for index, event in enumerate(events):
        yield event, first + index * step
