"""Who may do what in a conversation, and which event follows: decided by the folded conversation alone. Pure."""

import re
import unicodedata
from typing import Any
from urllib.parse import urlsplit

from inkwire_api.bounds import DIRECTION_CONTROLS
from inkwire_chassis.auth import Principal
from inkwire_contracts.conversations import (
    MAX_AVATAR_CHARS,
    MAX_EMOJI_CHARS,
    MAX_EMOJIS,
    MAX_MEMBER_NAME_CHARS,
    MAX_MEMBERS,
    MAX_REACTIONS,
    Conversation,
    ConversationCreated,
    ConversationDeleted,
    CreatedData,
    Member,
    MemberChanged,
    MemberData,
    Message,
    ReactionChanged,
    ReactionData,
    TitleChanged,
    TitleData,
)
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import owner_token

MAX_SUBJECT_CHARS = 255
"""Of a token's subject, by which somebody is made a member."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})

_PICTURE = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff]"
)
_ONE = f"{_PICTURE}\ufe0f?[\U0001f3fb-\U0001f3ff]?[\U000e0020-\U000e007f]*"
_EMOJI = re.compile(
    f"(?:{_ONE}(?:\u200d{_ONE}){{0,4}}"  # a picture, its skin, and those that it is joined with
    "|[\U0001f1e6-\U0001f1ff]{2}"  # a flag
    "|[0-9#*]\ufe0f?\u20e3)"  # a key
)


def is_member(conversation: Conversation, user: str) -> bool:
    """Whether somebody takes part, or did when the conversation was deleted."""
    return conversation.member(user) is not None


def require_member(conversation: Conversation | None, user: str) -> Conversation:
    """The conversation, for somebody who takes part; to others there is none.

    Raises:
        InkwireError: ``not_found``, or ``conversation_gone`` for those who took part.
    """
    if conversation is None or not is_member(conversation, user):
        raise InkwireError("not_found")
    if conversation.status != "active":
        raise InkwireError("conversation_gone")
    return conversation


def require_owner(conversation: Conversation, user: str) -> None:
    """Refuse everybody but the conversation's owner.

    Raises:
        InkwireError: ``owner_only``.
    """
    if conversation.owner != user:
        raise InkwireError("owner_only")


def require_channel(caller: Principal, conversation: str) -> None:
    """Refuse a token that is limited to other channels, before anybody looks whether there is such a conversation.

    Raises:
        InkwireError: ``forbidden_channel``.
    """
    channel = f"conversation:{conversation}"
    if caller.channels and channel not in caller.channels:
        raise InkwireError("forbidden_channel", channel=channel)


def require_all_channels(caller: Principal) -> None:
    """Refuse a token that is limited to channels of others than its owner: for lists, and for what is new.

    Raises:
        InkwireError: ``forbidden_channel``.
    """
    channel = f"user:{caller.owner}"
    if caller.channels and channel not in caller.channels:
        raise InkwireError("forbidden_channel", channel=channel)


def standing_message(conversation: Conversation, message: str) -> Message:
    """That message, if a reader still sees it.

    Raises:
        InkwireError: ``unknown_message``.
    """
    found = conversation.message(message)
    if found is None or found.superseded_by is not None:
        raise InkwireError("unknown_message")
    return found


def member_token(conversation: Conversation, issuer: str, user: str) -> str:
    """Whom a path means: a member by the token that the list of members has, else the owner of a token's subject.

    Raises:
        InkwireError: ``invalid_request``.
    """
    if not 1 <= len(user) <= MAX_SUBJECT_CHARS or any(unicodedata.category(c) in _UNPRINTABLE for c in user):
        raise InkwireError("invalid_request", detail=f"user: must have 1 to {MAX_SUBJECT_CHARS} characters on one line")
    return user if is_member(conversation, user) else owner_token(issuer, user)


def member_change(
    conversation: Conversation, data: MemberData, *, by: str, event_id: str, time: str
) -> MemberChanged | None:
    """The event by which somebody comes, is named otherwise, or goes; None where it is so already.

    Raises:
        InkwireError: ``owner_only``, ``owner_stays`` or ``too_many_members``.
    """
    if by != conversation.owner and (data.present or data.user != by):
        raise InkwireError("owner_only")
    if data.user == conversation.owner:
        raise InkwireError("owner_stays")
    known = conversation.member(data.user)
    if known is None and data.present and len(conversation.members) >= MAX_MEMBERS:
        raise InkwireError("too_many_members", limit=MAX_MEMBERS)
    if is_as_wished(known, data):
        return None
    return MemberChanged(conversation=conversation.conversation, id=event_id, by=by, time=time, data=data)


def is_as_wished(known: Member | None, wished: MemberData) -> bool:
    """Whether a change of a member would change nothing; an empty name or avatar is none, and keeps what is there."""
    if known is None or not wished.present:
        return (known is not None) == wished.present
    return wished.name in ("", known.name) and wished.avatar in ("", known.avatar)


def reaction_change(
    conversation: Conversation, data: ReactionData, *, event_id: str, time: str
) -> ReactionChanged | None:
    """The event by which an emoji comes or goes; None where it is so already.

    Raises:
        InkwireError: ``unknown_message``, ``too_many_reactions`` or ``conversation_full``.
    """
    message = standing_message(conversation, data.message)
    if (data.user in message.reactions.get(data.emoji, [])) == data.present:
        return None
    if data.present and data.emoji not in message.reactions and len(message.reactions) >= MAX_EMOJIS:
        raise InkwireError("too_many_reactions", limit=MAX_EMOJIS)
    if data.present and conversation.reactions >= MAX_REACTIONS:
        raise InkwireError("conversation_full")
    return ReactionChanged(conversation=conversation.conversation, id=event_id, by=data.user, time=time, data=data)


def title_change(conversation: Conversation, title: str, *, by: str, event_id: str, time: str) -> TitleChanged | None:
    """The event of a new title; None where it has it already, and nobody but a person gave it.

    Raises:
        InkwireError: ``owner_only``.
    """
    require_owner(conversation, by)
    if conversation.title == title and not conversation.title_generated:
        return None
    data = TitleData(title=title)
    return TitleChanged(conversation=conversation.conversation, id=event_id, by=by, time=time, data=data)


def created(
    conversation: str, caller: Principal, *, title: str, recipe: str, options: dict[str, Any], time: str
) -> ConversationCreated:
    """The first event."""
    data = CreatedData(
        title=title,
        recipe=recipe,
        options=options,
        name=shown_name(caller.name),
        avatar=caller.avatar if is_avatar(caller.avatar) else "",
    )
    return ConversationCreated(
        conversation=conversation, id=f"{conversation}.created", by=caller.owner, time=time, data=data
    )


def deleted(conversation: Conversation, *, by: str, time: str) -> ConversationDeleted:
    """The last event; stored once, however often it is asked for."""
    name = conversation.conversation
    return ConversationDeleted(conversation=name, id=f"{name}.deleted", by=by, time=time)


def shown_name(value: str) -> str:
    """A token's name, fit to be shown: on one line, and not too long."""
    seen = (c for c in value if c not in DIRECTION_CONTROLS)
    kept = "".join(c if unicodedata.category(c) not in _UNPRINTABLE else " " for c in seen)
    return " ".join(kept.split())[:MAX_MEMBER_NAME_CHARS]


