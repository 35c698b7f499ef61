"""Bodies of requests and answers about conversations and their messages."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from inkwire_api.answers import Joined
from inkwire_api.bounds import MAX_JSON_NODES, MAX_TITLE_CHARS, check_json, clean_title
from inkwire_api.conversations import clean_avatar, clean_name
from inkwire_api.messages import WrittenRole, clean_content
from inkwire_api.ports import Folded, FoldedConversation
from inkwire_api.schemas import EXAMPLE_ID, MentionedDocument, RecipeName, Title
from inkwire_contracts.client_frames import Position
from inkwire_contracts.conversations import (
    MAX_AVATAR_CHARS,
    MAX_MEMBER_NAME_CHARS,
    MAX_MESSAGE_CHARS,
    Conversation,
    Member,
    Message,
    Role,
)
from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.events import Metrics, Priority
from inkwire_contracts.fold import PostStatus, document
from inkwire_contracts.fold import Problem as RunProblem
from inkwire_contracts.ids import ID_PATTERN
from inkwire_contracts.views import told
from inkwire_stores.conversation_ports import ConversationSummary


def _title_or_none(value: str) -> str:
    return clean_title(value) if value.strip() else ""


OptionalTitle = Annotated[str, AfterValidator(_title_or_none), Field(json_schema_extra={"maxLength": MAX_TITLE_CHARS})]
Options = Annotated[dict[str, Any], AfterValidator(check_json)]
Content = Annotated[
    str,
    AfterValidator(clean_content),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_MESSAGE_CHARS}, examples=["What is a quorum?"]),
]
Name = Annotated[str, AfterValidator(clean_name), Field(json_schema_extra={"maxLength": MAX_MEMBER_NAME_CHARS})]
Avatar = Annotated[str, AfterValidator(clean_avatar), Field(json_schema_extra={"maxLength": MAX_AVATAR_CHARS})]
MessageName = Annotated[str, StringConstraints(pattern=ID_PATTERN)]


class CreateConversation(BaseModel):
    """A new conversation. `recipe` and `options` are those of its answers; `GET /recipes` has their JSON Schema.

    Without a title the first answer finds one.
    """

    model_config = ConfigDict(extra="forbid")

    title: OptionalTitle = ""
    recipe: RecipeName = "chat"
    options: Options = Field(default_factory=dict)


class ChangeConversation(BaseModel):
    """Another title; no generated one will replace it."""

    model_config = ConfigDict(extra="forbid")

    title: Title


class CreateMessage(BaseModel):
    """Something to say, and whether the assistant is asked to answer.

    `replaces` is an own message that is sent anew: that one and all after it are superseded. `recipe` and `options` are
    for this answer alone. `documents` are own ones, by number, id or name, beside those that the text mentions with
    `@`. A `system` message is a note of the conversation's owner, and never answered.
    """

    model_config = ConfigDict(extra="forbid")

    content: Content
    role: WrittenRole = "user"
    reply: bool | None = None
    """By default true for a `user`'s message."""
    recipe: RecipeName | None = None
    options: Options | None = None
    documents: list[MentionedDocument] = Field(default_factory=list, max_length=MAX_JSON_NODES)
    priority: Priority = "normal"
    replaces: MessageName | None = None


