"""Conversations beyond their fold, which the shared vectors show."""

import pytest

from inkwire_contracts.conversations import (
    MAX_CONVERSATION_CHARS,
    MAX_MESSAGES,
    UNREADABLE,
    Conversation,
    Message,
    UnknownConversationEvent,
    decode_conversation_event,
    encode_conversation_event,
    fold_conversation,
    parse_conversation_event,
)
from inkwire_contracts.fold import Outcome
from tests.support.conversation_logs import ConversationScript, chat
from tests.support.post_logs import post_id


def test_an_event_survives_its_encoding() -> None:
    """What is written to the log is what is read from it."""
    script = ConversationScript()
    script.created(title="Bees", options={"n": 2**70})
    script.message(1, content="“Bees” \u2028 ✓")
    for _, event in script.events:
        assert parse_conversation_event(encode_conversation_event(event)) == event
        assert decode_conversation_event(encode_conversation_event(event), script.conversation) == event


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"null", b"{}", b'{"type":"deleted"}', b'{"type":["created"]}'])
def test_what_cannot_be_read_takes_its_place_and_means_nothing(raw: bytes) -> None:
    """One bad message never hides the others: it folds as an event without a meaning."""
    conversation = chat()
    before = conversation.model_copy(deep=True)
    event = decode_conversation_event(raw, conversation.conversation)
    assert (type(event), event.type) == (UnknownConversationEvent, UNREADABLE)
    assert fold_conversation(conversation, event, 99) is Outcome.APPLIED
    assert conversation == before.model_copy(update={"seq": 99})


def test_an_event_of_another_conversation_means_nothing_either() -> None:
    """What stands on this subject and names another conversation is no event of this one, nor of the other."""
    script = ConversationScript()
    event = script.created(title="elsewhere")
    found = decode_conversation_event(encode_conversation_event(event), post_id(1))
    assert (found.type, found.conversation) == (UNREADABLE, post_id(1))


def test_a_log_begun_anew_comes_after_all_that_was_said() -> None:
    """Messages keep their order and unique sequences, however often a log is lost."""
    conversation = chat()
    for _ in range(2):
        script = ConversationScript(conversation.conversation)
        conversation.begin_anew()
        assert conversation.seq == 0 and conversation.messages[-1].seq <= 0
        script.message(len(conversation.messages) + 1, content="again")
        fold_conversation(conversation, script.events[0][1], 1)
    places = [message.seq for message in conversation.messages]
    assert places == sorted(set(places)) and len(places) == 4


def test_chars_are_of_all_that_people_wrote() -> None:
    """Superseded messages count too; answers have no text of their own."""
    script = ConversationScript()
    script.created()
    script.message(1, content="12345")
    script.message(2, role="assistant", post=post_id(3))
    script.message(4, content="123", replaces=post_id(1))
    assert script.folded().chars == 8


def test_a_full_conversation_fits_into_a_record_of_every_store() -> None:
    """All the text that is allowed, of the characters that take most bytes, in as many messages as are allowed."""
    per_message = MAX_CONVERSATION_CHARS // MAX_MESSAGES
    conversation = Conversation(conversation=post_id(1))
    conversation.messages = [
        Message(message=post_id(n), seq=n, role="user", author="h" * 27, content="\U0001f41d" * per_message)
        for n in range(MAX_MESSAGES)
    ]
    assert conversation.chars == MAX_CONVERSATION_CHARS
    assert len(conversation.model_dump_json().encode()) < 12 * 1024 * 1024
