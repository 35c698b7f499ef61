"""The AsyncAPI 3.0 document of all that Inkwire says without being asked over HTTP, made from the contracts. Pure.

Two kinds of programs are written from it: services beside ours, on NATS, and clients, on the WebSocket. Nothing is
written twice: addresses come from :mod:`subjects`, messages and schemas from the models, their words from docstrings.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from inkwire_contracts import client_frames as frames
from inkwire_contracts import subjects, topology
from inkwire_contracts.close_codes import CLOSE_CODES
from inkwire_contracts.commands import CancelIntent, Claim, Job
from inkwire_contracts.conversations import CONVERSATION_EVENT_CLASSES, Conversation, UnknownConversationEvent
from inkwire_contracts.dead_letters import H_DELIVERIES, H_DETAIL, H_REASON, H_WORKER, REASONS
from inkwire_contracts.events import EVENT_CLASSES, UnknownEvent
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.views import PostSummary

Json = dict[str, Any]
Model = type[BaseModel]

_INFO: Json = {
    "title": "Inkwire",
    "license": {"name": "Apache-2.0"},
    "description": "The events of posts and conversations on NATS JetStream, and the frames of the WebSocket for "
    "clients. Operations are Inkwire's: it sends what has the action send, and takes what has the action receive. "
    "Whoever reads ignores fields and types that it does not know. What an event means is in the fold: "
    "docs/protocol.md and libs/contracts.",
}
_TOKEN: Json = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": f"Browsers offer the subprotocol {frames.TOKEN_SUBPROTOCOL_PREFIX}<JWT> beside "
    f"{frames.SUBPROTOCOL}; who can do neither sends the frame authenticate first.",
}
_SOCKET = "socket"

CLIENT_FRAMES: tuple[Model, ...] = get_args(get_args(frames.ClientFrame)[0])
SERVER_FRAMES: tuple[Model, ...] = get_args(get_args(frames.ServerFrame)[0])
FRAMES = (*CLIENT_FRAMES, *SERVER_FRAMES)
POST_EVENTS: tuple[Model, ...] = (*EVENT_CLASSES.values(), UnknownEvent)
CONVERSATION_EVENTS: tuple[Model, ...] = (*CONVERSATION_EVENT_CLASSES.values(), UnknownConversationEvent)

ANSWERS: Mapping[Model, tuple[Model, ...]] = {
    frames.Authenticate: (frames.Welcome, frames.ErrorFrame),
    frames.Subscribe: (frames.Subscribed, frames.ErrorFrame),
    frames.Unsubscribe: (frames.Unsubscribed, frames.ErrorFrame),
    frames.Refresh: (frames.Refreshed, frames.ErrorFrame),
    frames.Cancel: (frames.Cancelling, frames.ErrorFrame),
    frames.Whisper: (frames.ErrorFrame,),
    frames.Ping: (frames.Pong,),
}
"""What may answer a client's frame, with the same ``id``; what follows a subscription comes by itself."""

_HEADERS: Mapping[str, str] = {
    "Nats-Msg-Id": "The broker stores only the first message with this id, within the stream's duplicate window.",
    "Nats-Expected-Last-Subject-Sequence": "The broker stores the message only if this is still the last sequence of "
    "the subject: of an event under a claim, the claim's; 0 where there must be nothing yet.",
    "Nats-Expected-Last-Subject-Sequence-Subject": "The subject that is meant, where it is another: the post's claim.",
    "Nats-Subject": "Of a copy below live or bells: where the message is stored.",
    "Nats-Sequence": "Of a copy below live or bells: the sequence at which the stream has it.",
    H_REASON: "Why it lies here. " + " ".join(f"{code}: {text}" for code, text in REASONS.items()),
    H_DETAIL: "One short line more about that.",
    H_WORKER: "Who put it aside.",
    H_DELIVERIES: "How often the broker had handed it out.",
}
_HEADER_SETS: Mapping[str, tuple[str, ...]] = {
    "StoredHeaders": tuple(_HEADERS)[:5],
    "BellHeaders": ("Nats-Msg-Id", "Nats-Subject", "Nats-Sequence"),
    "DeadLetterHeaders": (H_REASON, H_DETAIL, H_WORKER, H_DELIVERIES, "Nats-Msg-Id"),
}

