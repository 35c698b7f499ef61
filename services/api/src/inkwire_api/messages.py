"""What a message becomes: its ids, bounds, events, and the request for its reply. Pure.

The ids of a message and of its answer come from the post's, and that from the Idempotency-Key (or, of an answer written
once more, from the answer that it replaces): whoever does it again, wherever, does the same.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inkwire_api.bounds import DIRECTION_CONTROLS, MAX_TITLE_CHARS
from inkwire_api.conversations import standing_message
from inkwire_contracts.conversations import (
    MAX_CONVERSATION_CHARS,
    MAX_MENTIONS,
    MAX_MESSAGE_CHARS,
    MAX_MESSAGES,
    Conversation,
    Message,
    MessageCreated,
    MessageData,
)
from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import Priority, Turn
from inkwire_contracts.ids import encode_id, idempotent_post_id

WrittenRole = Literal["user", "system"]
"""What people may write as."""

UNTITLED = "Message"
"""The title of a reply to a message without a word."""

_LINE = frozenset("\n\t")
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})


@dataclass(frozen=True, slots=True)
class MessageWish:
    """A message as it was sent, its form already checked. ``recipe`` and ``options``: as in the conversation."""

    content: str
    role: WrittenRole = "user"
    reply: bool = True
    recipe: str | None = None
    options: Mapping[str, Any] | None = None
    documents: tuple[int | str, ...] = ()
    priority: Priority = "normal"
    replaces: str | None = None


def post_of_key(conversation: str, caller: str, key: str) -> str:
    """The id that belongs to a caller's Idempotency-Key in a conversation; no post outside has it."""
    return idempotent_post_id(caller, f"conversations {conversation} messages {key}")


def post_of_regeneration(answer: str) -> str:
    """The id of the post that is written in an answer's place: an answer is replaced once."""
    return _derived(answer, "again")


def question_id(post: str) -> str:
    """The message that a post answers."""
    return _derived(post, "question")


def note_id(post: str) -> str:
    """A message that nobody is asked to answer, by the id that a post would have had."""
    return _derived(post, "note")


def answer_id(post: str) -> str:
    """The message whose words a post is."""
    return _derived(post, "answer")


def _derived(origin: str, what: str) -> str:
    return encode_id(hashlib.sha256(f"{origin}.{what}".encode()).digest())


def fingerprint(wish: MessageWish) -> str:
    """SHA-256 over the canonical JSON of a message as it was sent: the same for the same request, always."""
    body = {
        "message": wish.content,
        "role": wish.role,
        "recipe": wish.recipe,
        "options": None if wish.options is None else dict(wish.options),
        "documents": list(wish.documents),
        "priority": wish.priority,
        "replaces": wish.replaces,
    }
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def clean_content(value: str) -> str:
    """A message's text with line feeds as its only line breaks.

    Raises:
        ValueError: empty, too long, or not readable text.
    """
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > MAX_MESSAGE_CHARS:
        raise ValueError(f"must have at most {MAX_MESSAGE_CHARS} characters")
    categories = {unicodedata.category(character) for character in text if character not in _LINE}
    if categories & {"Cc", "Cs"}:
        raise ValueError("must be text without control characters")
    if not categories - _INVISIBLE:
        raise ValueError("must not be empty")
    return text


def require_room(conversation: Conversation, *, messages: int, chars: int = 0, mentions: int = 0) -> None:
    """Refuse what a conversation cannot hold any more.

    Raises:
        InkwireError: ``conversation_full``.
    """
    if (
        len(conversation.messages) + messages > MAX_MESSAGES
        or conversation.chars + chars > MAX_CONVERSATION_CHARS
        or (mentions > 0 and conversation.mentions + mentions > MAX_MENTIONS)
    ):
        raise InkwireError("conversation_full")


def require_editable(conversation: Conversation, message: str | None, by: str) -> None:
    """Whether somebody may put another message in the place of this one.

    Raises:
        InkwireError: ``unknown_message`` or ``author_only``.
    """
    if message is not None and standing_message(conversation, message).author != by:
        raise InkwireError("author_only")


def answer_in(conversation: Conversation, message: str) -> tuple[Message, str]:
    """An answer of the assistant, superseded or not, and its post.

    Raises:
        InkwireError: ``unknown_message`` or ``not_a_reply``.
    """
    found = conversation.message(message)
    if found is None:
        raise InkwireError("unknown_message")
    if found.role != "assistant" or found.post is None:
        raise InkwireError("not_a_reply")
    return found, found.post


def reply_title(content: str) -> str:
    """A title for the post that answers: the first line that has words, cut to a title's length."""
    for line in content.splitlines():
        seen = (c for c in line if c not in DIRECTION_CONTROLS)
        words = "".join(c if unicodedata.category(c) not in ("Cc", "Zl", "Zp") else " " for c in seen)
        title = " ".join(words.split())[:MAX_TITLE_CHARS].strip()
        if any(unicodedata.category(character) not in _INVISIBLE for character in title):
            return title
    return UNTITLED


def reply_options(conversation: Conversation, wish: MessageWish) -> dict[str, Any]:
    """The conversation's options with the message's own over them; those of another recipe are not mixed in."""
    own = dict(wish.options or {})
    return {**conversation.options, **own} if wish.recipe in (None, conversation.recipe) else own


def turn(conversation: str, post: str, question: str | None = None) -> Turn:
    """Where a reply belongs."""
    return Turn(conversation=conversation, message=question or question_id(post), reply=answer_id(post))


def question_event(
    conversation: str, post: str, wish: MessageWish, documents: Sequence[DocumentRef], *, by: str, time: str
) -> MessageCreated:
    """What somebody says."""
    data = MessageData(
        message=question_id(post) if wish.reply else note_id(post),
        role=wish.role,
        author=by,
        content=wish.content,
        documents=list(documents),
        replaces=wish.replaces,
    )
    return MessageCreated(conversation=conversation, id=data.message, by=by, time=time, data=data)


def answer_event(
    conversation: str, post: str, *, question: str, by: str, time: str, replaces: str | None = None
) -> MessageCreated:
    """That the assistant is about to answer."""
    data = MessageData(message=answer_id(post), role="assistant", reply_to=question, post=post, replaces=replaces)
    return MessageCreated(conversation=conversation, id=data.message, by=by, time=time, data=data)


def says_the_same(stored: Message, event: MessageCreated) -> bool:
    """Whether what is on record is what was sent; what was mentioned may have got other numbers since."""
    data = event.data
    return (stored.role, stored.content, stored.replaces, stored.author) == (
        data.role,
        data.content,
        data.replaces,
        data.author,
    )
