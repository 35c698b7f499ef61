"""The events of a post's log: one envelope, a closed set of known types, and room for types yet unknown.

Writers only add fields and types; readers ignore what they do not know (an unknown type still takes its place in
the sequence). What an event *means* is in :mod:`inkwire_contracts.fold`.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from pydantic_core import from_json

from inkwire_contracts.data import Data
from inkwire_contracts.documents import MAX_DOCUMENTS, DocumentRef, Source
from inkwire_contracts.ids import OwnerToken, PostId

MAX_EVENT_BYTES = 256 * 1024
"""The broker refuses a larger event."""

MAX_SECTION_BYTES = 128 * 1024
"""A section's text, in UTF-8; half of an event, because JSON may double it."""

MAX_SECTIONS = 200
"""Sections of one post, working steps included."""

MAX_USAGE_TOKENS = 1_000_000_000
"""Tokens that one event may tell in each direction: far above any model's context, far below any integer's end."""

Priority = Literal["urgent", "high", "normal", "low"]
UsageSource = Literal["reported", "estimated"]


class Usage(Data):
    """Tokens that provider calls cost, as the provider reported them or as we estimated.

    ``cost_usd`` is what they cost at the price of the model that was asked, ``None`` where that is not known.
    """

    tokens_in: int = Field(0, ge=0, le=MAX_USAGE_TOKENS)
    tokens_out: int = Field(0, ge=0, le=MAX_USAGE_TOKENS)
    source: UsageSource = "estimated"
    cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False)


class Metrics(Data):
    """What one run cost, over all its attempts as the log tells them, and how fast its last attempt was.

    ``tokens_wasted`` are among ``tokens_in`` and ``tokens_out``: paid for text that was superseded. ``words`` are those
    of the whole document, sections that an earlier run paid for included.
    """

    model: str = ""
    time_to_first_token_ms: int | None = None
    duration_ms: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_per_s: float = 0.0
    cost_usd: float | None = None
    retries: int = 0
    usage_source: UsageSource = "estimated"
    words: int = 0
    tokens_wasted: int = 0


class Turn(Data):
    """Where a post that is a reply belongs: the conversation, the message it answers, and the one whose words it is."""

    conversation: PostId
    message: PostId
    reply: PostId


class RequestedData(Data):
    """An accepted request. ``fingerprint`` is the SHA-256 of the canonical body, for Idempotency-Key.

    ``documents`` are those that the author mentions, found and checked by the api. ``turn`` is set for a reply.
    """

    title: str
    recipe: str
    options: dict[str, Any] = Field(default_factory=dict)
    priority: Priority = "normal"
    pool: str = "general"
    fingerprint: str = ""
    documents: list[DocumentRef] = Field(default_factory=list, max_length=MAX_DOCUMENTS)
    turn: Turn | None = None


class StartedData(Data):
    """A worker has claimed the post. Finished sections are kept; text of an open one is superseded.

    ``usage`` is what that text had cost, by the estimate of the worker that takes over.
    """

    worker: str = ""
    usage: Usage | None = None


class PlannedSection(Data):
    """One section of the plan, in document order."""

    section: str
    title: str
    in_document: bool = True
    target_words: int = 0


class PlannedData(Data):
    """The document's sections, final for the run once logged; ``metadata`` is the recipe's (description, tags)."""

    sections: list[PlannedSection] = Field(max_length=MAX_SECTIONS)
    metadata: dict[str, Any] = Field(default_factory=dict)


class SectionStartedData(Data):
    """A section begins, empty; whatever it held before is superseded."""

    section: str
    title: str = ""
    in_document: bool = True


class ChunkData(Data):
    """A piece of text at ``[start, end)`` of its section, counted in Unicode code points."""

    section: str
    start: int
    end: int
    text: str


class SectionCompletedData(Data):
    """A finished section with its whole text, so that key events alone tell the document; ``usage`` is its cost.

    ``sources`` are the documents it was written from.
    """

    section: str
    text: str
    data: dict[str, Any] | None = None
    usage: Usage | None = None
    model: str = ""
    sources: list[Source] = Field(default_factory=list, max_length=MAX_DOCUMENTS)


class ProgressData(Data):
    """How far the run is. ``code`` and ``params`` for machines, ``message`` for people."""

    percent: int = Field(ge=0, le=100)
    code: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    message: str = ""


class RetryingData(Data):
    """A provider call failed and is made again in ``delay_ms``; text of the open section is superseded.

    ``usage`` is what that text had cost. ``asked`` is false where nobody was asked, because it would have been in vain.
    """

    section: str = ""
    code: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    message: str = ""
    delay_ms: int = 0
    retry: int = 1
    asked: bool = True
    usage: Usage | None = None


class PausedData(Data):
    """The run ends here until its author goes on."""

    reason: str = ""
    section: str = ""


class PublishedData(Data):
    """The end of a good run. ``sha256`` is over the document's UTF-8 bytes, ``length`` in code points."""

    sha256: str
    length: int
    metrics: Metrics = Field(default_factory=Metrics)


class FailedData(Data):
    """The end of a run that could not go on; ``text`` is what the open ``section`` held, ``usage`` what it cost."""

    code: str
    params: dict[str, Any] = Field(default_factory=dict)
    message: str = ""
    section: str = ""
    text: str = ""
    usage: Usage | None = None
    metrics: Metrics = Field(default_factory=Metrics)


class CancelledData(Data):
    """The end of a cancelled run; ``text`` is what the open ``section`` held, ``usage`` what it cost."""

    section: str = ""
    text: str = ""
    usage: Usage | None = None
    metrics: Metrics = Field(default_factory=Metrics)


class DeletedData(Data):
    """The post is gone; nothing follows."""


