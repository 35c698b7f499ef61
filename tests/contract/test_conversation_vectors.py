"""The shared vectors of conversations: the Python fold and the page's give every event the same meaning.

A vector is never changed once released: it says what a log of that time means for all later readers.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from inkwire_contracts.conversations import (
    CONVERSATION_EVENT_CLASSES,
    Conversation,
    ConversationEvent,
    encode_conversation_event,
    fold_conversation,
    parse_conversation_event,
)
from inkwire_contracts.fold import Outcome
from tests.support.node import STATIC, run_node

HERE = Path(__file__).parent
VECTORS: list[dict[str, Any]] = [
    json.loads(path.read_text("utf-8")) for path in sorted((HERE / "conversation_vectors").glob("*.json"))
]
NAMES = [vector["name"] for vector in VECTORS]


def _as_told(vector: dict[str, Any], conversation: dict[str, Any]) -> dict[str, Any]:
    """What the vector speaks of: conversations may have gained fields since."""
    return {name: conversation[name] for name in vector["conversation"]}


def _expected(vector: dict[str, Any]) -> dict[str, Any]:
    """The vector's conversation; what was added to its parts since it was written has its default."""
    return _as_told(vector, Conversation.model_validate(vector["conversation"]).model_dump(mode="json"))


def _parsed(vector: dict[str, Any]) -> list[ConversationEvent]:
    return [parse_conversation_event(json.dumps(stored["event"])) for stored in vector["events"]]


def _folded(vector: dict[str, Any], events: list[ConversationEvent]) -> tuple[list[str], dict[str, Any]]:
    conversation = Conversation(conversation=vector["conversation"]["conversation"])
    outcomes = []
    for stored, event in zip(vector["events"], events, strict=True):
        before = conversation.model_copy(deep=True)
        outcome = fold_conversation(conversation, event, stored["seq"], prev=stored.get("prev"))
        assert outcome is Outcome.APPLIED or conversation == before, f"seq {stored['seq']} changed something"
        outcomes.append(str(outcome))
    return outcomes, conversation.model_dump(mode="json")


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_python_fold(vector: dict[str, Any]) -> None:
    """The fold of contracts answers every event as the vector says and ends in its conversation."""
    outcomes, conversation = _folded(vector, _parsed(vector))
    assert outcomes == vector["outcomes"]
    assert _as_told(vector, conversation) == _expected(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_fold_survives_our_own_encoding(vector: dict[str, Any]) -> None:
    """Events that were decoded and encoded again by this version still mean the same."""
    events = [parse_conversation_event(encode_conversation_event(event)) for event in _parsed(vector)]
    outcomes, conversation = _folded(vector, events)
    assert outcomes == vector["outcomes"]
    assert _as_told(vector, conversation) == _expected(vector)


def test_page_fold() -> None:
    """The page's fold answers every event of every vector as the Python fold does."""
    lines = "\n".join(
        json.dumps({"conversation": vector["conversation"]["conversation"], "events": vector["events"]})
        for vector in VECTORS
    )
    printed = run_node(HERE / "conversation_vectors.mjs", STATIC / "conversation_fold.js", stdin=lines)
    answers = [json.loads(line) for line in printed.strip().split("\n")]
    assert len(answers) == len(VECTORS)
    for vector, answer in zip(VECTORS, answers, strict=True):
        assert answer["outcomes"] == vector["outcomes"], vector["name"]
        assert _as_told(vector, answer["conversation"]) == _expected(vector), vector["name"]
        assert answer["touched"] == [], vector["name"]


def test_vectors_are_complete() -> None:
    """The vectors are named as their files, say why they exist, and show each known type and each outcome."""
    assert [path.stem for path in sorted((HERE / "conversation_vectors").glob("*.json"))] == NAMES
    assert all(vector["why"].endswith(".") for vector in VECTORS)
    assert set(Conversation.model_fields) == {name for vector in VECTORS for name in vector["conversation"]}
    types = {stored["event"]["type"] for vector in VECTORS for stored in vector["events"]}
    assert types > set(CONVERSATION_EVENT_CLASSES), "an unknown type among them"
    assert {o for vector in VECTORS for o in vector["outcomes"]} == {str(outcome) for outcome in Outcome}
