"""The native dialect's frames are those of the contract, within their bounds."""

from typing import Any

import pytest

from inkwire.following import PostFold
from inkwire_contracts.client_frames import (
    MAX_TEXT_FRAME_BYTES,
    SERVER_FRAME,
    ConversationEventFrame,
    ConversationFrame,
    EventFrame,
    Here,
    Joined,
    Left,
    Live,
    Position,
    PresentMember,
    TextFrame,
)
from inkwire_contracts.events import MAX_EVENT_BYTES
from inkwire_gateway.dialects.native import NATIVE, event_payload, text_payloads
from inkwire_gateway.live_conversation import ConversationCapture
from inkwire_gateway.live_post import LivePost
from inkwire_gateway.ring import Batch, Ring
from tests.unit.gateway.builders import EPOCH, POST, Script
from tests.unit.gateway.fakes import unframed

NAME = f"post:{POST}"


def test_event_is_the_logs_json_verbatim() -> None:
    """The envelope is put around the bytes, and the whole is a frame of the contract."""
    stored = Script().begin().events[0]
    payload = event_payload(NAME, Batch(1, "generate.requested", stored.raw))
    assert stored.raw in payload
    frame = SERVER_FRAME.validate_json(payload)
    assert isinstance(frame, EventFrame)
    assert (frame.channel, frame.name, frame.event["seq"]) == (NAME, "generate.requested", 1)


@pytest.mark.parametrize("text", ["a", "é", "漢", "\U0001f600", '"', "\u0001", "a\u0301\U0001f468‍\U0001f469\r\n"])
@pytest.mark.parametrize("length", [1, 15_999, 16_000, 16_001, 131_072])
def test_texts_are_sliced_by_code_points_and_bytes(text: str, length: int) -> None:
    """Slices join to the text, carry true offsets, and stay within the frame's bound however JSON writes them."""
    whole = (text * (length // len(text) + 1))[:length]
    joined = ""
    for payload in text_payloads(NAME, "s", whole):
        assert len(payload) <= MAX_TEXT_FRAME_BYTES
        frame = SERVER_FRAME.validate_json(payload)
        assert isinstance(frame, TextFrame)
        assert (frame.start, frame.end) == (len(joined), len(joined) + len(frame.text))
        joined += frame.text
    assert joined == whole


def test_empty_text_needs_no_frame() -> None:
    """Nothing is sent for a section without text."""
    assert list(text_payloads(NAME, "s", "")) == []


def test_every_frame_of_a_catch_up_is_of_the_contract() -> None:
    """Subscribed, snapshot, text and live parse as such."""
    script = Script().begin()
    script.chunk("Hello")
    post = LivePost(POST, Ring(10, 10_000), max_buffer=10)
    post.start(script.loaded())
    frames = [NATIVE.subscribed(NAME, 3, recovered=False), *NATIVE.catch_up(NAME, post.capture())]
    frames.append(NATIVE.live(NAME, EPOCH, 4))
    parsed = [SERVER_FRAME.validate_python(unframed(frame)) for frame in frames]
    assert [frame.type for frame in parsed] == ["subscribed", "snapshot", "text", "live"]
    assert isinstance(parsed[-1], Live) and parsed[-1].position.seq == 4


def test_data_travels_beside_the_snapshot() -> None:
    """However many sections have data, the snapshot's frame has none; each comes whole, before the texts and live."""
    script = Script()
    script.add("requested", title="T", recipe="blog")
    script.add("started")
    kept: dict[str, Any] = {}
    for number in range(12):
        name = f"s{number}"
        script.add("section_started", section=name)
        data = {"rows": ["é" * 1_000] * 90} if number % 2 else None
        script.add("section_completed", section=name, text=name, data=data)
        kept |= {name: data} if data else {}
    post = LivePost(POST, Ring(100, 10_000), max_buffer=10)
    post.start(script.loaded())
    frames = list(NATIVE.catch_up(NAME, post.capture()))
    told = [unframed(frame) for frame in frames]
    assert [f["type"] for f in told] == ["snapshot", *["data"] * 6, *["text"] * 12]
    assert len(frames[0]) < MAX_TEXT_FRAME_BYTES
    assert all(len(frame) < MAX_EVENT_BYTES for frame in frames)
    assert {f["section"]: f["data"] for f in told if f["type"] == "data"} == kept

    client = PostFold(POST)
    for frame in [*frames, NATIVE.live(NAME, EPOCH, post.seq)]:
        client.receive(SERVER_FRAME.validate_python(unframed(frame)))
    assert client.snapshot == script.truth


def test_user_channel_frames() -> None:
    """The list is one frame of the contract."""
    told = SERVER_FRAME.validate_python(unframed(NATIVE.posts("user:ada", [])))
    assert told.type == "posts"


def test_frames_of_conversations() -> None:
    """Envelopes made by hand are the frames of the contract, with the log's bytes inside."""
    raw = b'{"type":"title_changed","conversation":"c","data":{"title":"\\"]}"}}'
    told = NATIVE.conversation_event("conversation:x", "2026-01-01T00:00:00Z", Batch(7, "title.changed", raw))
    frame = SERVER_FRAME.validate_python(unframed(told))
    assert isinstance(frame, ConversationEventFrame) and raw in told
    assert frame.position == Position(epoch="2026-01-01T00:00:00Z", seq=7)
    assert frame.event["data"]["title"] == '"]}'
    ada = PresentMember(user="ada", name='A"da', avatar="")
    member = ada.model_dump_json().encode()
    for kind, shape in (("joined", Joined), ("left", Left)):
        frame = SERVER_FRAME.validate_python(
            unframed(NATIVE.presence("presence:x", Batch(1, kind, b'{"member":' + member + b"}")))
        )
        assert isinstance(frame, shape) and frame.member == ada
    opening = SERVER_FRAME.validate_python(unframed(NATIVE.here("presence:x", [ada])))
    assert opening == Here(channel="presence:x", members=[ada])
    capture = ConversationCapture("e", 3, {"seq": 3, "messages": []}, older=True)
    whole = NATIVE.conversation("conversation:x", capture)
    assert SERVER_FRAME.validate_python(unframed(whole)) == ConversationFrame(
        channel="conversation:x", conversation=capture.conversation, older=True, position=Position(epoch="e", seq=3)
    )
