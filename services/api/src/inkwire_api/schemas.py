"""Bodies of requests and answers."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from inkwire_api.articles import reading_time_minutes, target_words, word_count
from inkwire_api.bounds import MAX_JSON_INTEGER, MAX_JSON_NODES, MAX_TITLE_CHARS, check_json, clean_title
from inkwire_chassis.auth import MAX_LIFETIME_S
from inkwire_contracts.account import Account
from inkwire_contracts.client_frames import Position
from inkwire_contracts.dead_letters import DeadLetter
from inkwire_contracts.documents import MAX_NAME_CHARS, Passage, Source
from inkwire_contracts.events import Metrics, Priority
from inkwire_contracts.fold import PostStatus, Section, Snapshot, document
from inkwire_contracts.fold import Problem as RunProblem
from inkwire_contracts.views import PostSummary, UsageTotals, summary
from inkwire_recipes.review import ReviewedOutline
from inkwire_stores.document_ports import DocumentView

EXAMPLE_ID = "k3v5q7wz2m4n6bacbd2f4g6haj"

Title = Annotated[
    str,
    AfterValidator(clean_title),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TITLE_CHARS}, examples=["Top 10 Laravel tips"]),
]
MentionedDocument = Annotated[
    Annotated[int, Field(ge=1, le=MAX_JSON_INTEGER, strict=True)]
    | Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS)],
    Field(examples=[3, "Security policy.pdf"]),
]
RecipeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Scope = Literal["post:read", "post:write", "post:cancel", "ops"]
FilterStatus = Literal["queued", "generating", "recovering", "retrying", "paused", "published", "failed", "cancelled"]


class CreatePost(BaseModel):
    """What to write."""

    model_config = ConfigDict(extra="forbid")

    title: Title
    recipe: RecipeName = "blog"
    options: Annotated[dict[str, Any], AfterValidator(check_json)] = Field(default_factory=dict)
    """The recipe's inputs; `GET /recipes` has their JSON Schema."""
    priority: Priority = "normal"
    documents: list[MentionedDocument] = Field(default_factory=list, max_length=MAX_JSON_NODES)
    """Own documents to write from, by number, id or name, beside those that title and options mention with `@`."""


class AcceptedPost(BaseModel):
    """The post will be written, whatever dies meanwhile. `token` can read this post and nothing else."""

    id: str = Field(examples=[EXAMPLE_ID])
    run: int
    status: Literal["queued"] = "queued"
    status_url: str = Field(examples=[f"http://127.0.0.1:8080/posts/{EXAMPLE_ID}"])
    channel: str = Field(examples=[f"post:{EXAMPLE_ID}"])
    websocket_url: str = Field(examples=["ws://127.0.0.1:8080/ws"])
    token: str
    token_expires_at: str = Field(examples=["2026-11-21T12:00:00.000Z"])


class SteeredPost(BaseModel):
    """A post's latest run, and the post's state at this moment."""

    id: str = Field(examples=[EXAMPLE_ID])
    run: int
    status: PostStatus


class ApprovePost(BaseModel):
    """What the author made of the outline; without one it stands as it is."""

    model_config = ConfigDict(extra="forbid")

    outline: ReviewedOutline | None = None


class PostList(BaseModel):
    """Own posts, newest first. `next_cursor` is null at the end."""

    items: list[PostSummary]
    next_cursor: str | None


class DocumentList(BaseModel):
    """Own documents, newest first. `next_cursor` is null at the end."""

    items: list[DocumentView]
    next_cursor: str | None


class DocumentDetail(DocumentView):
    """A document with its text, as the passages that it is searched by."""

    content: list[Passage]


class ReplayedLetter(BaseModel):
    """The run that a replayed dead letter has become, and the post's state at this moment."""

    post: str = Field(examples=[EXAMPLE_ID])
    run: int
    status: PostStatus


class DeadLetterList(BaseModel):
    """Dead letters of all owners, newest first. `next_cursor` is null at the end.

    A page may be short, or empty, and still have a `next_cursor`, where a filter leaves out many.
    """

    items: list[DeadLetter]
    next_cursor: str | None


