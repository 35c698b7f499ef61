"""Client frames: what a client may send, and that every answer can be read back."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from inkwire_contracts import client_frames
from inkwire_contracts.client_frames import CLIENT_FRAME, SERVER_FRAME, Position, Subscribe

GOOD: list[dict[str, Any]] = [
    {"type": "authenticate", "token": "t"},
    {"type": "subscribe", "channel": "post:x"},
    {"type": "subscribe", "channel": "post:x", "position": {"epoch": "e", "seq": 0}, "id": 1},
    {"type": "unsubscribe", "channel": "post:x", "id": 2},
    {"type": "refresh", "token": "t"},
    {"type": "cancel", "channel": "post:x"},
    {"type": "cancel", "channel": "post:x", "run": 1, "id": 3},
    {"type": "whisper", "channel": "presence:x", "name": "typing"},
    {"type": "whisper", "channel": "presence:x", "name": "cursor.moved-2", "data": {"at": [1]}, "id": 4},
    {"type": "ping"},
    {"type": "ping", "novel": True},
]
BAD: list[Any] = [
    None, [], "ping", {}, {"type": "nonsense"}, {"type": None}, {"type": "authenticate"},
    {"type": "authenticate", "token": ""}, {"type": "authenticate", "token": "t" * 4097}, {"type": "subscribe"},
    {"type": "subscribe", "channel": ""}, {"type": "subscribe", "channel": "c" * 161},
    {"type": "subscribe", "channel": 1}, {"type": "subscribe", "channel": "c", "position": 3},
    {"type": "subscribe", "channel": "c", "position": {"seq": 3}},
    {"type": "subscribe", "channel": "c", "position": {"epoch": "e", "seq": -1}},
    {"type": "subscribe", "channel": "c", "position": {"epoch": "e" * 65, "seq": 1}},
    {"type": "subscribe", "channel": "c", "id": "one"}, {"type": "unsubscribe"}, {"type": "refresh"},
    {"type": "cancel"}, {"type": "cancel", "channel": "c", "run": 0}, {"type": "cancel", "channel": "c", "run": "last"},
    {"type": "whisper", "channel": "c"}, {"type": "whisper", "channel": "c", "name": ""},
    {"type": "whisper", "channel": "c", "name": "n" * 41}, {"type": "whisper", "channel": "c", "name": "Typing"},
    {"type": "whisper", "channel": "c", "name": 'a","b'}, {"type": "whisper", "channel": "c", "name": "a\n"},
    {"type": "whisper", "channel": "c", "name": "typing", "data": []}, {"type": "here"}, {"type": "whispered"},
    {"type": "welcome"}, {"type": "event"}, {"type": "cancelling"},
]  # fmt: skip
ADA = client_frames.PresentMember(user="ada", name="Ada", avatar="https://example.com/a.png")
ANSWERS: list[BaseModel] = [
    client_frames.Welcome(connection="c", owner="ada", expires_at="t", max_channels=8),
    client_frames.Refreshed(expires_at="t", id=1),
    client_frames.Subscribed(channel="post:x", recovered=False),
    client_frames.SnapshotFrame(channel="post:x", epoch="e", snapshot={"seq": 1}),
    client_frames.TextFrame(channel="post:x", section="s", start=0, end=1, text="😀"),
    client_frames.DataFrame(channel="post:x", section="s", data={"rows": [1]}),
    client_frames.Live(channel="post:x", position=Position(epoch="e", seq=3)),
    client_frames.EventFrame(channel="post:x", name="chunk.produced", event={"type": "chunk"}),
    client_frames.Posts(channel="user:ada", items=[]),
    client_frames.ConversationFrame(
        channel="conversation:x", conversation={"seq": 3}, older=True, position=Position(epoch="e", seq=3)
    ),
    client_frames.ConversationEventFrame(
        channel="conversation:x", name="message.created", event={"type": "x"}, position=Position(epoch="e", seq=4)
    ),
    client_frames.Here(channel="presence:x", members=[ADA]),
    client_frames.Joined(channel="presence:x", member=ADA),
    client_frames.Left(channel="presence:x", member=ADA),
    client_frames.Whispered(channel="presence:x", name="typing", member=ADA, data={"on": True}),
    client_frames.Unsubscribed(channel="post:x", code="forbidden_channel"),
    client_frames.Cancelling(channel="post:x", run=1, status="generating", accepted=True, id=2),
    client_frames.ErrorFrame(code="invalid_frame", message="m"),
    client_frames.Pong(id=3),
]


@pytest.mark.parametrize("frame", GOOD, ids=str)
def test_client_frames_are_read(frame: dict[str, Any]) -> None:
    """Each frame that docs name is accepted, and fields of newer clients are ignored."""
    assert CLIENT_FRAME.validate_python(frame).type == frame["type"]


@pytest.mark.parametrize("frame", BAD, ids=str)
def test_other_frames_are_refused(frame: Any) -> None:
    """Anything else is refused: wrong types, missing fields, oversized values, a server's own frames."""
    with pytest.raises(ValidationError):
        CLIENT_FRAME.validate_python(frame)


def test_position_is_optional() -> None:
    """A subscription without a position asks for a snapshot."""
    frame = CLIENT_FRAME.validate_json('{"type":"subscribe","channel":"post:x"}')
    assert isinstance(frame, Subscribe)
    assert frame.position is None


@pytest.mark.parametrize("frame", ANSWERS, ids=lambda frame: type(frame).__name__)
def test_server_frames_round_trip(frame: BaseModel) -> None:
    """A client that reads a server's frame back has the same frame."""
    assert SERVER_FRAME.validate_json(frame.model_dump_json()) == frame


def test_every_server_frame_is_shown() -> None:
    """There is an example of each server frame here."""
    schema = SERVER_FRAME.json_schema()
    assert {type(frame).__name__ for frame in ANSWERS} == {ref["$ref"].split("/")[-1] for ref in schema["oneOf"]}
