"""Opaque cursors for lists that sort by (created_at, id). Pure."""

import base64
import binascii
import json
import re

from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_CURSOR_CHARS = 256

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", re.ASCII)


def encode_cursor(created_at: str, post: str, status: str | None) -> str:
    """A cursor behind the post, for a list of the same filter."""
    payload = json.dumps([created_at, post, status], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(payload).decode().rstrip("=")


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


def _parts(cursor: str) -> tuple[str, str, str | None]:
    if len(cursor) > MAX_CURSOR_CHARS or not cursor.isascii():
        raise ValueError("not a cursor")
    padded = cursor + "=" * (-len(cursor) % 4)
    value = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("not a cursor")
    created_at, post, status = value
    if not isinstance(created_at, str) or not isinstance(post, str) or not isinstance(status, str | None):
        raise ValueError("not a cursor")
    return created_at, post, status
