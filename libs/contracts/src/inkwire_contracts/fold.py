"""The one meaning of an event: ``fold(snapshot, event)``.

Gateway, persister, api, the Python client and the page's ``fold.js`` agree on this function by shared vectors
(tests/contract/vectors). It never guesses: an event either applies, is a duplicate, leaves a gap, or is invalid,
and in the last three cases the snapshot stays as it was.
"""

import hashlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inkwire_contracts.account import Account
from inkwire_contracts.documents import DocumentRef, Source
from inkwire_contracts.events import (
    ENDS,
    Cancelled,
    CancelledData,
    ChunkProduced,
    Deleted,
    Event,
    Failed,
    FailedData,
    GenerateRequested,
    KeyEvent,
    Metrics,
    Paused,
    Planned,
    PlannedSection,
    PostPublished,
    Progressed,
    Retrying,
    SectionCompleted,
    SectionStarted,
    Started,
    Turn,
    UnknownEvent,
    Usage,
)

PostStatus = Literal[
    "unknown",
    "queued",
    "generating",
    "recovering",
    "retrying",
    "paused",
    "published",
    "failed",
    "cancelled",
    "deleted",
]
ACTIVE: frozenset[str] = frozenset({"queued", "generating", "recovering", "retrying"})
RESTARTABLE: frozenset[str] = frozenset({"paused", "failed", "cancelled"})
FINAL: frozenset[str] = ENDS


