"""The native WebSocket dialect: every frame a client may send and a server may answer. Prose: docs/protocol.md.

One text frame is one JSON object with a ``type``. Unknown fields are ignored, unknown types from a client refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

SUBPROTOCOL = "inkwire.v1"
"""Offered by clients; a second offered subprotocol ``token.<JWT>`` authenticates the handshake."""

TOKEN_SUBPROTOCOL_PREFIX = "token."  # noqa: S105 - a prefix, not a secret
MAX_CLIENT_FRAME_BYTES = 10_240
MAX_TEXT_FRAME_BYTES = 64 * 1024
"""Catch-up text travels in frames of at most this size: the whole JSON as UTF-8, not the text in it alone."""


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Position(_Frame):
    """A place in a post's log. ``epoch`` changes when the log was lost, and then ``seq`` means nothing."""

    epoch: str = Field(max_length=64)
    seq: int = Field(ge=0)


MAX_CHANNEL_CHARS = 160
MAX_RUN = 1_000_000

Channel = Annotated[str, Field(min_length=1, max_length=MAX_CHANNEL_CHARS)]
FrameId = int | None


class Authenticate(_Frame):
    """The first frame, unless the handshake carried a token."""

    type: Literal["authenticate"]
    token: str = Field(min_length=1, max_length=4096)


class Subscribe(_Frame):
    """Follow a channel. With ``position`` the server sends only what is newer, if it still can."""

    type: Literal["subscribe"]
    channel: Channel
    position: Position | None = None
    id: FrameId = None


class Unsubscribe(_Frame):
    """Stop following a channel."""

    type: Literal["unsubscribe"]
    channel: Channel
    id: FrameId = None


class Refresh(_Frame):
    """Replace the token of this connection by a newer one of the same owner."""

    type: Literal["refresh"]
    token: str = Field(min_length=1, max_length=4096)
    id: FrameId = None


class Cancel(_Frame):
    """Stop the post of a channel, whether the channel is followed or not. With ``run`` only that run is stopped."""

    type: Literal["cancel"]
    channel: Channel
    run: int | None = Field(None, ge=1, le=MAX_RUN)
    id: FrameId = None


MAX_WHISPER_NAME_CHARS = 40


class Whisper(_Frame):
    """Tell the others of a ``presence:`` channel something that nobody keeps, such as ``typing``."""

    type: Literal["whisper"]
    channel: Channel
    name: str = Field(min_length=1, max_length=MAX_WHISPER_NAME_CHARS, pattern=r"^[a-z][a-z0-9_.-]*$")
    data: dict[str, Any] = Field(default_factory=dict)
    id: FrameId = None


class Ping(_Frame):
    """Ask for a ``pong``, for clients that cannot see WebSocket pings."""

    type: Literal["ping"]
    id: FrameId = None


ClientFrame = Annotated[
    Authenticate | Subscribe | Unsubscribe | Refresh | Cancel | Whisper | Ping,
    Field(discriminator="type"),
]
CLIENT_FRAME: TypeAdapter[ClientFrame] = TypeAdapter(ClientFrame)


class Welcome(_Frame):
    """The connection is authenticated. ``expires_at`` is the token's end; refresh before it."""

    type: Literal["welcome"] = "welcome"
    connection: str
    owner: str
    expires_at: str
    max_channels: int


class Refreshed(_Frame):
    """The new token is in force."""

    type: Literal["refreshed"] = "refreshed"
    expires_at: str
    id: FrameId = None


class Subscribed(_Frame):
    """The channel is followed. ``recovered``: only newer events follow; else a snapshot does."""

    type: Literal["subscribed"] = "subscribed"
    channel: str
    recovered: bool
    id: FrameId = None


class SnapshotFrame(_Frame):
    """The post as it stands, without texts and data: forget all you had. Those follow in frames, then ``live``."""

    type: Literal["snapshot"] = "snapshot"
    channel: str
    epoch: str
    snapshot: dict[str, Any]


