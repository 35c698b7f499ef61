"""A scripted writer of posts, a client that folds what it is sent, and a gateway in the test's own process."""

import asyncio
import json
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from inkwire_chassis.auth import DEFAULT_SCOPES, KeyRing
from inkwire_chassis.clock import new_id, rfc3339
from inkwire_chassis.event_log import EventLog, Held
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.nats_connection import connected
from inkwire_chassis.provisioning import provision
from inkwire_contracts.events import (
    ChunkData,
    ChunkProduced,
    Event,
    GenerateRequested,
    Planned,
    PlannedData,
    PlannedSection,
    PostPublished,
    ProgressData,
    Progressed,
    PublishedData,
    RequestedData,
    SectionCompleted,
    SectionCompletedData,
    SectionStarted,
    SectionStartedData,
    Started,
    Turn,
    event_from_dict,
)
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold
from inkwire_contracts.topology import EVENTS, topology
from inkwire_gateway.app import Running, running
from inkwire_gateway.settings import Settings
from inkwire_stores import Store, open_store
from tests.support.log import PatientJetStream
from tests.support.processes import ManagedProcess
from tests.support.wait import eventually, scaled_s

SECRET = "k" * 40
KEYS = KeyRing.parse(f"k1:{SECRET}", "inkwire")
EVENTS_MAX_BYTES = 256 * 1024**2


def token(owner: str = "ada", *, lifetime_s: int = 6 * 3600, now: datetime | None = None, **claims: Any) -> str:
    """A token as the api makes it."""
    claims = {"scopes": DEFAULT_SCOPES, **claims}
    return KEYS.mint(owner, now=now or datetime.now(UTC), lifetime_s=lifetime_s, jti=new_id(), **claims)


@asynccontextmanager
async def event_log(url: str) -> AsyncIterator[EventLog]:
    """A connection of the writer's own; streams are made where they are missing."""
    async with connected(url, "test-writer") as client:
        jetstream = PatientJetStream(client)
        await jetstream.start()
        await provision(jetstream, topology(events_max_bytes=EVENTS_MAX_BYTES, conversations_max_bytes=1024**2))
        yield EventLog(jetstream, new_id)


class Author:
    """Writes one post's log as a generator does: claimed, fenced, contiguous. Keeps its own fold as the truth."""

    def __init__(self, log: EventLog, owner: str = "ada", post: str | None = None) -> None:
        self.log = log
        self.owner = owner
        self.post = post or new_id()
        self.truth = Snapshot(post=self.post)
        self.held: Held | None = None
        self.digests: dict[int, str] = {}
        """SHA-256 of the document at each seq."""

    @property
    def channel(self) -> str:
        """What readers follow."""
        return f"post:{self.post}"

    @property
    def text(self) -> str:
        """The document as it was written so far."""
        return document(self.truth)

    async def write(self, cls: type[Event], data: Any, *, run: int | None = None) -> Event:
        """Append the next event."""
        if self.held is None:
            self.held = await self.log.claim(self.post, run=run or 1, deliveries=1, holder="test")
        fields: dict[str, Any] = {
            "post": self.post,
            "owner": self.owner,
            "run": run or self.truth.run or 1,
            "attempt": self.held.attempt,
            "seq": self.truth.seq + 1,
            "time": rfc3339(datetime.now(UTC)),
            "data": data,
        }
        if "prev" in cls.model_fields:
            fields["prev"] = self.truth.key_seq
        event = cls(**fields)
        assert fold(self.truth, event) is Outcome.APPLIED, event
        self.digests[event.seq] = digest(document(self.truth))
        await self.log.append(event, self.held)
        return event

    async def begin(self, *sections: str, turn: Turn | None = None) -> None:
        """Request, start and plan the post; with ``turn`` it is an answer in a conversation."""
        await self.write(GenerateRequested, RequestedData(title="A post", recipe="blog", turn=turn))
        await self.write(Started, {"worker": "test"})
        planned = [PlannedSection(section=s, title=s.upper()) for s in sections]
        await self.write(Planned, PlannedData(sections=planned))

    async def open_section(self, section: str) -> None:
        """Begin a section."""
        await self.write(SectionStarted, SectionStartedData(section=section))

    async def chunk(self, text: str) -> None:
        """Add text to the open section."""
        section = self.truth.open_section
        assert section is not None
        known = self.truth.section(section)
        assert known is not None
        data = ChunkData(section=section, start=known.length, end=known.length + len(text), text=text)
        await self.write(ChunkProduced, data)

    async def progress(self, percent: int) -> None:
        """Say how far it is."""
        await self.write(Progressed, ProgressData(percent=percent, message="on the way"))

    async def complete(self) -> None:
        """Finish the open section."""
        section = self.truth.section(self.truth.open_section or "")
        assert section is not None
        await self.write(SectionCompleted, SectionCompletedData(section=section.section, text=section.text))

    async def publish(self) -> None:
        """End the run well."""
        text = self.text
        await self.write(PostPublished, PublishedData(sha256=digest(text), length=len(text)))

    async def whole(self, sections: int = 2, chunks: int = 5) -> None:
        """A whole post in one go."""
        names = [f"s{n}" for n in range(sections)]
        await self.begin(*names)
        for name in names:
            await self.open_section(name)
            for n in range(chunks):
                await self.chunk(f"{name}-{n} åß\U0001f600 ")
            await self.complete()
        await self.publish()


