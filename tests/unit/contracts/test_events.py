"""Events: what is written is read back, and what is not known yet passes."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from inkwire_contracts.events import (
    EVENT_CLASSES,
    KEY_TYPES,
    TERMINAL_TYPES,
    ChunkProduced,
    KeyEvent,
    UnknownEvent,
    encode_event,
    event_from_dict,
    parse_event,
)

ENVELOPE: dict[str, Any] = {
    "post": "aaaabbbbccccddddeeeeffff22",
    "owner": "ada",
    "run": 1,
    "attempt": 1,
    "seq": 7,
    "time": "2026-03-01T10:00:00.000Z",
}
DATA: dict[str, dict[str, Any]] = {
    "requested": {"title": "Tips", "recipe": "blog"},
    "started": {"worker": "w1"},
    "planned": {"sections": [{"section": "s1", "title": "One"}]},
    "section_started": {"section": "s1"},
    "chunk": {"section": "s1", "start": 0, "end": 2, "text": "e\u0301"},
    "section_completed": {"section": "s1", "text": "é 😀", "usage": {"tokens_in": 1, "tokens_out": 2}},
    "progress": {"percent": 40, "message": "half"},
    "retrying": {"section": "s1", "code": "provider_cut", "delay_ms": 500},
    "paused": {"reason": "approval"},
    "published": {"sha256": "0" * 64, "length": 3, "metrics": {"words": 2, "cost_usd": 0.01}},
    "failed": {"code": "poison", "section": "s1", "text": "x"},
    "cancelled": {"section": "s1", "text": "x"},
    "deleted": {},
}


def _body(event_type: str, **more: Any) -> dict[str, Any]:
    body = {"type": event_type, **ENVELOPE, "data": DATA.get(event_type, {})}
    if event_type in KEY_TYPES:
        body["prev"] = 6
    return {**body, **more}


def test_examples_are_complete() -> None:
    """There is an example of each known type here."""
    assert set(DATA) == set(EVENT_CLASSES)


@pytest.mark.parametrize("event_type", EVENT_CLASSES)
def test_round_trip(event_type: str) -> None:
    """Each known type is read as its class and comes back from its own bytes unchanged."""
    event = parse_event(json.dumps(_body(event_type)))
    assert type(event) is EVENT_CLASSES[event_type]
    assert parse_event(encode_event(event)) == event


@pytest.mark.parametrize("event_type", EVENT_CLASSES)
def test_names_are_dotted(event_type: str) -> None:
    """Frontends see a dotted name for each type, each a different one."""
    names = [cls.name for cls in EVENT_CLASSES.values()]
    name = EVENT_CLASSES[event_type].name
    assert name.count(".") == 1
    assert names.count(name) == 1


def test_key_types_are_all_but_chunk_and_progress() -> None:
    """Every type but chunk and progress is a key event, and the ends of a run are among them."""
    assert set(EVENT_CLASSES) - set(KEY_TYPES) == {"chunk", "progress"}
    assert set(KEY_TYPES) > TERMINAL_TYPES
    assert all(issubclass(EVENT_CLASSES[event_type], KeyEvent) for event_type in KEY_TYPES)


@pytest.mark.parametrize("prev", [None, 6])
def test_unknown_types_pass(prev: int | None) -> None:
    """A type of a newer writer is kept with its data, and with prev if it is a key event."""
    body = {"type": "image_added", **ENVELOPE, "data": {"url": "x"}} | ({} if prev is None else {"prev": prev})
    event = event_from_dict(body)
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.prev, event.data) == ("image_added", prev, {"url": "x"})
    assert parse_event(encode_event(event)) == event


@pytest.mark.parametrize("event_type", EVENT_CLASSES)
def test_unknown_fields_are_ignored(event_type: str) -> None:
    """Fields of a newer writer, in the envelope and in the data, change nothing."""
    body = _body(event_type)
    assert event_from_dict({**body, "novel": 1, "data": {**body["data"], "novel": 1}}) == event_from_dict(body)


def test_absent_optional_fields_are_left_out() -> None:
    """The log's bytes carry neither traceparent nor first_seq where there is none."""
    encoded = json.loads(encode_event(event_from_dict(_body("chunk"))))
    assert "traceparent" not in encoded
    assert "first_seq" not in encoded
    traced = event_from_dict(_body("chunk", traceparent="00-a-b-01", first_seq=5))
    assert json.loads(encode_event(traced)) == {**encoded, "traceparent": "00-a-b-01", "first_seq": 5}


def test_text_is_kept_code_point_by_code_point() -> None:
    """Nothing is normalised: combining marks, joiners, CR LF and a byte order mark come back as they went."""
    text = "e\u0301\r\n\ufeff👩\u200d🚀\u2028\x00"
    event = event_from_dict(_body("chunk", data={"section": "s", "start": 0, "end": len(text), "text": text}))
    back = parse_event(encode_event(event))
    assert isinstance(back, ChunkProduced)
    assert back.data.text == text


@pytest.mark.parametrize(
    "change",
    [
        {"post": "short"},
        {"post": "AAAABBBBCCCCDDDDEEEEFFFF22"},
        {"owner": "a.b"},
        {"owner": ""},
        {"run": 0},
        {"attempt": -1},
        {"seq": 0},
        {"prev": -1},
        {"prev": None},
        {"time": None},
        {"data": {"title": "no recipe"}},
        {"data": {"title": "T", "recipe": "blog", "priority": "soon"}},
    ],
    ids=str,
)
def test_wrong_fields_are_refused(change: dict[str, Any]) -> None:
    """A known type whose fields do not fit is refused, not guessed."""
    with pytest.raises(ValidationError):
        event_from_dict(_body("requested", **change))


@pytest.mark.parametrize("percent", [-1, 101])
def test_percent_is_bounded(percent: int) -> None:
    """Progress is between 0 and 100."""
    with pytest.raises(ValidationError):
        event_from_dict(_body("progress", data={"percent": percent}))


@pytest.mark.parametrize("raw", ["[]", "1", '"x"', "null"])
def test_only_objects_are_events(raw: str) -> None:
    """JSON that is no object is refused with its own error."""
    with pytest.raises(TypeError, match="JSON object"):
        parse_event(raw)


@pytest.mark.parametrize("raw", ["", "{", "nonsense", b"\xff"])
def test_only_json_is_an_event(raw: bytes | str) -> None:
    """What is not JSON is refused."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_event(raw)


def test_plan_is_bounded() -> None:
    """A plan of more than 200 sections is refused."""
    sections = [{"section": f"s{n}", "title": "T"} for n in range(201)]
    with pytest.raises(ValidationError):
        event_from_dict(_body("planned", data={"sections": sections}))


def test_events_are_immutable() -> None:
    """An event cannot be changed once read."""
    event = event_from_dict(_body("started"))
    with pytest.raises(ValidationError):
        event.seq = 8