class TextFrame(_Frame):
    """Text ``[start, end)`` of a section of the snapshot, in code points, in order; finished sections first."""

    type: Literal["text"] = "text"
    channel: str
    section: str
    start: int
    end: int
    text: str


class DataFrame(_Frame):
    """The ``data`` of a section of the snapshot, whole; a section without data has no such frame."""

    type: Literal["data"] = "data"
    channel: str
    section: str
    data: dict[str, Any]


class Live(_Frame):
    """Catch-up is complete: this position is now yours, and what follows is live."""

    type: Literal["live"] = "live"
    channel: str
    position: Position


class EventFrame(_Frame):
    """One event; ``event`` is the log's JSON as it is (a merged chunk has ``first_seq`` too)."""

    type: Literal["event"] = "event"
    channel: str
    name: str
    event: dict[str, Any]


class Posts(_Frame):
    """Answer to a ``user:`` subscription: the owner's newest posts (summaries), newest first."""

    type: Literal["posts"] = "posts"
    channel: str
    items: list[dict[str, Any]]


class ConversationFrame(_Frame):
    """A ``conversation:`` as it stands at ``position``: forget all you had; what follows are events.

    ``conversation`` is the folded conversation with its newest messages; ``older`` ones, if any, are had over HTTP.
    """

    type: Literal["conversation"] = "conversation"
    channel: str
    conversation: dict[str, Any]
    older: bool = False
    position: Position


class ConversationEventFrame(_Frame):
    """One event of a conversation, as it stands in the log, and the position that is yours once it is applied."""

    type: Literal["conversation_event"] = "conversation_event"
    channel: str
    name: str
    event: dict[str, Any]
    position: Position


class PresentMember(_Frame):
    """Somebody who is there, on at least one connection."""

    user: str
    name: str = ""
    avatar: str = ""


class Here(_Frame):
    """Answer to a ``presence:`` subscription: who is there, oneself included."""

    type: Literal["here"] = "here"
    channel: str
    members: list[PresentMember]


class Joined(_Frame):
    """Somebody came who was not there."""

    type: Literal["joined"] = "joined"
    channel: str
    member: PresentMember


class Left(_Frame):
    """Somebody's last connection is gone."""

    type: Literal["left"] = "left"
    channel: str
    member: PresentMember


class Whispered(_Frame):
    """What a member told; never one's own connection's."""

    type: Literal["whispered"] = "whispered"
    channel: str
    name: str
    member: PresentMember
    data: dict[str, Any]


class Unsubscribed(_Frame):
    """The channel is not followed any more; with ``code`` because the server ended it."""

    type: Literal["unsubscribed"] = "unsubscribed"
    channel: str
    code: str | None = None
    message: str | None = None
    id: FrameId = None


class Cancelling(_Frame):
    """Answer to ``cancel``: the post's latest run, and the post's status at this moment.

    ``accepted``: that run will stop, whatever dies meanwhile; its end comes as an event. Not accepted: the run that was
    meant had ended before, and nothing was changed.
    """

    type: Literal["cancelling"] = "cancelling"
    channel: str
    run: int
    status: str
    accepted: bool
    id: FrameId = None


class ErrorFrame(_Frame):
    """A frame was refused; nothing was changed."""

    type: Literal["error"] = "error"
    code: str
    message: str
    params: dict[str, Any] = Field(default_factory=dict)
    channel: str | None = None
    id: FrameId = None


class Pong(_Frame):
    """Answer to ``ping``."""

    type: Literal["pong"] = "pong"
    id: FrameId = None


ServerFrame = Annotated[
    Welcome
    | Refreshed
    | Subscribed
    | SnapshotFrame
    | TextFrame
    | DataFrame
    | Live
    | EventFrame
    | Posts
    | ConversationFrame
    | ConversationEventFrame
    | Here
    | Joined
    | Left
    | Whispered
    | Unsubscribed
    | Cancelling
    | ErrorFrame
    | Pong,
    Field(discriminator="type"),
]
SERVER_FRAME: TypeAdapter[ServerFrame] = TypeAdapter(ServerFrame)
