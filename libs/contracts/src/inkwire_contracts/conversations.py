"""A conversation's log: its events, and the fold that gives them meaning.

Many write to it, nobody holds a claim: each event stands on one literal subject, is stored once by its ``id``, and has
its place by the stream's sequence. So an event that contradicts what came before it (a reaction to a message that is
gone) changes nothing, and everybody who folds the log agrees on that.

What the assistant says is not here: its message names a post, and the post has its own log, digest and life.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from inkwire_contracts.data import Data
from inkwire_contracts.documents import MAX_DOCUMENTS, DocumentRef
from inkwire_contracts.fold import Outcome
from inkwire_contracts.ids import OwnerToken, PostId

ConversationId = PostId
MessageId = PostId

MAX_MESSAGE_CHARS = 16_000
MAX_MESSAGES = 2_000
"""Messages of one conversation, superseded ones included."""
MAX_MEMBERS = 50
MAX_EMOJI_CHARS = 16
MAX_EMOJIS = 20
"""Different emojis on one message."""
MAX_TITLE_CHARS = 200
MAX_MEMBER_NAME_CHARS = 100
MAX_AVATAR_CHARS = 500
MAX_CONVERSATION_CHARS = 2_000_000
"""Text of all messages that people wrote; beyond it the api asks for a new conversation."""
MAX_MENTIONS = 2_000
"""Documents that all messages of one conversation mention together."""
MAX_REACTIONS = 10_000
"""Emojis of all members on all messages. With the bounds above, a conversation in any script fits into one stored
document."""

UNREADABLE = "unreadable"
"""Type of what stands in a log and is no event of it."""

Role = Literal["user", "assistant", "system"]


class CreatedData(Data):
    """A conversation begins. ``recipe`` and ``options`` are those of its replies unless a message says otherwise."""

    title: str = Field("", max_length=MAX_TITLE_CHARS)
    recipe: str = "chat"
    options: dict[str, Any] = Field(default_factory=dict)
    name: str = Field("", max_length=MAX_MEMBER_NAME_CHARS)
    avatar: str = Field("", max_length=MAX_AVATAR_CHARS)


class MessageData(Data):
    """A message. One of the assistant has no ``content`` of its own: ``post`` is what it says.

    ``reply_to`` is the message that an assistant's answers. ``replaces`` supersedes that message and all after it: an
    edited question, an answer written once more.
    """

    message: MessageId
    role: Role
    author: OwnerToken | None = None
    content: str = Field("", max_length=MAX_MESSAGE_CHARS)
    documents: list[DocumentRef] = Field(default_factory=list, max_length=MAX_DOCUMENTS)
    reply_to: MessageId | None = None
    post: PostId | None = None
    replaces: MessageId | None = None


class ReactionData(Data):
    """A member's emoji on a message, put there or taken away."""

    message: MessageId
    emoji: str = Field(min_length=1, max_length=MAX_EMOJI_CHARS)
    user: OwnerToken
    present: bool


class MemberData(Data):
    """Somebody takes part from now on, or does not any more."""

    user: OwnerToken
    name: str = Field("", max_length=MAX_MEMBER_NAME_CHARS)
    avatar: str = Field("", max_length=MAX_AVATAR_CHARS)
    present: bool


class TitleData(Data):
    """The conversation's title. One that was ``generated`` never replaces one that a person gave."""

    title: str = Field(min_length=1, max_length=MAX_TITLE_CHARS)
    generated: bool = False


class ConversationDeletedData(Data):
    """The conversation is gone; nothing follows."""


class ConversationEvent(Data):
    """The envelope. ``id`` is the event's own: stored once, however often it is sent. ``by`` is who did it."""

    name: ClassVar[str] = "unknown"
    """The dotted name that frontends see."""

    type: str
    conversation: ConversationId
    id: str = Field(min_length=1, max_length=100)
    by: OwnerToken
    time: str


class ConversationCreated(ConversationEvent):
    """The first event; its author is the conversation's owner."""

    name: ClassVar[str] = "conversation.created"
    type: Literal["created"] = "created"
    data: CreatedData = CreatedData()


class MessageCreated(ConversationEvent):
    """Somebody said something, or the assistant is about to."""

    name: ClassVar[str] = "message.created"
    type: Literal["message_created"] = "message_created"
    data: MessageData


class ReactionChanged(ConversationEvent):
    """An emoji came or went."""

    name: ClassVar[str] = "reaction.changed"
    type: Literal["reaction_changed"] = "reaction_changed"
    data: ReactionData


class MemberChanged(ConversationEvent):
    """A member came or went."""

    name: ClassVar[str] = "member.changed"
    type: Literal["member_changed"] = "member_changed"
    data: MemberData


