"""What is an event of a conversation's log, and what is none; the rest is in tests/property/test_conversations.py."""

import pytest

from inkwire_contracts.conversations import encode_conversation_event
from inkwire_contracts.subjects import conversation
from inkwire_persister.conversations import Placed, decode
from inkwire_persister.intake import Undecodable
from tests.support.conversation_logs import ConversationScript
from tests.support.post_logs import post_id


def test_an_event_is_taken_with_its_place() -> None:
    """Subject, payload and sequence make a delivery."""
    script = ConversationScript()
    event = script.created(title="Bees")
    payload = encode_conversation_event(event)
    assert decode(conversation(script.conversation), payload, 7) == Placed(event, 7)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"{}", b'{"type":"message_created"}'])
def test_what_is_no_event_is_told_apart(payload: bytes) -> None:
    """Nothing, no text, no object, no envelope, no data."""
    with pytest.raises(Undecodable):
        decode(conversation(post_id(1)), payload, 7)


def test_an_event_on_anothers_subject_is_none() -> None:
    """Nobody writes into another conversation by naming it in the subject alone."""
    event = ConversationScript().created()
    with pytest.raises(Undecodable, match="another"):
        decode(conversation(post_id(1)), encode_conversation_event(event), 7)
