"""The AsyncAPI document: the committed one is the code's, it keeps to the specification, and nothing is missing."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from inkwire_api.asyncapi import asyncapi, document
from inkwire_chassis.jetstream import H_EXPECTED_SUBJECT, H_EXPECTED_SUBJECT_SEQ, H_MSG_ID
from inkwire_contracts import commands, dead_letters, subjects
from inkwire_contracts.client_frames import CLIENT_FRAME, SERVER_FRAME
from inkwire_contracts.close_codes import CLOSE_CODES
from inkwire_contracts.conversations import CONVERSATION_EVENT_CLASSES
from inkwire_contracts.data import Data
from inkwire_contracts.events import EVENT_CLASSES, ChunkProduced
from inkwire_contracts.topology import topology

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json (client|server)\n(.*?)```", PROTOCOL, flags=re.DOTALL)
DOCUMENT = asyncapi()
CHANNELS = DOCUMENT["channels"]
MESSAGES = DOCUMENT["components"]["messages"]
SCHEMAS = DOCUMENT["components"]["schemas"]
NO_SUBJECTS = {"bucket_of", "jobs_durable", "parse_bell", "parse_post_event"}
"""Functions of subjects.py that build none."""
OPERATIONS = DOCUMENT["operations"].values()


def _resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def _references(node: Any) -> Iterator[str]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]
    for child in children:
        yield from _references(child)


def _validator(schema: str) -> Draft7Validator:
    return Draft7Validator({**DOCUMENT, "$ref": f"#/components/schemas/{schema}"})


def _matches(pattern: str, address: str) -> bool:
    """Whether a broker would deliver what is published there; a part in braces is any."""
    asked, parts = pattern.split("."), address.split(".")
    if asked[-1] == ">":
        asked, parts = asked[:-1], parts[: len(asked) - 1]
    pairs = zip(asked, parts, strict=False)
    return len(asked) == len(parts) and all(a in ("*", b) or b.startswith("{") for a, b in pairs)


def _kinds(listed: list[dict[str, str]]) -> dict[str, str]:
    """Type -> schema of an operation's frames."""
    messages = [_resolve(_resolve(message["$ref"])["$ref"]) for message in listed]
    return {message["name"]: message["payload"]["$ref"].rpartition("/")[2] for message in messages}


def _frames(action: str) -> dict[str, str]:
    """The same of all frames that the server sends, or receives."""
    on_socket = [op for op in OPERATIONS if op["action"] == action and op["channel"]["$ref"] == "#/channels/socket"]
    return _kinds([message for operation in on_socket for message in operation["messages"]])


