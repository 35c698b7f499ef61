"""Whatever is lost, purged or cut off, in whatever order: every reader folds the conversation that was written.

The gateways are real but for their ports (a log in memory) and sockets (lists); the clients follow docs/protocol.md.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inkwire_contracts.client_frames import Position
from inkwire_contracts.conversations import (
    Conversation,
    MessageCreated,
    ReactionChanged,
    ReactionData,
    TitleChanged,
    TitleData,
    fold_conversation,
    parse_conversation_event,
)
from inkwire_contracts.fold import Outcome
from inkwire_gateway.channel import HubLimits
from tests.unit.gateway.conversation_fakes import ADA, CONVERSATION, FakeConversations
from tests.unit.gateway.fakes import FakeTransport, unframed
from tests.unit.gateway.stage import Stage

NAME = f"conversation:{CONVERSATION}"
GATEWAYS = 2
CLIENTS = 3
TURNS = 60
"""Turns of the loop in which everything that was begun has ended: no port waits."""

NUMBERS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(["say", "edit", "again", "react", "title", "member"]), st.booleans()),
    st.tuples(st.just("write"), st.just("say"), st.booleans()),
    st.tuples(st.just("connect"), NUMBERS, NUMBERS),
    st.tuples(st.just("cut"), NUMBERS, NUMBERS),
    st.tuples(st.just("read"), NUMBERS, NUMBERS),
    st.tuples(st.just("outage"), NUMBERS, NUMBERS),
    st.tuples(st.just("forget"), NUMBERS, NUMBERS),
    st.tuples(st.just("sweep"), NUMBERS, NUMBERS),
)


@dataclass
class Client:
    """A reader and what it has."""

    transport: FakeTransport | None = None
    stage: Stage | None = None
    conversation: Conversation | None = None
    position: Position | None = None
    applied: int = 0
    restarts: int = 0

    def take(self, frames: int) -> None:
        """Read some of what was sent, and apply it."""
        assert self.transport is not None
        until = min(self.applied + frames, len(self.transport.frames))
        for frame in self.transport.frames[self.applied : until]:
            self.apply(frame)
        self.applied = until
        if until == len(self.transport.frames):
            self.transport.empty()

    def apply(self, raw: bytes) -> None:
        """The rules of the protocol."""
        frame = unframed(raw)
        if frame["type"] == "conversation":
            self.conversation = Conversation.model_validate(frame["conversation"])
            self.restarts += 1
        elif frame["type"] == "conversation_event":
            assert self.conversation is not None
            event = parse_conversation_event(json.dumps(frame["event"]))
            outcome = fold_conversation(self.conversation, event, frame["position"]["seq"])
            assert outcome is Outcome.APPLIED, "doubled or out of order"
        else:
            assert frame["type"] == "subscribed" and frame["recovered"] in (False, self.position is not None)
            return
        self.position = Position.model_validate(frame["position"])
        assert self.conversation is not None and self.position.seq == self.conversation.seq


class World:
    """Two gateways, three readers, one log."""

    def __init__(self, ring_events: int, room: int) -> None:
        self.log = FakeConversations().begin()
        self.room = room
        limits = HubLimits(ring_events, 1024 * 1024, 8)
        self.stages = [Stage(limits=limits, conversations=self.log) for _ in range(GATEWAYS)]
        self.clients = [Client() for _ in range(CLIENTS)]

    def write(self, kind: str, told: bool) -> None:
        """Something happens; perhaps the live message of it is lost."""
        messages = self.log.truth.messages
        newest = messages[-1].message if messages else ""
        if kind == "edit" and newest:
            stored = self.log.say("better", replaces=newest)
        elif kind == "again" and newest:
            first = next(e for e in self.log.log if isinstance(e.event, MessageCreated))
            stored = self.log.write(MessageCreated, first.event.data)  # type: ignore[attr-defined]
        elif kind == "react" and newest:
            data = ReactionData(message=newest, emoji="👍", user="bob", present=not messages[-1].reactions)
            stored = self.log.write(ReactionChanged, data)
        elif kind == "title":
            stored = self.log.write(TitleChanged, TitleData(title=f"Title {len(self.log.log)}"))
        elif kind == "member":
            stored = self.log.member("eve", present=self.log.truth.member("eve") is None)
        else:
            stored = self.log.say(f"text {len(self.log.log)}")
        if told:
            self.log.publish(stored)

    def connect(self, client: Client, stage: Stage) -> None:
        """A reader comes, with its position if it has one."""
        if client.transport is None:
            client.stage, client.applied = stage, 0
            client.transport = stage.enter(NAME, ADA, client.position, self.room)

    def cut(self, client: Client, arrives: int) -> None:
        """A connection is lost; some of what was on the way arrives."""
        if client.transport is not None and client.stage is not None:
            client.take(arrives)
            client.stage.hub.leave_all(client.transport.queue)
            client.transport.queue.close()
            client.transport = None

    async def step(self, kind: str, a: int, b: int) -> None:
        """One thing happens."""
        client, stage = self.clients[a % CLIENTS], self.stages[b % GATEWAYS]
        if kind == "connect":
            self.connect(client, stage)
        elif kind == "cut":
            self.cut(client, b)
        elif kind == "read" and client.transport is not None:
            client.take(b + 1)
        elif kind == "outage":
            stage.channels.disconnected()
            stage.channels.reconnected()
        elif kind == "forget" and self.log.log:
            self.log.purged = max(self.log.purged, self.log.log[a % len(self.log.log)].seq)
        elif kind == "sweep":
            stage.clock.advance(40.0)
            stage.channels.sweep()
        await turns(b)

    async def calm_down(self) -> None:
        """Everybody is connected, and all that is missing is found."""
        for _ in range(4):
            for client in self.clients:
                if client.transport is not None and client.transport.ends:
                    self.cut(client, 0)
                self.connect(client, self.stages[0])
            for stage in self.stages:
                stage.clock.advance(40.0)
                stage.channels.sweep()
            await turns(TURNS)
            for _ in range(TURNS):
                for client in self.clients:
                    assert client.transport is not None
                    client.take(1_000)


def seen(conversation: Conversation) -> dict[str, Any]:
    """All that a reader shows: messages that were replaced are not among it, and were perhaps never sent."""
    return {
        **conversation.model_dump(exclude={"messages"}),
        "messages": [m.model_dump() for m in conversation.standing],
    }


async def turns(count: int) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def play(steps: list[tuple[str, str | int, bool | int]], ring_events: int, room: int) -> None:
    """Do the steps, then compare."""
    world = World(ring_events, room)
    for kind, a, b in steps:
        if kind == "write":
            world.write(str(a), bool(b))
        else:
            await world.step(kind, int(a), int(b))
    await world.calm_down()
    for client in world.clients:
        assert client.conversation is not None
        assert seen(client.conversation) == seen(world.log.truth)
    for stage in world.stages:
        assert not stage.refusals
        await stage.channels.stop()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(
    # A message was lost, the next one came, and then the log forgot both before anybody asked for the first.
    steps=[
        ("write", "say", False),
        ("write", "say", False),
        ("connect", 0, 1),
        ("write", "say", False),
        ("write", "say", True),
        ("forget", 5, 0),
    ],
    ring_events=1,
    room=300,
)
@example(
    # The log forgets all that a reader missed while it was away.
    steps=[
        ("write", "say", False),
        ("write", "say", False),
        ("connect", 0, 1),
        ("write", "say", False),
        ("cut", 0, 2),
        ("forget", 4, 0),
    ],
    ring_events=1,
    room=300,
)
@given(steps=st.lists(STEPS, max_size=30), ring_events=st.integers(1, 6), room=st.sampled_from([300, 3_000, 10**9]))
def test_resumed_conversations_are_whole(
    steps: list[tuple[str, str | int, bool | int]], ring_events: int, room: int
) -> None:
    """Readers who are cut off and come back anywhere have in the end what was written, each event once."""
    asyncio.run(play(steps, ring_events, room))


def test_resume_needs_no_new_beginning() -> None:
    """The same steps with nothing forgotten and room for all: who comes back is told the news, and nothing anew."""

    async def scenario() -> None:
        world = World(100, 10**9)
        client = world.clients[0]
        world.connect(client, world.stages[0])
        await turns(TURNS)
        client.take(10)
        for n in range(5):
            world.cut(client, 0)
            world.write("say", True)
            world.connect(client, world.stages[n % GATEWAYS])
            await turns(TURNS)
            client.take(10)
            assert client.conversation is not None
            assert seen(client.conversation) == seen(world.log.truth)
        assert client.restarts == 1
        for stage in world.stages:
            await stage.channels.stop()

    asyncio.run(scenario())