_PARAMETERS: Mapping[str, Json] = {
    "owner": {"description": "Whose it is: an owner's token, 1 to 64 of a-z, 0-9, _ and -."},
    "post": {"description": "The post's id: 26 characters of a-z and 2-7."},
    "type": {"description": "The event's type, the same as in its body.", "examples": list(EVENT_CLASSES)},
    "run": {"description": "Which of the post's runs, from 1."},
    "conversation": {"description": "The conversation's id: 26 characters of a-z and 2-7."},
    "member": {"description": "The member's owner token."},
    "connection": {"description": "One connection of that member."},
    "key": {"description": "A provider key, as the workers name it."},
    "pool": {"description": "Which workers may take it.", "default": subjects.DEFAULT_POOL},
    "priority": {"description": "Workers take urgent ones first.", "enum": list(subjects.PRIORITIES)},
    "bucket": {
        "description": "The owner's: the first byte of the SHA-256 of its token, modulo the number of buckets.",
        "enum": [str(number) for number in range(subjects.BUCKETS)],
    },
}


@dataclass(frozen=True, slots=True)
class _Bare:
    """A message whose body is no model of the contracts."""

    name: str
    summary: str
    payload: Json
    headers: str | None = None


_ANYTHING: Json = {"description": "Whatever was published."}
_OWN: Json = {"type": "object", "description": "Its fields are no promise: they are for processes of one version."}
_DEAD_JOB = _Bare("DeadJob", "A job that was put aside.", {"$ref": "#/components/schemas/Job"}, "DeadLetterHeaders")
_UNREADABLE = _Bare("UnreadableJob", "What nobody can read as a job.", _ANYTHING, "DeadLetterHeaders")
_DEAD_EVENT = _Bare("DeadEvent", "What is no event of what its subject names.", _ANYTHING, "DeadLetterHeaders")
_BELL = _Bare("JobBell", "There is a job. No body.", {"type": "string", "maxLength": 0}, "BellHeaders")
_SIGNAL = _Bare("CancelSignal", "The run that somebody wants to stop.", {"type": "integer", "minimum": 1})
_PRESENCE = _Bare("PresenceBeat", "A connection is there; without a body: it is gone.", _OWN)
_WHISPER = _Bare("MemberWhisper", "What a member tells the others.", _OWN)
_BUDGET = _Bare("ProviderBudget", "What a provider key still allows.", _OWN)

Message = Model | _Bare


@dataclass(frozen=True, slots=True)
class _Channel:
    """One subject. ``stream`` keeps what is published there; without one nobody does."""

    name: str
    address: str
    description: str
    messages: Sequence[Message]
    stream: str | None = None
    action: Literal["send", "receive"] = "send"