class Outcome(StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    """Its place in the sequence is already in the snapshot."""
    GAP = "gap"
    """Something before it is missing: read the log again from the snapshot's position."""
    INVALID = "invalid"
    """It is next in line but contradicts the state; the log itself is damaged."""


class Section(BaseModel):
    """A section as far as it is written. ``length`` counts code points of ``text``."""

    section: str
    title: str = ""
    in_document: bool = True
    target_words: int = 0
    status: Literal["pending", "writing", "done"] = "pending"
    text: str = ""
    length: int = 0
    data: dict[str, Any] | None = None
    usage: Usage | None = None
    model: str = ""
    sources: list[Source] = Field(default_factory=list)

    def set_text(self, text: str) -> None:
        """Replace the text and its length together."""
        self.text = text
        self.length = len(text)

    def append_text(self, text: str) -> None:
        """Add to the text, in time that grows with what is added, not with what is there.

        CPython extends a string in place where nothing else refers to it, so it is taken out of the instance first.
        """
        values = self.__dict__
        whole = values.pop("text")
        whole += text
        values["text"] = whole
        values["length"] += len(text)


class Progress(BaseModel):
    """How far the run is, for people and machines."""

    percent: int = 0
    code: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    message: str = ""


class RetryNotice(BaseModel):
    """Why nothing is being written at the moment, and for how long."""

    code: str
    message: str
    delay_ms: int
    retry: int
    time: str


class Problem(BaseModel):
    """Why the run failed."""

    code: str
    params: dict[str, Any] = Field(default_factory=dict)
    message: str = ""


class Snapshot(BaseModel):
    """A post folded up to ``seq``. Mutable: :func:`fold` changes it in place."""

    model_config = ConfigDict(extra="ignore")

    post: str
    owner: str = ""
    run: int = 0
    attempt: int = 0
    seq: int = 0
    key_seq: int = 0
    """``seq`` of the last key event."""
    status: PostStatus = "unknown"
    title: str = ""
    recipe: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    priority: str = "normal"
    pool: str = "general"
    fingerprint: str = ""
    documents: list[DocumentRef] = Field(default_factory=list)
    turn: Turn | None = None
    created_at: str = ""
    updated_at: str = ""
    started_run: int = 0
    """The last run that a worker has started; a second start within it is a recovery."""
    open_section: str | None = None
    sections: list[Section] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    progress: Progress = Field(default_factory=Progress)
    retry: RetryNotice | None = None
    error: Problem | None = None
    sha256: str | None = None
    metrics: Metrics | None = None
    spent: Account = Field(default_factory=Account)
    """What the post has cost, all its runs together."""
    run_spent: Account = Field(default_factory=Account)
    """What the latest run has cost."""

    def section(self, section: str) -> Section | None:
        """The section of that id, if known."""
        for known in self.sections:
            if known.section == section:
                return known
        return None

    @property
    def is_final(self) -> bool:
        """Whether the latest run has ended (or the post is deleted)."""
        return self.status in FINAL


def document(snapshot: Snapshot) -> str:
    """The document's text: its sections' texts, one after the other, with nothing added."""
    return "".join(s.text for s in snapshot.sections if s.in_document)


def digest(text: str) -> str:
    """SHA-256 over the text's UTF-8 bytes, in lower-case hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def fold_all(snapshot: Snapshot, events: Iterable[Event]) -> Outcome:
    """Fold events in order; stop at the first gap or invalid one and return that, else ``APPLIED``."""
    for event in events:
        outcome = fold(snapshot, event)
        if outcome in (Outcome.GAP, Outcome.INVALID):
            return outcome
    return Outcome.APPLIED


def fold(snapshot: Snapshot, event: Event) -> Outcome:
    """Apply one event to the snapshot, in place.

    An event follows if its ``seq`` (or ``first_seq``) is the next one, or if it is a key event whose ``prev`` is the
    snapshot's last key event: so the whole log and its key events alone fold to the same post.
    """
    if event.seq <= snapshot.seq:
        return Outcome.DUPLICATE
    if event.post != snapshot.post:
        return Outcome.INVALID
    # Told by class: asking a model for a field that it lacks costs more than the rest of the fold of a chunk. Chunks
    # first, and by identity: nearly all are, and whether a model is an instance of another class costs as much again.
    if type(event) is ChunkProduced:
        prev, first_seq = None, event.first_seq
    else:
        prev, first_seq = event.prev if isinstance(event, _HAVE_PREV) else None, None
    if (first_seq or event.seq) > snapshot.seq + 1 and prev != snapshot.key_seq:
        return Outcome.GAP
    if prev is not None and prev != snapshot.key_seq:
        return Outcome.INVALID
    handler = _HANDLERS.get(type(event))
    if handler is not None:
        outcome = handler(snapshot, event)
        if outcome is not Outcome.APPLIED:
            return outcome
    # Into the instance itself: setting four fields of a model takes longer than everything else here.
    values = snapshot.__dict__
    values["seq"], values["attempt"], values["updated_at"] = event.seq, event.attempt, event.time
    if prev is not None:
        values["key_seq"] = event.seq
    return Outcome.APPLIED


_HAVE_PREV = (KeyEvent, UnknownEvent)


def _active(snapshot: Snapshot, event: Event) -> bool:
    return snapshot.status in ACTIVE and event.run == snapshot.run


def _pay(snapshot: Snapshot, usage: Usage | None, *, wasted: bool) -> None:
    """An event tells what was paid, for the first and only time."""
    snapshot.spent.pay(usage, wasted=wasted)
    snapshot.run_spent.pay(usage, wasted=wasted)


def _supersede(snapshot: Snapshot, section: Section) -> None:
    """A finished section is given up in this run, and what it cost with it."""
    if section.status == "done":
        snapshot.spent.waste(section.usage)
        snapshot.run_spent.waste(section.usage)


def _discard_open_text(snapshot: Snapshot) -> None:
    """What an interrupted attempt wrote of its open section is superseded."""
    if snapshot.open_section is None:
        return
    section = snapshot.section(snapshot.open_section)
    if section is not None:
        section.set_text("")
        section.status = "pending"
    snapshot.open_section = None


def _requested(snapshot: Snapshot, event: GenerateRequested) -> Outcome:
    first = snapshot.seq == 0 and event.seq == 1 and event.run == 1
    again = snapshot.status in RESTARTABLE and event.run == snapshot.run + 1
    if not first and not again:
        return Outcome.INVALID
    if first:
        snapshot.created_at = event.time
    snapshot.owner = event.owner
    snapshot.run = event.run
    snapshot.title = event.data.title
    snapshot.recipe = event.data.recipe
    snapshot.options = event.data.options
    snapshot.priority = event.data.priority
    snapshot.pool = event.data.pool
    snapshot.fingerprint = event.data.fingerprint
    snapshot.documents = event.data.documents
    snapshot.turn = event.data.turn
    snapshot.status = "queued"
    snapshot.error = None
    snapshot.metrics = None
    snapshot.progress = Progress()
    kept = snapshot.section(snapshot.open_section) if snapshot.open_section else None
    if kept is not None:  # the run before had paid for it, so it is no waste of this one
        snapshot.spent.waste(kept.usage)
        kept.usage = None
    snapshot.run_spent = Account()
    _discard_open_text(snapshot)
    return Outcome.APPLIED


def _started(snapshot: Snapshot, event: Started) -> Outcome:
    if not _active(snapshot, event):
        return Outcome.INVALID
    snapshot.status = "recovering" if snapshot.started_run == event.run else "generating"
    snapshot.started_run = event.run
    snapshot.retry = None
    _pay(snapshot, event.data.usage, wasted=True)
    _discard_open_text(snapshot)
    return Outcome.APPLIED


def _planned(snapshot: Snapshot, event: Planned) -> Outcome:
    if not _active(snapshot, event):
        return Outcome.INVALID
    known = {s.section: s for s in snapshot.sections}
    planned = {p.section for p in event.data.sections}
    steps = [s for s in snapshot.sections if s.section not in planned and not s.in_document]
    for dropped in (s for s in snapshot.sections if s.section not in planned and s.in_document):
        _supersede(snapshot, dropped)
    snapshot.sections = steps + [_plan_section(known.get(p.section), p) for p in event.data.sections]
    snapshot.metadata = event.data.metadata
    if snapshot.open_section is not None and snapshot.section(snapshot.open_section) is None:
        snapshot.open_section = None
    return Outcome.APPLIED


def _plan_section(known: Section | None, planned: PlannedSection) -> Section:
    section = known or Section(section=planned.section)
    section.title = planned.title
    section.in_document = planned.in_document
    section.target_words = planned.target_words
    return section


def _section_started(snapshot: Snapshot, event: SectionStarted) -> Outcome:
    if not _active(snapshot, event):
        return Outcome.INVALID
    if snapshot.open_section != event.data.section:
        _discard_open_text(snapshot)
    section = snapshot.section(event.data.section)
    if section is None:
        section = Section(section=event.data.section)
        snapshot.sections.append(section)
    _supersede(snapshot, section)
    section.title = event.data.title or section.title
    section.in_document = event.data.in_document
    section.status = "writing"
    section.set_text("")
    section.data = None
    section.sources = []
    snapshot.open_section = section.section
    snapshot.status = "generating"
    snapshot.retry = None
    return Outcome.APPLIED


def _chunk(snapshot: Snapshot, event: ChunkProduced) -> Outcome:
    data = event.data
    if not _active(snapshot, event) or snapshot.open_section != data.section:
        return Outcome.INVALID
    section = snapshot.section(data.section)
    if section is None or data.end - data.start != len(data.text):
        return Outcome.INVALID
    if data.start > section.length:
        return Outcome.GAP
    if data.end > section.length:
        section.append_text(data.text[section.length - data.start :])
    return Outcome.APPLIED


def _section_completed(snapshot: Snapshot, event: SectionCompleted) -> Outcome:
    if not _active(snapshot, event) or snapshot.open_section != event.data.section:
        return Outcome.INVALID
    section = snapshot.section(event.data.section)
    if section is None:
        return Outcome.INVALID
    section.set_text(event.data.text)
    section.status = "done"
    section.data = event.data.data
    section.usage = event.data.usage
    section.model = event.data.model
    section.sources = event.data.sources
    _pay(snapshot, event.data.usage, wasted=False)
    snapshot.open_section = None
    return Outcome.APPLIED


def _progressed(snapshot: Snapshot, event: Progressed) -> Outcome:
    if not _active(snapshot, event):
        return Outcome.INVALID
    snapshot.progress = Progress.model_validate(event.data.model_dump())
    return Outcome.APPLIED


def _retrying(snapshot: Snapshot, event: Retrying) -> Outcome:
    if not _active(snapshot, event):
        return Outcome.INVALID
    data = event.data
    snapshot.status = "retrying"
    snapshot.retry = RetryNotice(
        code=data.code, message=data.message, delay_ms=data.delay_ms, retry=data.retry, time=event.time
    )
    for account in (snapshot.spent, snapshot.run_spent):
        account.retries += data.asked
    _pay(snapshot, data.usage, wasted=True)
    _discard_open_text(snapshot)
    return Outcome.APPLIED


def _paused(snapshot: Snapshot, event: Paused) -> Outcome:
    if snapshot.open_section is not None:
        return Outcome.INVALID
    return _ended(snapshot, event, "paused")


def _published(snapshot: Snapshot, event: PostPublished) -> Outcome:
    if snapshot.open_section is not None:
        return Outcome.INVALID
    outcome = _ended(snapshot, event, "published")
    if outcome is Outcome.APPLIED:
        snapshot.sha256 = event.data.sha256
        snapshot.metrics = event.data.metrics
        snapshot.progress.percent = 100
    return outcome


def _failed(snapshot: Snapshot, event: Failed) -> Outcome:
    outcome = _ended(snapshot, event, "failed")
    if outcome is Outcome.APPLIED:
        data = event.data
        snapshot.error = Problem(code=data.code, params=data.params, message=data.message)
        snapshot.metrics = data.metrics
        _keep_open_text(snapshot, data)
    return outcome


def _cancelled(snapshot: Snapshot, event: Cancelled) -> Outcome:
    outcome = _ended(snapshot, event, "cancelled")
    if outcome is Outcome.APPLIED:
        snapshot.metrics = event.data.metrics
        _keep_open_text(snapshot, event.data)
    return outcome


def _keep_open_text(snapshot: Snapshot, data: FailedData | CancelledData) -> None:
    """The open section holds what the event says, nothing if it says nothing: chunks have no part in it.

    Where text is kept, what was paid for it is kept with it; else it is wasted.
    """
    section = snapshot.section(snapshot.open_section) if snapshot.open_section else None
    kept = section is not None and section.section == data.section and data.text != ""
    if section is not None:
        section.set_text(data.text if kept else "")
        section.usage = data.usage if kept else None
    _pay(snapshot, data.usage, wasted=not kept)


def _ended(snapshot: Snapshot, event: Event, status: PostStatus) -> Outcome:
    if not _active(snapshot, event):
        return Outcome.INVALID
    snapshot.status = status
    snapshot.retry = None
    return Outcome.APPLIED


def _deleted(snapshot: Snapshot, _event: Deleted) -> Outcome:
    if snapshot.seq == 0:
        return Outcome.INVALID
    snapshot.status = "deleted"
    snapshot.sections = []
    snapshot.open_section = None
    snapshot.title = ""
    snapshot.options = {}
    snapshot.documents = []
    snapshot.metadata = {}
    snapshot.progress = Progress()
    snapshot.retry = None
    snapshot.error = None
    snapshot.sha256 = None
    return Outcome.APPLIED


_HANDLERS: dict[type[Event], Callable[[Snapshot, Any], Outcome]] = {
    GenerateRequested: _requested,
    Started: _started,
    Planned: _planned,
    SectionStarted: _section_started,
    ChunkProduced: _chunk,
    SectionCompleted: _section_completed,
    Progressed: _progressed,
    Retrying: _retrying,
    Paused: _paused,
    PostPublished: _published,
    Failed: _failed,
    Cancelled: _cancelled,
    Deleted: _deleted,
}
