"""The shared vectors: the Python fold and the page's fold.js give every event the same meaning.

A vector is never changed once released: it says what a log of that time means for all later readers.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from inkwire_contracts.events import EVENT_CLASSES, Event, encode_event, event_from_dict, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold
from tests.support.node import STATIC, run_node

HERE = Path(__file__).parent
VECTORS: list[dict[str, Any]] = [
    json.loads(path.read_text("utf-8")) for path in sorted((HERE / "vectors").glob("*.json"))
]
NAMES = [vector["name"] for vector in VECTORS]


def _post_of(vector: dict[str, Any]) -> str:
    return str(vector["snapshot"]["post"])


def _expected(vector: dict[str, Any]) -> dict[str, Any]:
    """The vector's snapshot; what was added to its parts since it was written has its default."""
    return _as_told(vector, Snapshot.model_validate(vector["snapshot"]).model_dump(mode="json"))


def _as_told(vector: dict[str, Any], snapshot: dict[str, Any]) -> dict[str, Any]:
    """What the vector speaks of: snapshots have gained fields since, and newer vectors tell those."""
    return {name: snapshot[name] for name in vector["snapshot"]}


def _folded(vector: dict[str, Any], events: list[Event]) -> tuple[list[str], Snapshot]:
    snapshot = Snapshot(post=_post_of(vector))
    outcomes = []
    for event in events:
        before = snapshot.model_copy(deep=True)
        outcome = fold(snapshot, event)
        assert outcome is Outcome.APPLIED or snapshot == before, f"seq {event.seq} was {outcome} but changed something"
        outcomes.append(str(outcome))
    return outcomes, snapshot


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_python_fold(vector: dict[str, Any]) -> None:
    """The fold of contracts answers every event as the vector says and ends in its snapshot."""
    outcomes, snapshot = _folded(vector, [event_from_dict(event) for event in vector["events"]])
    assert outcomes == vector["outcomes"]
    assert _as_told(vector, snapshot.model_dump(mode="json")) == _expected(vector)
    assert document(snapshot) == vector["document"]
    assert digest(document(snapshot)) == vector["sha256"]


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_fold_survives_our_own_encoding(vector: dict[str, Any]) -> None:
    """Events that were decoded and encoded again by this version still mean the same."""
    events = [parse_event(encode_event(event_from_dict(event))) for event in vector["events"]]
    outcomes, snapshot = _folded(vector, events)
    assert outcomes == vector["outcomes"]
    assert _as_told(vector, snapshot.model_dump(mode="json")) == _expected(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_snapshot_survives_json(vector: dict[str, Any]) -> None:
    """A stored snapshot read back is the same snapshot."""
    snapshot = Snapshot.model_validate(vector["snapshot"])
    assert Snapshot.model_validate_json(snapshot.model_dump_json()) == snapshot
    assert _as_told(vector, snapshot.model_dump(mode="json")) == _expected(vector)


def test_page_fold() -> None:
    """The page's fold.js answers every event of every vector as the Python fold does."""
    lines = "\n".join(json.dumps({"post": _post_of(vector), "events": vector["events"]}) for vector in VECTORS)
    printed = run_node(HERE / "fold_vectors.mjs", STATIC / "fold.js", stdin=lines)
    answers = [json.loads(line) for line in printed.strip().split("\n")]  # not splitlines: texts hold U+2028
    assert len(answers) == len(VECTORS)
    for vector, answer in zip(VECTORS, answers, strict=True):
        assert answer["outcomes"] == vector["outcomes"], vector["name"]
        assert _as_told(vector, answer["snapshot"]) == _expected(vector), vector["name"]
        assert answer["document"] == vector["document"], vector["name"]
        assert (answer["touched"], answer["lengths"]) == ([], True), vector["name"]


def test_vectors_are_complete() -> None:
    """The vectors are named as their files, say why they exist, and show each known type and each outcome."""
    assert [path.stem for path in sorted((HERE / "vectors").glob("*.json"))] == NAMES
    assert all(vector["why"].endswith(".") for vector in VECTORS)
    assert set(Snapshot.model_fields) == {name for vector in VECTORS for name in vector["snapshot"]}
    types = {event["type"] for vector in VECTORS for event in vector["events"]}
    assert types > set(EVENT_CLASSES), "an unknown type among them"
    assert {o for vector in VECTORS for o in vector["outcomes"]} == {str(outcome) for outcome in Outcome}


def test_published_vectors_prove_their_text() -> None:
    """Where a vector ends published, the digest and length its last event names are those of its document."""
    published = [vector for vector in VECTORS if vector["snapshot"]["status"] == "published"]
    assert len(published) > 5
    for vector in published:
        last = vector["events"][-1]["data"]
        assert (last["sha256"], last["length"]) == (vector["sha256"], len(vector["document"])), vector["name"]
        assert vector["snapshot"]["sha256"] == vector["sha256"]