def _channels() -> Iterable[_Channel]:
    """All subjects of the broker, each built by its own function from the names of its parts."""
    post = subjects.post_event("{owner}", "{post}", "{type}")
    talk = subjects.conversation("{conversation}")
    head, pool, _, _, owner = subjects.job("{pool}", "normal", "{owner}").split(".")
    job = f"{head}.{pool}.{{priority}}.{{bucket}}.{owner}"
    wish = subjects.cancels("{owner}", "{post}").replace("*", "{run}")
    beat = subjects.presence("{conversation}", "{member}", "{connection}")
    heard = subjects.live_presence("{conversation}").replace("*.*", "{member}.{connection}")
    copy = "The same, as the broker republishes it once it is stored: for whoever follows live. May be missed."
    own = "Between processes of Inkwire."
    dead_post, dead_talk = subjects.dead_event(post), subjects.dead_event(talk)
    return (
        _Channel("postEvents", post, "A post's log, written under its claim.", POST_EVENTS, topology.EVENTS),
        _Channel("livePostEvents", subjects.live(post), copy, POST_EVENTS),
        _Channel("conversationEvents", talk, "A conversation's log.", CONVERSATION_EVENTS, topology.CONVERSATIONS),
        _Channel("liveConversationEvents", subjects.live(talk), copy, CONVERSATION_EVENTS),
        _Channel("jobs", job, "Runs to do, each up to exactly one terminal event.", (Job,), topology.JOBS, "receive"),
        _Channel("jobBells", subjects.BELLS_PREFIX + job, "Rings when a job is stored or given back.", (_BELL,)),
        _Channel("claims", subjects.claim("{post}"), "Who may write a post's log.", (Claim,), topology.EVENTS),
        _Channel("cancels", wish, "Wishes to stop a run, kept.", (CancelIntent,), topology.EVENTS),
        _Channel("cancelSignals", subjects.cancel_signal("{post}"), "That such a wish was stored.", (_SIGNAL,)),
        _Channel("deadJobs", subjects.dead_job(job), "Jobs put aside.", (_DEAD_JOB, _UNREADABLE), topology.DLQ),
        _Channel("deadPostEvents", dead_post, "What was put aside of posts' logs.", (_DEAD_EVENT,), topology.DLQ),
        _Channel("deadConversationEvents", dead_talk, "Of conversations' logs.", (_DEAD_EVENT,), topology.DLQ),
        _Channel("presence", beat, own, (_PRESENCE,), topology.PRESENCE),
        _Channel("livePresence", heard, own, (_PRESENCE,)),
        _Channel("whispers", subjects.whisper("{conversation}"), own, (_WHISPER,)),
        _Channel("budgets", subjects.budget("{key}"), own, (_BUDGET,), topology.BUDGETS),
        _Channel("liveBudgets", subjects.live_budget("{key}"), own, (_BUDGET,)),
    )


def document(version: str) -> Json:
    """The whole document, as it would be written as JSON; ``version`` is the project's."""
    channels = {channel.name: channel for channel in _channels()}
    messages = {_id(message): message for channel in channels.values() for message in channel.messages}
    messages.update({_id(frame): frame for frame in FRAMES})
    return {
        "asyncapi": "3.0.0",
        "info": {**_INFO, "version": version},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {**{name: _channel(channel) for name, channel in channels.items()}, _SOCKET: _socket()},
        "operations": {
            **{name: _act(channel.action, name, channel.messages) for name, channel in channels.items()},
            **_socket_operations(),
        },
        "components": {
            "messages": {name: _message(message) for name, message in messages.items()},
            "schemas": {**_schemas(messages.values()), **{name: _headers(name) for name in _HEADER_SETS}},
            "securitySchemes": {"token": _TOKEN},
        },
    }


def _servers() -> Json:
    def server(protocol: str, address: str, pathname: str, description: str) -> Json:
        variable = {"default": address, "description": "Host and port; the default is a local installation's."}
        told = {"host": "{address}", "pathname": pathname, "protocol": protocol, "description": description}
        return {**told, "variables": {"address": variable}}

    public = server("ws", "127.0.0.1:8080", "/ws", "The gateway, for clients; wss where TLS is in front of it.")
    public["security"] = [{"$ref": "#/components/securitySchemes/token"}]
    return {"nats": server("nats", "127.0.0.1:4222", "/", "The broker, for services."), "gateway": public}


def _channel(channel: _Channel) -> Json:
    told: Json = {
        "address": channel.address,
        "description": channel.description,
        "servers": [{"$ref": "#/servers/nats"}],
        "messages": {_id(message): _ref("messages", message) for message in channel.messages},
        "parameters": {name: _PARAMETERS[name] for name in re.findall(r"\{(\w+)\}", channel.address)},
    }
    return told if channel.stream is None else {**told, "x-jetstream-stream": channel.stream}