@dataclass
class Reader:
    """A client written from docs/protocol.md: it counts what must not happen."""

    socket: ClientConnection
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    positions: dict[str, dict[str, Any]] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    recovered: dict[str, bool] = field(default_factory=dict)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, **frame: Any) -> None:
        """Send one frame."""
        await self.socket.send(json.dumps(frame))

    async def next(self, *, timeout_s: float = 15.0) -> dict[str, Any]:
        """Receive and apply one frame."""
        async with asyncio.timeout(scaled_s(timeout_s)):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.apply(frame)
        return frame

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Receive until a frame of a type comes whose fields are those."""
        while True:
            frame = await self.next()
            if frame["type"] == kind and all(frame.get(k) == v for k, v in fields.items()):
                return frame

    async def follow(self, channel: str, position: dict[str, Any] | None = None) -> None:
        """Subscribe and receive until it is live."""
        if position is not None:
            self.positions[channel] = position
        await self.send(type="subscribe", channel=channel, position=position)
        await self.until("live", channel=channel)

    async def read_to_end(self, channel: str) -> Snapshot:
        """Receive until the post has ended."""
        while channel not in self.snapshots or channel not in self.live or not self.snapshots[channel].is_final:
            await self.next()
        return self.snapshots[channel]

    def apply(self, frame: dict[str, Any]) -> None:
        """The rules of the protocol for a client."""
        self.frames.append(frame)
        channel = frame.get("channel", "")
        if frame["type"] == "subscribed":
            self.recovered[channel] = frame["recovered"]
        elif frame["type"] == "snapshot":
            self.live.discard(channel)
            self.snapshots[channel] = Snapshot.model_validate(frame["snapshot"])
            self.positions[channel] = {"epoch": frame["epoch"], "seq": 0}
            for each in self.snapshots[channel].sections:
                each.text = ""
        elif frame["type"] == "data":
            described = self.snapshots[channel].section(frame["section"])
            assert described is not None
            assert described.data is None and channel not in self.live, "data comes once, before live"
            described.data = frame["data"]
        elif frame["type"] == "text":
            section = self.snapshots[channel].section(frame["section"])
            assert section is not None
            assert frame["start"] == len(section.text), "texts come in order of offset"
            assert frame["end"] - frame["start"] == len(frame["text"])
            section.text += frame["text"]
        elif frame["type"] == "live":
            self.live.add(channel)
            self.positions[channel] = frame["position"]
            for each in self.snapshots[channel].sections:
                assert each.length == len(each.text), "at live every text is whole"
        elif frame["type"] == "event" and channel.startswith(("post:", "reply:")):
            event = event_from_dict(frame["event"])
            outcome = fold(self.snapshots[channel], event)
            self.outcomes[outcome] += 1
            if outcome is Outcome.APPLIED:
                self.positions[channel] = {**self.positions[channel], "seq": event.seq}

    @property
    def exact(self) -> bool:
        """Whether every event came once and in its place."""
        return set(self.outcomes) <= {Outcome.APPLIED}


@asynccontextmanager
async def reader(
    port: int,
    jwt: str | None = None,
    *,
    origin: str | None = None,
    subprotocols: list[str] | None = None,
    **options: Any,
) -> AsyncIterator[Reader]:
    """A client; with a token it is authenticated by subprotocol."""
    offered = ["inkwire.v1", *([f"token.{jwt}"] if jwt else [])] if subprotocols is None else subprotocols
    async with connect(
        f"ws://127.0.0.1:{port}/ws",
        subprotocols=[Subprotocol(s) for s in offered] or None,
        origin=origin,  # type: ignore[arg-type]
        max_size=2**24,
        **options,
    ) as socket:
        yield Reader(socket)


@asynccontextmanager
async def narrow_reader(port: int, jwt: str) -> AsyncIterator[Reader]:
    """A client whose machine holds little: what it does not read soon fills the server's side."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    subprotocols = [Subprotocol("inkwire.v1"), Subprotocol(f"token.{jwt}")]
    url = f"ws://127.0.0.1:{port}/ws"
    options: dict[str, Any] = {"max_size": 2**24, "max_queue": 1, "ping_interval": None, "close_timeout": 0.5}
    async with connect(url, sock=raw, subprotocols=subprotocols, **options) as ws:
        yield Reader(ws)