class PutMember(BaseModel):
    """How others see the member; what is empty stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    avatar: Avatar = ""


class ReplyView(BaseModel):
    """An answer as far as it is written: its post, read at this moment.

    `text` is its Markdown, `sha256` that of a published one's UTF-8 bytes. Follow `channel` from `position` to see it
    being written; `position` is null where nothing of it is in the log yet.
    """

    post: str = Field(examples=[EXAMPLE_ID])
    status: PostStatus
    run: int
    percent: int
    message: str
    text: str
    sha256: str | None
    error: RunProblem | None
    metrics: Metrics | None
    updated_at: str
    channel: str = Field(examples=[f"reply:{EXAMPLE_ID}:{EXAMPLE_ID}"])
    position: Position | None


class MessageView(BaseModel):
    """A message. `seq` is its place: unique in a conversation, and rising.

    `author` is a member's token; the assistant has none, its `content` is empty, `reply` is what it says, and
    `reply_to` the message that it answers. `replaces` is what this one was sent in place of, `superseded_by` what has
    taken the place of this one, or of one before it. `reactions` are the members by emoji.
    """

    id: str = Field(examples=[EXAMPLE_ID])
    seq: int
    role: Role
    author: str | None
    content: str
    documents: list[DocumentRef]
    reply_to: str | None
    post: str | None
    replaces: str | None
    superseded_by: str | None
    reactions: dict[str, list[str]]
    created_at: str = Field(examples=["2026-11-21T12:00:00.000Z"])
    reply: ReplyView | None


class ConversationHead(BaseModel):
    """A conversation without its messages. `position` is where a WebSocket subscription can go on from."""

    id: str = Field(examples=[EXAMPLE_ID])
    owner: str
    title: str
    title_generated: bool
    recipe: str
    options: dict[str, Any]
    members: list[Member]
    created_at: str
    updated_at: str
    channel: str = Field(examples=[f"conversation:{EXAMPLE_ID}"])
    position: Position


class ConversationView(ConversationHead):
    """A conversation with its newest messages, newest first; `next_cursor` goes on in `GET .../messages`."""

    messages: list[MessageView]
    next_cursor: str | None


class ConversationList(BaseModel):
    """Conversations that one takes part in, last changed first. `next_cursor` is null at the end."""

    items: list[ConversationSummary]
    next_cursor: str | None


class MessageList(BaseModel):
    """Messages, newest first. `next_cursor` is null at the end; a page of long answers may be short."""

    items: list[MessageView]
    next_cursor: str | None


class AcceptedReply(BaseModel):
    """An answer that will be written, whatever dies meanwhile. Follow it on `websocket_url`, channel `channel`."""

    message: str = Field(examples=[EXAMPLE_ID])
    post: str = Field(examples=[EXAMPLE_ID])
    run: int
    channel: str = Field(examples=[f"reply:{EXAMPLE_ID}:{EXAMPLE_ID}"])
    websocket_url: str = Field(examples=["ws://127.0.0.1:8080/ws"])


class SentMessage(BaseModel):
    """The message as it stands in the conversation, and the answer to come, if one was asked for."""

    message: MessageView
    reply: AcceptedReply | None


class SteeredReply(BaseModel):
    """An answer's latest run, and its state at this moment."""

    message: str = Field(examples=[EXAMPLE_ID])
    post: str = Field(examples=[EXAMPLE_ID])
    run: int
    status: PostStatus


class Reactions(BaseModel):
    """The members by emoji, in the order in which they came."""

    message: str = Field(examples=[EXAMPLE_ID])
    reactions: dict[str, list[str]]


def head(found: FoldedConversation) -> ConversationHead:
    """The view of a folded conversation."""
    return ConversationHead(**_facts(found))


def view(found: FoldedConversation, messages: list[MessageView], next_cursor: str | None) -> ConversationView:
    """The view of a folded conversation with its newest messages."""
    return ConversationView(**_facts(found), messages=messages, next_cursor=next_cursor)


def _facts(found: FoldedConversation) -> dict[str, Any]:
    conversation = found.conversation
    return {
        "id": conversation.conversation,
        "owner": conversation.owner,
        "title": conversation.title,
        "title_generated": conversation.title_generated,
        "recipe": conversation.recipe,
        "options": conversation.options,
        "members": conversation.members,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "channel": f"conversation:{conversation.conversation}",
        "position": Position(epoch=found.epoch, seq=conversation.seq),
    }


def message_view(conversation: Conversation, joined: Joined) -> MessageView:
    """The view of a message with its answer."""
    return _message(joined.message, _reply(conversation, joined.answer))


def bare_message(message: Message) -> MessageView:
    """The view of a message that a person wrote."""
    return _message(message, None)


def _message(message: Message, reply: ReplyView | None) -> MessageView:
    return MessageView(id=message.message, reply=reply, **message.model_dump(exclude={"message"}))


def _reply(conversation: Conversation, answer: Folded | None) -> ReplyView | None:
    if answer is None:
        return None
    snapshot = answer.snapshot
    return ReplyView(
        post=snapshot.post,
        status=snapshot.status,
        run=snapshot.run,
        percent=snapshot.progress.percent,
        message=told(snapshot),
        text=document(snapshot),
        sha256=snapshot.sha256,
        error=snapshot.error,
        metrics=snapshot.metrics,
        updated_at=snapshot.updated_at,
        channel=reply_channel(conversation.conversation, snapshot.post),
        position=Position(epoch=answer.epoch, seq=snapshot.seq) if answer.epoch else None,
    )


def reply_channel(conversation: str, post: str) -> str:
    """Where members follow an answer."""
    return f"reply:{conversation}:{post}"