def _socket() -> Json:
    protocols = {"type": "string", "description": f"{frames.SUBPROTOCOL}, and token.<JWT> to authenticate."}
    headers = {"type": "object", "properties": {"Sec-WebSocket-Protocol": protocols}}
    return {
        "address": "/",
        "title": frames.SUBPROTOCOL,
        "description": "One text frame is one JSON object with a type. A client's has at most "
        f"{frames.MAX_CLIENT_FRAME_BYTES:,} bytes. How they follow each other: docs/protocol.md.",
        "servers": [{"$ref": "#/servers/gateway"}],
        "messages": {_id(frame): _ref("messages", frame) for frame in FRAMES},
        "bindings": {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}},
        "x-close-codes": [{**asdict(row), "reconnect": row.reconnect} for row in CLOSE_CODES.values()],
    }


def _socket_operations() -> Json:
    operations = {"sendFrames": _act("send", _SOCKET, SERVER_FRAMES)}
    for frame in CLIENT_FRAMES:
        answers = _act("send", _SOCKET, ANSWERS[frame])
        del answers["action"]
        operations[f"take{_id(frame)}"] = {**_act("receive", _SOCKET, (frame,)), "reply": answers}
    return operations


def _act(action: str, channel: str, messages: Sequence[Message]) -> Json:
    listed = [{"$ref": f"#/channels/{channel}/messages/{_id(message)}"} for message in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": listed}


def _message(message: Message) -> Json:
    title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _id(message)).capitalize()
    if isinstance(message, _Bare):
        told: Json = {"name": message.name, "title": title, "summary": message.summary, "payload": message.payload}
        headers = message.headers
    else:
        summary = (message.__doc__ or "").partition("\n")[0]
        told = {"name": _name(message), "title": title, "summary": summary, "payload": _ref("schemas", message)}
        headers = None if message in FRAMES else "StoredHeaders"
    if headers is not None:
        told["headers"] = {"$ref": f"#/components/schemas/{headers}"}
    elif not isinstance(message, _Bare) and "id" in message.model_fields:
        told["correlationId"] = {"location": "$message.payload#/id"}
    return told


def _schemas(messages: Iterable[Message]) -> Json:
    """Of all models, as readers need them: what a frame carries is told, and a type must be named."""
    carried: Mapping[tuple[str, str], Json] = {
        ("SnapshotFrame", "snapshot"): _ref("schemas", Snapshot),
        ("Posts", "items"): {"type": "array", "items": _ref("schemas", PostSummary)},
        ("ConversationFrame", "conversation"): _ref("schemas", Conversation),
        ("EventFrame", "event"): {"oneOf": [_ref("schemas", event) for event in POST_EVENTS]},
        ("ConversationEventFrame", "event"): {"oneOf": [_ref("schemas", event) for event in CONVERSATION_EVENTS]},
        ("UnknownEvent", "type"): {"type": "string", "not": {"enum": list(EVENT_CLASSES)}},
        ("UnknownConversationEvent", "type"): {"type": "string", "not": {"enum": list(CONVERSATION_EVENT_CLASSES)}},
    }
    models: list[Model] = [message for message in messages if not isinstance(message, _Bare)]
    models += [Snapshot, PostSummary, Conversation]
    wanted: list[tuple[Model, Literal["validation"]]] = [(model, "validation") for model in models]
    schemas: Json = models_json_schema(wanted, ref_template="#/components/schemas/{model}")[1]["$defs"]
    for (name, field), schema in carried.items():
        properties = schemas[name]["properties"]
        properties[field] = {"title": properties[field]["title"], **schema}
    for model in models:
        if "type" in model.model_fields:
            schema = schemas[_id(model)]
            schema["required"] = sorted({"type", *schema.get("required", ())})
    return schemas


def _headers(name: str) -> Json:
    fields = {header: {"type": "string", "description": _HEADERS[header]} for header in _HEADER_SETS[name]}
    return {"type": "object", "properties": fields}


def _id(message: Message) -> str:
    return message.name if isinstance(message, _Bare) else message.__name__


def _name(model: Model) -> str:
    """What programs know it by: an event's dotted name, a frame's type, else the model's own name."""
    if model in FRAMES:
        return str(get_args(model.model_fields["type"].annotation)[0])
    return str(getattr(model, "name", model.__name__))


def _ref(kind: Literal["messages", "schemas"], message: Message) -> Json:
    return {"$ref": f"#/components/{kind}/{_id(message)}"}