def clean_name(value: str) -> str:
    """A member's name without blanks around it; empty: none.

    Raises:
        ValueError: too long, or with characters that cannot be shown on one line.
    """
    name = value.strip()
    categories = {unicodedata.category(character) for character in name}
    if len(name) > MAX_MEMBER_NAME_CHARS:
        raise ValueError(f"must have at most {MAX_MEMBER_NAME_CHARS} characters")
    if categories & _UNPRINTABLE or (name and not categories - _INVISIBLE):
        raise ValueError("must be readable, and on one line")
    if not DIRECTION_CONTROLS.isdisjoint(name):
        raise ValueError("must not contain invisible characters that turn the direction of the text; type it anew")
    return name


def clean_avatar(value: str) -> str:
    """A picture's address; empty: none.

    Raises:
        ValueError: too long, or no absolute http or https address.
    """
    if value and not is_avatar(value):
        raise ValueError(f"must be an http or https address of at most {MAX_AVATAR_CHARS} characters")
    return value


def is_avatar(value: str) -> bool:
    """Whether it is an address that a picture may have."""
    if len(value) > MAX_AVATAR_CHARS or not value.isascii() or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def check_emoji(value: str) -> str:
    """The emoji itself, if it is one, and only one.

    Raises:
        InkwireError: ``invalid_request``.
    """
    if len(value) > MAX_EMOJI_CHARS or _EMOJI.fullmatch(value) is None:
        raise InkwireError("invalid_request", detail="emoji: must be one emoji")
    return value