class TitleChanged(ConversationEvent):
    """The title is another."""

    name: ClassVar[str] = "title.changed"
    type: Literal["title_changed"] = "title_changed"
    data: TitleData


class ConversationDeleted(ConversationEvent):
    """The conversation was deleted."""

    name: ClassVar[str] = "conversation.deleted"
    type: Literal["deleted"] = "deleted"
    data: ConversationDeletedData = ConversationDeletedData()


class UnknownConversationEvent(ConversationEvent):
    """An event of a type this version does not know: it takes its place and changes nothing."""

    data: dict[str, Any] = Field(default_factory=dict)


CONVERSATION_EVENT_CLASSES: Mapping[str, type[ConversationEvent]] = {
    str(cls.model_fields["type"].default): cls
    for cls in (ConversationCreated, MessageCreated, ReactionChanged, MemberChanged, TitleChanged, ConversationDeleted)
}


class Member(BaseModel):
    """Somebody who takes part."""

    user: str
    name: str = ""
    avatar: str = ""
    role: Literal["owner", "member"] = "member"
    joined_at: str = ""


class Message(BaseModel):
    """A message as it stands. ``seq`` is its event's sequence in the stream, unique and rising, for cursors.

    Messages of a log that was lost since have sequences up to 0 (:meth:`Conversation.begin_anew`).

    ``superseded_by`` is the message that took its place (or that of one before it). ``reactions`` are the users by
    emoji, in the order in which they came.
    """

    message: str
    seq: int
    role: Role
    author: str | None = None
    content: str = ""
    documents: list[DocumentRef] = Field(default_factory=list)
    reply_to: str | None = None
    post: str | None = None
    replaces: str | None = None
    superseded_by: str | None = None
    reactions: dict[str, list[str]] = Field(default_factory=dict)
    created_at: str = ""


class Conversation(BaseModel):
    """A conversation folded up to ``seq``, a sequence of the CONVERSATIONS stream. Mutable."""

    model_config = ConfigDict(extra="ignore")

    conversation: str
    owner: str = ""
    seq: int = 0
    status: Literal["unknown", "active", "deleted"] = "unknown"
    title: str = ""
    title_generated: bool = False
    recipe: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    created_at: str = ""
    updated_at: str = ""
    members: list[Member] = Field(default_factory=list)
    messages: list[Message] = Field(default_factory=list)

    def member(self, user: str) -> Member | None:
        """That member."""
        return next((m for m in self.members if m.user == user), None)

    def message(self, message: str) -> Message | None:
        """That message, superseded or not."""
        return next((m for m in reversed(self.messages) if m.message == message), None)

    @property
    def standing(self) -> list[Message]:
        """The messages as a reader sees them: without superseded ones."""
        return [m for m in self.messages if m.superseded_by is None]

    @property
    def chars(self) -> int:
        """Text of all messages that people wrote."""
        return sum(len(m.content) for m in self.messages)

    @property
    def mentions(self) -> int:
        """Documents that all messages mention."""
        return sum(len(m.documents) for m in self.messages)

    @property
    def reactions(self) -> int:
        """Emojis of all members on all messages."""
        return sum(len(users) for m in self.messages for users in m.reactions.values())

    def begin_anew(self) -> None:
        """The log was lost and another begun: all that it will hold comes after what is here already."""
        for message in self.messages:
            message.seq -= self.seq
        self.seq = 0

    def path_to(self, message: str) -> list[Message]:
        """What stood before a message when it was written, oldest first, and the message itself; [] if unknown.

        The same at any later time: what superseded something afterwards does not count.
        """
        place = {m.message: index for index, m in enumerate(self.messages)}
        end = place.get(message)
        if end is None:
            return []
        return [
            m for m in self.messages[: end + 1] if m.superseded_by is None or place.get(m.superseded_by, end + 1) > end
        ]


def parse_conversation_event(raw: bytes | str) -> ConversationEvent:
    """Decode an event of a conversation from JSON.

    Raises:
        pydantic.ValidationError: a known type whose fields do not fit.
        TypeError: not a JSON object.
        ValueError: not JSON at all.
    """
    value = from_json(raw)
    if not isinstance(value, dict):
        raise TypeError("an event is a JSON object")
    return CONVERSATION_EVENT_CLASSES.get(str(value.get("type")), UnknownConversationEvent).model_validate(value)