class Analytics(UsageTotals):
    """What posts have cost together. `owner` is `all` where it is everybody's."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    owner: str
    since: str | None = Field(alias="from")
    until: str | None = Field(alias="to")


class SectionView(BaseModel):
    """A section as far as it is written. `length` counts code points of `text`, `words` what white space parts.

    `data` is that of a finished structured section: an outline to approve, for example. `sources` are the documents
    that it was written from, and the places in them.
    """

    section: str
    title: str
    status: Literal["pending", "writing", "done"]
    in_document: bool
    target_words: int
    words: int
    length: int
    text: str
    data: dict[str, Any] | None
    sources: list[Source]


class DocumentName(BaseModel):
    """A document that a post may read: those that its author mentioned when it was requested."""

    document: str = Field(examples=[EXAMPLE_ID])
    number: int
    name: str


class PostDetail(PostSummary):
    """A post with its text. `position` is where a WebSocket subscription can go on from.

    `metrics` are those of the latest run that ended, `spent` is what all runs have cost up to now. `target_words` is
    what the plan asks for, `reading_time_minutes` is that of the text so far, `metadata` is the recipe's: a blog
    article has `title`, `description` and `tags` there.
    """

    sections: list[SectionView]
    documents: list[DocumentName]
    target_words: int
    reading_time_minutes: int
    options: dict[str, Any]
    metadata: dict[str, Any]
    metrics: Metrics | None
    spent: Account
    error: RunProblem | None
    position: Position


def detail(snapshot: Snapshot, epoch: str) -> PostDetail:
    """The view of a folded post."""
    return PostDetail(
        **summary(snapshot).model_dump(),
        sections=[_section(section) for section in snapshot.sections],
        documents=[DocumentName.model_validate(ref.model_dump()) for ref in snapshot.documents],
        target_words=target_words(snapshot.sections),
        reading_time_minutes=reading_time_minutes(document(snapshot)),
        options=snapshot.options,
        metadata=snapshot.metadata,
        metrics=snapshot.metrics,
        spent=snapshot.spent,
        error=snapshot.error,
        position=Position(epoch=epoch, seq=snapshot.seq),
    )


def _section(section: Section) -> SectionView:
    return SectionView.model_validate({**section.model_dump(), "words": word_count(section.text)})


class TokenRequest(BaseModel):
    """Less than the caller's own token allows; what is absent stays as it is there."""

    model_config = ConfigDict(extra="forbid")

    scopes: list[Scope] | None = Field(None, min_length=1, max_length=10)
    channels: list[Annotated[str, Field(min_length=1, max_length=160)]] | None = Field(
        None, min_length=1, max_length=50
    )
    lifetime_s: int | None = Field(None, ge=1, le=MAX_LIFETIME_S, strict=True)


class Token(BaseModel):
    """A bearer token."""

    token: str
    expires_at: str = Field(examples=["2026-11-21T12:00:00.000Z"])
    owner: str
    scopes: list[str]
    channels: list[str]


class RecipeStep(BaseModel):
    """A working step before the document: a section of the post with `in_document` false."""

    section: str
    title: str


class RecipeView(BaseModel):
    """A kind of content. `inputs` is the JSON Schema of its options.

    `steps` are its working steps as they stand at the beginning; what comes of one may bring further ones. `outputs`
    are the JSON Schemas of the data of steps and sections; `section/value` where it depends on an option.
    """

    name: str
    title: str
    description: str
    inputs: dict[str, Any]
    steps: list[RecipeStep]
    outputs: dict[str, dict[str, Any]]


class RecipeList(BaseModel):
    """What can be written."""

    items: list[RecipeView]


class PublicConfig(BaseModel):
    """What the page needs to know. `simulated`: a built-in simulator writes, no model is asked."""

    simulated: bool
    model: str
    dev_sign_in: bool
    version: str


class Liveness(BaseModel):
    """The process turns."""

    service: str
    status: str


class Readiness(BaseModel):
    """Each dependency by name."""

    service: str
    status: str
    checks: dict[str, str]
