"""docs/protocol.md says what the code does: every example is a frame, every table is whole."""

import json
import re
from pathlib import Path

import pytest

from inkwire_contracts.client_frames import (
    CLIENT_FRAME,
    MAX_CLIENT_FRAME_BYTES,
    SERVER_FRAME,
    ConversationEventFrame,
    ConversationFrame,
    EventFrame,
    SnapshotFrame,
    TextFrame,
)
from inkwire_contracts.close_codes import CLOSE_CODES, reconnect_rule
from inkwire_contracts.conversations import (
    CONVERSATION_EVENT_CLASSES,
    Conversation,
    Message,
    parse_conversation_event,
)
from inkwire_contracts.errors import ERROR_CODES
from inkwire_contracts.events import EVENT_CLASSES, ChunkProduced, event_from_dict
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.views import PostSummary
from inkwire_gateway.live_conversation import NEWEST_BYTES, NEWEST_MESSAGES
from inkwire_gateway.session import MAX_WHISPER_BYTES
from inkwire_gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = ROOT / "services/gateway/src"
TEXT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json (client|server)\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize(("side", "example"), EXAMPLES, ids=[f"{n}-{side}" for n, (side, _) in enumerate(EXAMPLES)])
def test_example_is_a_frame(side: str, example: str) -> None:
    """An example parses as a frame of its side, uses no unknown field, and what it carries is true to the contract."""
    value = json.loads(example)
    frame = (CLIENT_FRAME if side == "client" else SERVER_FRAME).validate_python(value)
    assert set(value) <= set(type(frame).model_fields)
    if isinstance(frame, EventFrame):
        event = event_from_dict(frame.event)
        assert type(event).name == frame.name
        assert isinstance(event, ChunkProduced) and event.data.end - event.data.start == len(event.data.text)
    elif isinstance(frame, SnapshotFrame):
        assert set(frame.snapshot) == set(Snapshot.model_fields)
        Snapshot.model_validate(frame.snapshot)
    elif isinstance(frame, TextFrame):
        assert frame.end - frame.start == len(frame.text)
    elif isinstance(frame, ConversationFrame):
        assert set(frame.conversation) == set(Conversation.model_fields)
        told = Conversation.model_validate(frame.conversation)
        assert told.seq == frame.position.seq
        assert all(set(message) == set(Message.model_fields) for message in frame.conversation["messages"])
    elif isinstance(frame, ConversationEventFrame):
        happened = parse_conversation_event(json.dumps(frame.event))
        assert type(happened).name == frame.name != "unknown"
    elif value["type"] == "posts":
        assert [set(item) for item in value["items"]] == [set(PostSummary.model_fields)]
    elif value["type"] == "error":
        assert value["code"] in ERROR_CODES


def test_every_frame_has_an_example() -> None:
    """No type of a frame is left without one."""
    shown = {(side, json.loads(example)["type"]) for side, example in EXAMPLES}
    for side, adapter in (("client", CLIENT_FRAME), ("server", SERVER_FRAME)):
        schema = adapter.json_schema()
        assert {kind for s, kind in shown if s == side} == set(schema["discriminator"]["mapping"])


def test_tables_are_whole() -> None:
    """All close codes, event types and their names are listed, and the reconnect rule is the code's."""
    rows = {int(code): name for code, name in re.findall(r"^\| (\d{4}) \| `(\w+)` \|", TEXT, flags=re.MULTILINE)}
    assert rows == {row.code: row.name for row in CLOSE_CODES.values()}
    described = TEXT[TEXT.index("### Events") : TEXT.index("## The fold")]
    listed = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", described, flags=re.MULTILINE)
    events = {kind: name for kind, name in listed if "." in name}
    assert events == {kind: cls.name for kind, cls in EVENT_CLASSES.items()}
    described = TEXT[TEXT.index("## Following a conversation") : TEXT.index("### An answer")]
    told = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", described, flags=re.MULTILINE)
    assert {kind: name for kind, name in told if "." in name} == {
        kind: cls.name for kind, cls in CONVERSATION_EVENT_CLASSES.items()
    }
    assert [reconnect_rule(c) for c in (1000, 1006, 4000, 4099, 4100, 4199, 4200, 4299)] == [
        "never", "backoff", "never", "never", "backoff", "backoff", "now", "now",
    ]  # fmt: skip


def test_every_field_of_an_event_is_told() -> None:
    """What an event's data holds is what its row says, in the same order."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `[\w.]+` \|([^|]*)\|", TEXT, re.MULTILINE))
    for kind, cls in EVENT_CLASSES.items():
        fields = cls.model_fields["data"].annotation.model_fields  # type: ignore[union-attr]
        assert re.findall(r"\w+", re.sub(r"\[.*\]", "", rows[kind])) == list(fields), kind


def test_every_close_code_is_sent() -> None:
    """The gateway names each row where it closes with it; 1009 is the library's own."""
    text = "".join(path.read_text(encoding="utf-8") for path in GATEWAY.rglob("*.py"))
    assert [name for name in CLOSE_CODES if f'"{name}"' not in text] == ["frame_too_large"]


def test_codes_of_refusals_exist() -> None:
    """Every code of the table of errors is one that can be rendered."""
    section = TEXT[TEXT.index("## Errors") : TEXT.index("## Close codes")]
    rows = re.findall(r"^\| (`.*?`) \|", section, flags=re.MULTILINE)
    named = [code for row in rows for code in re.findall(r"`(\w+)`", row)]
    assert len(named) >= 14 and all(code in ERROR_CODES for code in named)


def test_limits_are_the_defaults() -> None:
    """The numbers of the table of limits are those of the settings."""
    limits = Settings.model_fields
    section = TEXT[TEXT.index("## Limits") :]
    for words in (
        f"{MAX_CLIENT_FRAME_BYTES:,} bytes",
        f"{limits['frames_per_s'].default:g} a second, {limits['frame_burst'].default} at once",
        f"{limits['max_invalid_frames'].default} | 4000",
        f"{limits['authenticate_timeout_s'].default:g} s | 4002",
        f"{limits['max_channels'].default} | `too_many_channels`",
        f"{limits['max_owner_connections'].default}; {limits['max_connections'].default:,} | 4100",
        f"after {limits['ping_interval_s'].default:g} s, then {limits['pong_timeout_s'].default:g} s",
        f"taking nothing for {limits['slow_timeout_s'].default:g} s",
        f"{limits['idle_timeout_s'].default:g} s | 4106",
        f"{limits['load_timeout_s'].default:g} s | `broker_unavailable`",
        f"{limits['max_connection_cancels'].default}; {limits['max_cancels'].default} | `rate_limited`",
        f"{limits['api_timeout_s'].default:g} s | `api_unavailable`",
        f"{limits['whispers_per_s'].default:g} a second, {limits['whisper_burst'].default} at once",
        f"{MAX_WHISPER_BYTES:,} bytes | `rate_limited`",
        f"{limits['presence_ttl_s'].default:g} s | `left`",
        f"{NEWEST_MESSAGES}, {NEWEST_BYTES // 1024} KiB of JSON",
    ):
        assert words in section, words