def decode_conversation_event(raw: bytes | str, conversation: str) -> ConversationEvent:
    """What stands in a conversation's log, whatever it is.

    What cannot be decoded, or says that it is another conversation's, takes its place and means nothing, to every
    reader alike: one bad message must not hide all the others.
    """
    try:
        event = parse_conversation_event(raw)
    except (ValueError, TypeError):
        event = None
    if event is not None and event.conversation == conversation:
        return event
    return UnknownConversationEvent(type=UNREADABLE, conversation=conversation, id=UNREADABLE, by=UNREADABLE, time="")


def encode_conversation_event(event: ConversationEvent) -> bytes:
    """The event as UTF-8 JSON, as it stands in the log."""
    return event.model_dump_json().encode()


def fold_conversation(
    conversation: Conversation, event: ConversationEvent, seq: int, *, prev: int | None = None
) -> Outcome:
    """Apply one event to the conversation, in place.

    Args:
        conversation: changed in place, unless the answer is DUPLICATE, GAP or INVALID.
        event: what is stored at ``seq``.
        seq: its sequence in the CONVERSATIONS stream.
        prev: the sequence before it on the same subject, where the reader knows it; then a hole is reported.
    """
    if seq <= conversation.seq:
        return Outcome.DUPLICATE
    if event.conversation != conversation.conversation:
        return Outcome.INVALID
    if prev is not None and prev > conversation.seq:
        return Outcome.GAP
    handler = _HANDLERS.get(type(event))
    if handler is not None and (conversation.status == "active" or isinstance(event, ConversationCreated)):
        handler(conversation, event, seq)
    conversation.seq = seq
    return Outcome.APPLIED


def _created(conversation: Conversation, event: ConversationCreated, _seq: int) -> None:
    if conversation.status != "unknown":
        return
    data = event.data
    conversation.status = "active"
    conversation.owner = event.by
    conversation.title = data.title
    conversation.recipe = data.recipe
    conversation.options = data.options
    conversation.created_at = conversation.updated_at = event.time
    owner = Member(user=event.by, name=data.name, avatar=data.avatar, role="owner", joined_at=event.time)
    conversation.members = [owner]


def _message_created(conversation: Conversation, event: MessageCreated, seq: int) -> None:
    """An answer that comes when its question is superseded already is so from the first, and takes nothing's place."""
    data = event.data
    if conversation.message(data.message) is not None:
        return
    question = conversation.message(data.reply_to) if data.reply_to is not None else None
    late = question.superseded_by if question is not None else None
    if data.replaces is not None and late is None:
        _supersede(conversation, data.replaces, data.message)
    message = Message(seq=seq, created_at=event.time, superseded_by=late, **data.model_dump())
    conversation.messages.append(message)
    conversation.updated_at = event.time


def _supersede(conversation: Conversation, first: str, by: str) -> None:
    reached = False
    for message in conversation.messages:
        reached = reached or message.message == first
        if reached and message.superseded_by is None:
            message.superseded_by = by


def _reaction_changed(conversation: Conversation, event: ReactionChanged, _seq: int) -> None:
    data, message = event.data, conversation.message(event.data.message)
    if message is None:
        return
    users = [user for user in message.reactions.get(data.emoji, []) if user != data.user]
    if data.present:
        users.append(data.user)
    if users and (data.emoji in message.reactions or len(message.reactions) < MAX_EMOJIS):
        message.reactions[data.emoji] = users
    elif not users:
        message.reactions.pop(data.emoji, None)


def _member_changed(conversation: Conversation, event: MemberChanged, _seq: int) -> None:
    data, known = event.data, conversation.member(event.data.user)
    if data.user == conversation.owner:
        return
    if known is not None and data.present:
        known.name, known.avatar = data.name or known.name, data.avatar or known.avatar
    elif known is not None:
        conversation.members.remove(known)
    elif data.present and len(conversation.members) < MAX_MEMBERS:
        new = Member(user=data.user, name=data.name, avatar=data.avatar, joined_at=event.time)
        conversation.members.append(new)


def _title_changed(conversation: Conversation, event: TitleChanged, _seq: int) -> None:
    if event.data.generated and conversation.title and not conversation.title_generated:
        return
    conversation.title = event.data.title
    conversation.title_generated = event.data.generated


def _deleted(conversation: Conversation, event: ConversationDeleted, _seq: int) -> None:
    """What people wrote goes; who they were stays, so that a deletion can be told from a strange address."""
    conversation.status = "deleted"
    conversation.title = ""
    conversation.options = {}
    conversation.messages = []
    conversation.updated_at = event.time


_HANDLERS: Mapping[type[ConversationEvent], Callable[[Conversation, Any, int], None]] = {
    ConversationCreated: _created,
    MessageCreated: _message_created,
    ReactionChanged: _reaction_changed,
    MemberChanged: _member_changed,
    TitleChanged: _title_changed,
    ConversationDeleted: _deleted,
}