class Event(Data):
    """The envelope. ``seq`` is contiguous per post from 1; ``time`` is RFC 3339 in UTC with milliseconds."""

    name: ClassVar[str] = "unknown"
    """The dotted name that frontends see."""

    type: str
    post: PostId
    owner: OwnerToken
    run: int = Field(ge=1)
    attempt: int = Field(ge=0)
    seq: int = Field(ge=1)
    time: str
    traceparent: str | None = None


class KeyEvent(Event):
    """Every event but chunk and progress: key events alone fold to the same document as the whole log."""

    prev: int = Field(ge=0)
    """``seq`` of the key event before, 0 for the first."""


class GenerateRequested(KeyEvent):
    """A request was accepted: run 1 creates the post, each later one is a retry, an approval or a replay."""

    name: ClassVar[str] = "generate.requested"
    type: Literal["requested"] = "requested"
    data: RequestedData


class Started(KeyEvent):
    """A worker claimed the run."""

    name: ClassVar[str] = "generation.started"
    type: Literal["started"] = "started"
    data: StartedData = StartedData()


class Planned(KeyEvent):
    """The document's sections are fixed."""

    name: ClassVar[str] = "post.planned"
    type: Literal["planned"] = "planned"
    data: PlannedData


class SectionStarted(KeyEvent):
    """A section begins, or begins again, empty."""

    name: ClassVar[str] = "section.started"
    type: Literal["section_started"] = "section_started"
    data: SectionStartedData


class ChunkProduced(Event):
    """Text was appended to the open section.

    A gateway may merge neighbouring chunks of a section for a slow reader; the merged one covers the events
    ``[first_seq, seq]``. In the log ``first_seq`` is absent.
    """

    name: ClassVar[str] = "chunk.produced"
    type: Literal["chunk"] = "chunk"
    first_seq: int | None = None
    data: ChunkData


class SectionCompleted(KeyEvent):
    """A section is finished."""

    name: ClassVar[str] = "section.completed"
    type: Literal["section_completed"] = "section_completed"
    data: SectionCompletedData


class Progressed(Event):
    """The run came forward."""

    name: ClassVar[str] = "progress.updated"
    type: Literal["progress"] = "progress"
    data: ProgressData


class Retrying(KeyEvent):
    """The provider failed; the section starts again after a delay."""

    name: ClassVar[str] = "generation.retrying"
    type: Literal["retrying"] = "retrying"
    data: RetryingData


class Paused(KeyEvent):
    """The run ended, waiting for its author."""

    name: ClassVar[str] = "post.paused"
    type: Literal["paused"] = "paused"
    data: PausedData = PausedData()


class PostPublished(KeyEvent):
    """The run ended well."""

    name: ClassVar[str] = "post.published"
    type: Literal["published"] = "published"
    data: PublishedData


class Failed(KeyEvent):
    """The run ended in a failure."""

    name: ClassVar[str] = "post.failed"
    type: Literal["failed"] = "failed"
    data: FailedData


class Cancelled(KeyEvent):
    """The run was cancelled."""

    name: ClassVar[str] = "post.cancelled"
    type: Literal["cancelled"] = "cancelled"
    data: CancelledData = CancelledData()


class Deleted(KeyEvent):
    """The post was deleted."""

    name: ClassVar[str] = "post.deleted"
    type: Literal["deleted"] = "deleted"
    data: DeletedData = DeletedData()


class UnknownEvent(Event):
    """An event of a type this version does not know. With ``prev`` it is a key event."""

    prev: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)


EVENT_CLASSES: Mapping[str, type[Event]] = {
    str(cls.model_fields["type"].default): cls
    for cls in (
        GenerateRequested,
        Started,
        Planned,
        SectionStarted,
        ChunkProduced,
        SectionCompleted,
        Progressed,
        Retrying,
        Paused,
        PostPublished,
        Failed,
        Cancelled,
        Deleted,
    )
}
"""Event type as it stands in subjects -> class."""

KEY_TYPES: tuple[str, ...] = tuple(t for t, cls in EVENT_CLASSES.items() if issubclass(cls, KeyEvent))
"""Types of the key events, in the order of a post's life."""

TERMINAL_TYPES: frozenset[str] = frozenset({"published", "failed", "cancelled", "paused"})
"""Each run ends with exactly one of these."""

ENDS: frozenset[str] = TERMINAL_TYPES | {"deleted"}
"""Where one of these is a post's newest event, its latest run is over."""


_CHUNK_HEAD = b'{"type":"chunk",'
"""How :func:`encode_event` begins a chunk."""

_parse_chunk: Callable[[bytes], ChunkProduced] = ChunkProduced.__pydantic_validator__.validate_json
"""What ``model_validate_json`` calls, with nothing in between: a fifth of its time."""


def parse_event(raw: bytes | str) -> Event:
    """Decode an event from JSON.

    Raises:
        pydantic.ValidationError: a known type whose fields do not fit.
        TypeError: not a JSON object.
        ValueError: not JSON at all.
    """
    if isinstance(raw, bytes) and raw.startswith(_CHUNK_HEAD):  # nearly all are chunks: in one pass, half the time
        return _parse_chunk(raw)
    return event_from_dict(from_json(raw))


def event_from_dict(value: Any) -> Event:
    """Build an event from decoded JSON; see :func:`parse_event`."""
    if not isinstance(value, dict):
        raise TypeError("an event is a JSON object")
    return EVENT_CLASSES.get(str(value.get("type")), UnknownEvent).model_validate(value)


def encode_event(event: Event) -> bytes:
    """The event as UTF-8 JSON, as it stands in the log. Absent optional envelope fields are left out."""
    exclude = {field for field in ("traceparent", "first_seq") if getattr(event, field, "") is None}
    return event.model_dump_json(exclude=exclude).encode()
