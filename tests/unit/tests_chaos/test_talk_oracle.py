"""The oracle of conversations: a sound one passes, and each breach is named by its rule."""

from collections.abc import Callable

import pytest

from inkwire_chassis.conversation_log import StoredConversationEvent
from inkwire_contracts.conversations import (
    Conversation,
    ConversationCreated,
    ConversationEvent,
    MessageCreated,
    MessageData,
    encode_conversation_event,
    fold_conversation,
)
from inkwire_stores.conversation_ports import StoredConversation
from tests.chaos.talk_oracle import Heard, TalkEvidence, judge_talk, talk_view

TALK, POST = "c" * 26, "p" * 26
ASKED, ANSWER = "q" * 26, "a" * 26


def _event(data: MessageData) -> MessageCreated:
    return MessageCreated(conversation=TALK, id=data.message, by="mary", time="t", data=data)


def _evidence() -> TalkEvidence:
    """One question, its answer, one listener who heard both."""
    question = MessageData(message=ASKED, role="user", author="mary", content="Why?")
    answer = MessageData(message=ANSWER, role="assistant", reply_to=ASKED, post=POST)
    created = ConversationCreated(conversation=TALK, id="created", by="mary", time="t")
    events: list[ConversationEvent] = [created, _event(question), _event(answer)]
    conversation, heard = Conversation(conversation=TALK), Heard("mary-0")
    log = []
    for seq, event in enumerate(events, 5):
        log.append(StoredConversationEvent(event, encode_conversation_event(event), seq))
        fold_conversation(conversation, event, seq)
        heard.sights.append((seq, talk_view(conversation)))
    stored = StoredConversation(conversation, "e1")
    accepted = [(ASKED, "Why?", POST)] * 2
    return TalkEvidence(TALK, accepted, [heard], end_seq=7, log=log, stored=stored)


def _rules(evidence: TalkEvidence) -> set[str]:
    return {rule for rule, _ in judge_talk(evidence)}


def _lose_a_message(evidence: TalkEvidence) -> None:
    evidence.accepted.append(("x" * 26, "Lost", "y" * 26))


def _answer_a_repeat_otherwise(evidence: TalkEvidence) -> None:
    evidence.accepted.append((ASKED, "Why?", "y" * 26))


def _show_something_else(evidence: TalkEvidence) -> None:
    evidence.heard[0].sights[1] = (6, "other")


def _go_back(evidence: TalkEvidence) -> None:
    evidence.heard[0].sights.append(evidence.heard[0].sights[0])


def _stop_early(evidence: TalkEvidence) -> None:
    evidence.heard[0].sights.pop()


def _refuse(evidence: TalkEvidence) -> None:
    evidence.heard[0].refusals.append("error not_found")


def _store_less(evidence: TalkEvidence) -> None:
    assert evidence.stored is not None
    evidence.stored = StoredConversation(evidence.stored.conversation.model_copy(update={"messages": []}), "e1")


def test_a_sound_conversation_passes() -> None:
    """What was accepted stands there once, was shown as it stands, and is stored so."""
    assert _rules(_evidence()) == set()


@pytest.mark.parametrize(
    ("breach", "rule"),
    [
        (_lose_a_message, "talk_accepted_once"),
        (_answer_a_repeat_otherwise, "talk_accepted_once"),
        (_show_something_else, "talk_shows_the_log"),
        (_go_back, "talk_goes_forward"),
        (_stop_early, "talk_reaches_the_end"),
        (_refuse, "talk_is_served"),
        (_store_less, "talk_store_is_the_log"),
    ],
)
def test_a_breach_is_named(breach: Callable[[TalkEvidence], None], rule: str) -> None:
    """Each promise that is broken is reported under its own name."""
    evidence = _evidence()
    breach(evidence)
    assert rule in _rules(evidence)
