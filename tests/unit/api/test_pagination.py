"""Cursors."""

import base64
import json

import pytest

from inkwire_api.pagination import (
    decode_conversation_cursor,
    decode_cursor,
    decode_document_cursor,
    decode_message_cursor,
    encode_conversation_cursor,
    encode_cursor,
    encode_document_cursor,
    encode_message_cursor,
)
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import idempotent_post_id

TIME = "2026-11-21T09:00:00.000Z"
POST = idempotent_post_id("ana", "post")


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("status", [None, "published", "failed"])
def test_a_cursor_leads_back(status: str | None) -> None:
    """What was encoded is decoded, under the same filter."""
    cursor = encode_cursor(TIME, POST, status)
    assert decode_cursor(cursor, status) == (TIME, POST)
    assert "=" not in cursor and "/" not in cursor and "+" not in cursor


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%%%",
        "é",
        "A" * 257,
        packed("text"),
        packed([TIME, POST]),
        packed([TIME, POST, None, 1]),
        packed([1, POST, None]),
        packed([TIME, 2, None]),
        packed([TIME, POST, 3]),
        packed(["yesterday", POST, None]),
        packed([TIME, "not an id", None]),
        packed({"$gt": ""}),
        packed([{"$gt": ""}, POST, None]),
        encode_cursor(TIME, POST, "published"),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_anything_else_is_refused(cursor: str) -> None:
    """A cursor of another filter, of another shape, or of no shape at all."""
    with pytest.raises(InkwireError, match="cursor is not valid"):
        decode_cursor(cursor, None)


def test_each_list_has_cursors_of_its_own() -> None:
    """One of posts, of conversations, and of messages under another filter leads nowhere else."""
    of_posts, of_conversations = encode_cursor(TIME, POST, None), encode_conversation_cursor(TIME, POST)
    of_messages = encode_message_cursor(POST, POST, superseded=False)
    assert decode_conversation_cursor(of_conversations) == (TIME, POST)
    assert decode_message_cursor(of_messages, POST, superseded=False) == POST
    for wrong in (
        lambda: decode_cursor(of_conversations, None),
        lambda: decode_cursor(of_messages, None),
        lambda: decode_conversation_cursor(of_posts),
        lambda: decode_conversation_cursor(of_messages),
        lambda: decode_message_cursor(of_posts, POST, superseded=False),
        lambda: decode_message_cursor(of_messages, POST, superseded=True),
        lambda: decode_message_cursor(of_messages, idempotent_post_id("ana", "other"), superseded=False),
        lambda: decode_message_cursor(packed([POST, POST, 0]), POST, superseded=False),
        lambda: decode_message_cursor(packed([POST, "x", False]), POST, superseded=False),
        lambda: decode_message_cursor(packed([POST, {}, False]), POST, superseded=False),
        lambda: decode_message_cursor("x", POST, superseded=False),
    ):
        with pytest.raises(InkwireError) as caught:
            wrong()
        assert caught.value.code == "invalid_cursor"


@pytest.mark.parametrize("number", [1, 7, 2**53 - 1])
def test_a_cursor_of_documents_is_its_number(number: int) -> None:
    """What was encoded comes back, and no other list takes it."""
    cursor = encode_document_cursor(number)
    assert decode_document_cursor(cursor) == number
    with pytest.raises(InkwireError, match="cursor is not valid"):
        decode_cursor(cursor, None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        encode_cursor(TIME, POST, None),
        packed([1, "posts", None]),
        packed([0, "documents", None]),
        packed([2**53, "documents", None]),
        packed([True, "documents", None]),
        packed(["1", "documents", None]),
        packed([{"$gt": 0}, "documents", None]),
        packed([1, "documents"]),
    ],
)
def test_no_cursor_of_documents(cursor: str) -> None:
    """Another list's, and whatever else people send."""
    with pytest.raises(InkwireError, match="cursor is not valid"):
        decode_document_cursor(cursor)
