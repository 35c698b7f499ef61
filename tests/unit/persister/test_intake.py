"""From messages to events."""

import json

import pytest

from inkwire_contracts.events import encode_event
from inkwire_contracts.subjects import live, post_event
from inkwire_persister.intake import Delivery, Undecodable, decode, is_key, retry_delay_s
from tests.support.post_logs import whole_post

LOG = whole_post()
FIRST = LOG.events[0]
SUBJECT = post_event(FIRST.owner, FIRST.post, FIRST.type)


def test_a_key_event_is_decoded() -> None:
    """Every key event comes back as it was written, with its place."""
    for event in LOG.key_events:
        subject = post_event(event.owner, event.post, event.type)
        assert decode(subject, encode_event(event), 7) == Delivery(event, 7)


@pytest.mark.parametrize(
    "payload",
    [b"", b"not json", b"[]", b"null", b"{}", b'{"type":"requested"}', b"\xff\xfe", encode_event(FIRST)[:-5]],
)
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    """Broken bytes and bodies without an envelope are undecodable, not a crash."""
    with pytest.raises(Undecodable):
        decode(SUBJECT, payload, 1)


@pytest.mark.parametrize(
    "subject",
    [
        "posts.ana.x",
        "jobs.general.normal.1.ana",
        post_event("eve", FIRST.post, "requested"),
        post_event(FIRST.owner, "a" * 26, "requested"),
        post_event(FIRST.owner, FIRST.post, "published"),
    ],
)
def test_an_event_must_belong_to_its_subject(subject: str) -> None:
    """An event under another owner's, post's or type's subject is refused."""
    with pytest.raises(Undecodable):
        decode(subject, encode_event(FIRST), 1)


def test_the_reason_quotes_nothing_of_the_content() -> None:
    """What goes into logs names the kind of fault, never the text."""
    body = json.loads(encode_event(FIRST))
    body["data"] = {"title": ["a secret title"]}
    with pytest.raises(Undecodable) as caught:
        decode(SUBJECT, json.dumps(body).encode(), 1)
    assert "secret" not in str(caught.value)


def test_chunks_and_progress_are_no_key_events() -> None:
    """Only events with a prev are key events; the others are refused, for the consumer does not ask for them."""
    others = [event for event in LOG.events if not is_key(event)]
    assert {event.type for event in others} == {"chunk", "progress"}
    with pytest.raises(Undecodable):
        decode(post_event(others[0].owner, others[0].post, "chunk"), encode_event(others[0]), 1)


def test_an_unknown_type_with_prev_is_a_key_event() -> None:
    """A newer release's key event is taken, live copies of subjects included."""
    body = {**json.loads(encode_event(LOG.key_events[1])), "type": "annotated"}
    subject = live(post_event(FIRST.owner, FIRST.post, "annotated"))
    assert is_key(decode(subject, json.dumps(body).encode(), 3).event)


def test_the_retry_delay_doubles_up_to_its_longest() -> None:
    """Half a second first, then twice as long each time, never longer than the setting, however often."""
    assert [retry_delay_s(n, 15.0) for n in (0, 1, 2, 3, 4, 5, 6, 7, 10_000)] == [0.5, 0.5, 1, 2, 4, 8, 15, 15, 15]