def test_the_committed_document_is_the_codes() -> None:
    """After a change run: python -m inkwire_api.asyncapi > docs/asyncapi.json."""
    committed = (ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8")
    assert committed == document(), "run: python -m inkwire_api.asyncapi > docs/asyncapi.json"


def test_it_is_asyncapi() -> None:
    """FastStream's models of the specification take it, and lose nothing of its parts."""
    read = ApplicationSchema.model_validate(DOCUMENT)
    assert (read.asyncapi, read.info.title) == ("3.0.0", "Inkwire")
    assert read.components is not None and read.components.messages is not None and read.servers is not None
    assert set(read.components.messages) == set(MESSAGES)
    assert {server.protocol for server in read.servers.values()} == {"nats", "ws"}
    assert set(read.channels) == set(CHANNELS) and len(read.operations) == len(OPERATIONS)


def test_references_lead_somewhere() -> None:
    """Each $ref does, the messages of an operation are its channel's, and no message or schema is left over."""
    found = set(_references(DOCUMENT))
    assert all(_resolve(reference) for reference in found)
    for kind in ("messages", "schemas"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= found
    for operation in OPERATIONS:
        for part in (operation, operation.get("reply", operation)):
            assert all(m["$ref"].startswith(f"{part['channel']['$ref']}/messages/") for m in part["messages"])


def test_schemas_are_schemas() -> None:
    """Every one is valid JSON Schema, and has a name that no other model would have had as well."""
    for name, schema in SCHEMAS.items():
        Draft7Validator.check_schema(schema)
        assert re.fullmatch(r"[A-Za-z]+", name)


def test_every_event_is_there() -> None:
    """Under its dotted name, on its log's channel and on the one that is republished, and so is every command."""
    for classes, channels in (
        (EVENT_CLASSES, ("postEvents", "livePostEvents")),
        (CONVERSATION_EVENT_CLASSES, ("conversationEvents", "liveConversationEvents")),
    ):
        told = {cls.__name__: cls.name for cls in classes.values()}
        for channel in channels:
            listed = {_id: _resolve(m["$ref"])["name"] for _id, m in CHANNELS[channel]["messages"].items()}
            assert {_id: name for _id, name in listed.items() if name != "unknown"} == told
            assert len(listed) == len(told) + 1
    own = {name for name, cls in inspect.getmembers(commands, inspect.isclass) if cls.__module__ == commands.__name__}
    assert own and own <= set(MESSAGES) and issubclass(commands.Job, Data)


def test_every_frame_is_there() -> None:
    """With what the client sends taken, what the server sends sent, and each close code named."""
    taken, sent = (set(adapter.json_schema()["discriminator"]["mapping"]) for adapter in (CLIENT_FRAME, SERVER_FRAME))
    assert (set(_frames("receive")), set(_frames("send"))) == (taken, sent)
    assert [(row["code"], row["reconnect"]) for row in CHANNELS["socket"]["x-close-codes"]] == [
        (row.code, row.reconnect) for row in CLOSE_CODES.values()
    ]


def test_answers_are_those_of_the_protocol() -> None:
    """What an operation says comes back is what docs/protocol.md says in its table of frames."""
    table = PROTOCOL[PROTOCOL.index("## Frames of the client") :]
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", table.split("| channel | what")[0], re.MULTILINE))
    replies = {kind: op["reply"] for op in OPERATIONS if "reply" in op for kind in _kinds(op["messages"])}
    assert set(rows) == set(replies) == set(_frames("receive"))
    for kind, reply in replies.items():
        assert set(_kinds(reply["messages"])) == set(re.findall(r"`(\w+)`", rows[kind])) & set(_frames("send")), kind


def test_every_subject_is_there() -> None:
    """What a function of the contracts builds is a channel's address or takes one, and each address is built by one."""
    addresses = [channel["address"] for name, channel in CHANNELS.items() if name != "socket"]
    given = {"priority": "high", "subject": "conversations.x", "run": 1, "bucket": 1, "event_type": "chunk"}
    built = {
        name: function(**{part: given.get(part, "x") for part in inspect.signature(function).parameters})
        for name, function in inspect.getmembers(subjects, inspect.isfunction)
        if function.__module__ == subjects.__name__ and name not in NO_SUBJECTS
    }
    built["dead_job"] = subjects.dead_job(built["job"])
    for log in ("post_event", "conversation"):
        built[f"live {log}"] = subjects.live(built[log])
        built[f"dead {log}"] = subjects.dead_event(built[log])
    del built["live"]
    assert [name for name, subject in built.items() if not any(_matches(subject, a) for a in addresses)] == []
    assert [a for a in addresses if not any(_matches(subject, a) for subject in built.values())] == []


def test_streams_are_the_topologys() -> None:
    """A channel that names a stream is stored there, every stream has one, and so has every copy."""
    streams = {stream.name: stream for stream in topology().streams}
    kept = {name: channel for name, channel in CHANNELS.items() if "x-jetstream-stream" in channel}
    assert {channel["x-jetstream-stream"] for channel in kept.values()} == set(streams)
    for name, channel in CHANNELS.items():
        takers = [s.name for s in streams.values() if any(_matches(p, channel["address"]) for p in s.subjects)]
        assert takers == ([channel["x-jetstream-stream"]] if name in kept else []), name
    for stream in streams.values():
        if stream.republish is not None:
            assert any(_matches(stream.republish.destination, c["address"]) for c in CHANNELS.values()), stream.name


def test_headers_are_those_that_are_set() -> None:
    """By the log, and by who puts a message aside."""
    assert {H_MSG_ID, H_EXPECTED_SUBJECT_SEQ, H_EXPECTED_SUBJECT} <= set(SCHEMAS["StoredHeaders"]["properties"])
    letter = dead_letters.header_fields("poison", detail="x", deliveries=1, worker="x")
    assert {H_MSG_ID, *letter} == set(SCHEMAS["DeadLetterHeaders"]["properties"])


@pytest.mark.parametrize(("side", "example"), EXAMPLES, ids=[f"{n}-{side}" for n, (side, _) in enumerate(EXAMPLES)])
def test_examples_of_the_protocol_validate(side: str, example: str) -> None:
    """Each frame of docs/protocol.md is valid under the one schema of its type, and not without its type."""
    value = json.loads(example)
    validator = _validator(_frames("receive" if side == "client" else "send")[value["type"]])
    validator.validate(value)
    with pytest.raises(ValidationError):
        validator.validate({name: field for name, field in value.items() if name != "type"})


@pytest.mark.parametrize(
    ("folder", "frame"), [("vectors", "EventFrame"), ("conversation_vectors", "ConversationEventFrame")]
)
def test_logs_of_all_versions_validate(folder: str, frame: str) -> None:
    """Each event of the vectors is valid under exactly one schema, as a reader of the log gets it."""
    validator = _validator(f"{frame}/properties/event")
    found = [event for path in (ROOT / "tests/contract" / folder).glob("*.json") for event in _events(path)]
    assert len(found) > 100
    for event in found:
        validator.validate(event)


def _events(path: Path) -> list[dict[str, Any]]:
    return [event.get("event", event) for event in json.loads(path.read_text(encoding="utf-8"))["events"]]


def test_what_a_frame_carries_is_held_to_it() -> None:
    """An event in a frame is checked by its own schema; one of a later version is let through."""
    frame = next(json.loads(text) for side, text in EXAMPLES if side == "server" and '"chunk.produced"' in text)
    validator = _validator("EventFrame")
    assert frame["event"]["type"] == ChunkProduced.model_fields["type"].default
    later = {**frame["event"], "type": "illustrated", "data": {"image": 1}}
    validator.validate({**frame, "event": later})
    with pytest.raises(ValidationError):
        validator.validate({**frame, "event": {**frame["event"], "data": {"text": 1}}})
