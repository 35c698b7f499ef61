"""Pages of lists, and opaque cursors. Pure.

Lists of posts sort by (created_at, id), of conversations by (updated_at, id), dead letters by their place; messages go
on behind the last one that was seen.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from inkwire_api.bounds import MAX_JSON_INTEGER
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_CURSOR_CHARS = 256

_CONVERSATIONS = "conversations"
"""In the place of a filter that no list of posts has."""

_DOCUMENTS = "documents"
_LETTER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", re.ASCII)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and where the next one begins (None: there is none)."""

    items: list[T]
    next_cursor: str | None


def encode_cursor(created_at: str, post: str, status: str | None) -> str:
    """A cursor behind the post, for a list of the same filter."""
    return _encoded([created_at, post, status])


def decode_cursor(cursor: str, status: str | None) -> tuple[str, str]:
    """``(created_at, id)`` of the last post that was seen.

    Raises:
        InkwireError: ``invalid_cursor`` unless it came from :func:`encode_cursor` with the same filter.
    """
    try:
        created_at, post, of_status = _parts(cursor)
    except (ValueError, binascii.Error):
        raise InkwireError("invalid_cursor") from None
    if not _TIME.match(created_at) or not is_id(post) or of_status != status:
        raise InkwireError("invalid_cursor")
    return created_at, post


def encode_letter_cursor(stream_seq: int, kind: str | None, reason: str | None) -> str:
    """A cursor behind the dead letter, for a list of the same filters."""
    return _encoded([stream_seq, kind, reason])


def decode_letter_cursor(cursor: str, kind: str | None, reason: str | None) -> int:
    """The stream sequence of the last dead letter that was seen.

    Raises:
        InkwireError: ``invalid_cursor`` unless it came from :func:`encode_letter_cursor` with the same filters.
    """
    try:
        stream_seq, of_kind, of_reason = _decoded(cursor)
    except (ValueError, binascii.Error):
        raise InkwireError("invalid_cursor") from None
    if type(stream_seq) is not int or not is_letter_id(str(stream_seq)) or (of_kind, of_reason) != (kind, reason):
        raise InkwireError("invalid_cursor")
    return stream_seq


def encode_conversation_cursor(updated_at: str, conversation: str) -> str:
    """A cursor behind the conversation."""
    return _encoded([updated_at, conversation, _CONVERSATIONS])


def decode_conversation_cursor(cursor: str) -> tuple[str, str]:
    """``(updated_at, id)`` of the last conversation that was seen.

    Raises:
        InkwireError: ``invalid_cursor`` unless it came from :func:`encode_conversation_cursor`.
    """
    return decode_cursor(cursor, _CONVERSATIONS)


def encode_message_cursor(conversation: str, message: str, *, superseded: bool) -> str:
    """A cursor behind the message, for a list of the same filter."""
    return _encoded([conversation, message, superseded])


def decode_message_cursor(cursor: str, conversation: str, *, superseded: bool) -> str:
    """The last message that was seen.

    Raises:
        InkwireError: ``invalid_cursor`` unless it came from :func:`encode_message_cursor` for the same list.
    """
    try:
        of_conversation, message, of_filter = _decoded(cursor)
    except (ValueError, binascii.Error):
        raise InkwireError("invalid_cursor") from None
    if (of_conversation, of_filter) != (conversation, superseded) or type(of_filter) is not bool:
        raise InkwireError("invalid_cursor")
    if not isinstance(message, str) or not is_id(message):
        raise InkwireError("invalid_cursor")
    return message


def encode_document_cursor(number: int) -> str:
    """A cursor behind the document of that number."""
    return _encoded([number, _DOCUMENTS, None])


def decode_document_cursor(cursor: str) -> int:
    """The number of the last document that was seen.

    Raises:
        InkwireError: ``invalid_cursor`` unless it came from :func:`encode_document_cursor`.
    """
    try:
        number, kind, _ = _decoded(cursor)
    except (ValueError, binascii.Error):
        raise InkwireError("invalid_cursor") from None
    if type(number) is not int or not 1 <= number <= MAX_JSON_INTEGER or kind != _DOCUMENTS:
        raise InkwireError("invalid_cursor")
    return number


def is_letter_id(value: str) -> bool:
    """Whether it has the form of a dead letter's id: a place in a stream."""
    return _LETTER.fullmatch(value) is not None


def _parts(cursor: str) -> tuple[str, str, str | None]:
    created_at, post, status = _decoded(cursor)
    if not isinstance(created_at, str) or not isinstance(post, str) or not isinstance(status, str | None):
        raise ValueError("not a cursor")
    return created_at, post, status


def _encoded(parts: list[Any]) -> str:
    payload = json.dumps(parts, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(payload).decode().rstrip("=")


def _decoded(cursor: str) -> list[Any]:
    """The three parts of a cursor, of whatever type."""
    if len(cursor) > MAX_CURSOR_CHARS or not cursor.isascii():
        raise ValueError("not a cursor")
    padded = cursor + "=" * (-len(cursor) % 4)
    value = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("not a cursor")
    return value