async def close_code(client: Reader) -> int:
    """Receive until the server has closed the connection; its code."""

    async def closed() -> bool:
        try:
            client.apply(json.loads(await client.socket.recv()))
        except ConnectionClosed:
            return True
        return False

    await eventually(closed, what="the server closes the connection")
    return client.socket.close_code or 0


def settings(url: str, folder: Path, **overrides: Any) -> Settings:
    """Settings of a gateway under test, independent of the environment."""
    values: dict[str, Any] = {
        "nats_url": url,
        "store_url": f"sqlite:///{folder}/posts.sqlite3",
        "jwt_keys": f"k1:{SECRET}",
        "port": 0,
        "linger_s": 1.0,
        **overrides,
    }
    return Settings(**values)


@dataclass
class World:
    """A gateway with its log and its store."""

    gateway: Running
    log: EventLog
    store: Store

    @property
    def port(self) -> int:
        """Where the gateway listens."""
        return self.gateway.port


class HeldTime:
    """A gateway's time, which from now on goes by as the test says: no pause of the machine is anybody's silence."""

    def __init__(self, gateway: Running) -> None:
        clock = gateway.clock
        self._wall, self._stands_s, self._passed_s = clock.now, clock.monotonic_s(), 0.0
        clock.now = self.now  # type: ignore[method-assign]
        clock.monotonic_s = self.monotonic_s  # type: ignore[method-assign]

    def advance(self, seconds: float) -> None:
        """Let time go by; what that brings comes with the gateway's next look."""
        self._passed_s += seconds

    def now(self) -> datetime:
        """The machine's time, and what was let go by."""
        return self._wall() + timedelta(seconds=self._passed_s)

    def monotonic_s(self) -> float:
        """What was let go by, alone."""
        return self._stands_s + self._passed_s


@asynccontextmanager
async def without_republish(log: EventLog, stream: str = EVENTS) -> AsyncIterator[None]:
    """Events are stored but reach no live subscriber, as when the server dies between the two."""
    config = (await log.jetstream.stream_info(stream))["config"]
    await log.jetstream.api(f"STREAM.UPDATE.{stream}", {k: v for k, v in config.items() if k != "republish"})
    try:
        yield
    finally:
        await log.jetstream.api(f"STREAM.UPDATE.{stream}", config)


@asynccontextmanager
async def running_gateway(chosen: Settings) -> AsyncIterator[Running]:
    """A gateway in this process; its streams are there already."""
    supervisor = Supervisor()
    async with running(chosen, supervisor) as gateway:
        yield gateway
        supervisor.request_stop("the test ends")
    await supervisor.cancel_all()
    assert supervisor.failure is None, supervisor.failure


@asynccontextmanager
async def world(url: str, folder: Path, **overrides: Any) -> AsyncIterator[World]:
    """A running gateway, a writer's connection and the store."""
    chosen = settings(url, folder, **overrides)
    async with event_log(url) as log, open_store(chosen.store_url) as store, running_gateway(chosen) as gateway:
        yield World(gateway, log, store)


def gateway_process(folder: Path, port: int, **changes: str) -> ManagedProcess:
    """A gateway as a process of its own, not started yet."""
    environment = {
        "INKWIRE_GATEWAY_PORT": str(port),
        "INKWIRE_STORE_URL": f"sqlite:///{folder / 'posts.sqlite3'}",
        "INKWIRE_JWT_KEYS": f"k1:{SECRET}",
        **changes,
    }
    return ManagedProcess("gateway", [sys.executable, "-m", "inkwire_gateway.main"], env=environment)
