"""A conversation that a test writes as the api does, and clients that fold what the gateway sends of it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from inkwire_chassis.clock import new_id, rfc3339
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog
from inkwire_contracts.conversations import (
    Conversation,
    ConversationCreated,
    ConversationDeleted,
    ConversationEvent,
    CreatedData,
    MemberChanged,
    MemberData,
    MessageCreated,
    MessageData,
    ReactionChanged,
    ReactionData,
    fold_conversation,
    parse_conversation_event,
)
from inkwire_contracts.events import Turn
from inkwire_contracts.fold import Outcome
from tests.integration.gateway_support import Author, Reader


class Talk:
    """Writes one conversation's log. Keeps its own fold as the truth."""

    def __init__(self, log: EventLog, owner: str = "ada") -> None:
        self.log = ConversationLog(log.jetstream)
        self.posts = log
        self.conversation = new_id()
        self.owner = owner
        self.truth = Conversation(conversation=self.conversation)

    @property
    def channel(self) -> str:
        """What members follow."""
        return f"conversation:{self.conversation}"

    @property
    def presence(self) -> str:
        """Where members see each other."""
        return f"presence:{self.conversation}"

    async def write(self, cls: type[ConversationEvent], data: Any, *, by: str = "", event_id: str = "") -> int:
        """Store an event; its sequence."""
        fields = {"conversation": self.conversation, "id": event_id or new_id(), "by": by or self.owner}
        event = cls.model_validate({**fields, "time": rfc3339(datetime.now(UTC)), "data": data})
        seq = await self.log.publish(event)
        fold_conversation(self.truth, event, seq)
        return seq

    async def begin(self, *members: str) -> "Talk":
        """The owner's conversation, with members."""
        await self.write(ConversationCreated, CreatedData(title="Talk", name=self.owner.title()))
        for member in members:
            await self.member(member)
        return self

    async def member(self, user: str, *, present: bool = True) -> int:
        """Somebody is added or removed."""
        return await self.write(MemberChanged, MemberData(user=user, name=user.title(), present=present))

    async def say(self, text: str, **fields: Any) -> int:
        """A message."""
        data = {"message": new_id(), "role": "user", "author": self.owner, "content": text, **fields}
        return await self.write(MessageCreated, MessageData.model_validate(data))

    async def react(self, emoji: str, *, by: str, present: bool = True) -> int:
        """An emoji on the newest message."""
        message = self.truth.messages[-1].message
        return await self.write(ReactionChanged, ReactionData(message=message, emoji=emoji, user=by, present=present))

    async def delete(self) -> int:
        """The end."""
        return await self.write(ConversationDeleted, {})

    async def answer(self, *, announce: bool = True) -> "Answer":
        """A question and the message of its answer; what it says is yet to be written."""
        question, message, post = new_id(), new_id(), new_id()
        await self.say("Why?", message=question)
        if announce:
            await self.say("", message=message, role="assistant", author=None, post=post, reply_to=question)
        turn = Turn(conversation=self.conversation, message=question, reply=message)
        return Answer(Author(self.posts, self.owner, post), turn)


@dataclass
class Answer:
    """The post behind an assistant's message."""

    author: Author
    turn: Turn

    @property
    def channel(self) -> str:
        """What members follow."""
        return f"reply:{self.turn.conversation}:{self.author.post}"


@dataclass
class Member(Reader):
    """A client that knows conversations too; it counts what must not happen."""

    conversations: dict[str, Conversation] = field(default_factory=dict)
    here: dict[str, set[str]] = field(default_factory=dict)
    whispers: list[dict[str, Any]] = field(default_factory=list)

    async def enter(self, channel: str, position: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """Subscribe and receive the first answer: ``subscribed`` or ``error``."""
        await self.send(type="subscribe", channel=channel, position=position, **fields)
        while True:
            frame = await self.next()
            if frame["type"] in ("subscribed", "error") and frame["channel"] == channel:
                return frame

    async def follow_conversation(self, talk: Talk, position: dict[str, Any] | None = None) -> dict[str, Any]:
        """Subscribe and receive until it is as the test wrote it."""
        answer = await self.enter(talk.channel, position)
        assert answer["type"] == "subscribed", answer
        await self.until_same(talk)
        return answer

    async def until_same(self, talk: Talk) -> None:
        """Receive until the conversation is as far as the test's own, and compare."""
        while talk.channel not in self.conversations or self.conversations[talk.channel].seq < talk.truth.seq:
            await self.next()
        assert self.conversations[talk.channel] == talk.truth

    async def be_there(self, talk: Talk) -> set[str]:
        """Follow presence; who is there."""
        answer = await self.enter(talk.presence)
        assert answer["type"] == "subscribed", answer
        await self.until("here", channel=talk.presence)
        return self.here[talk.presence]

    def apply(self, frame: dict[str, Any]) -> None:
        """The rules of the protocol for a client."""
        super().apply(frame)
        channel = frame.get("channel") or ""
        if frame["type"] == "conversation":
            self.conversations[channel] = Conversation.model_validate(frame["conversation"])
            self.positions[channel] = frame["position"]
        elif frame["type"] == "conversation_event":
            event = parse_conversation_event(json.dumps(frame["event"]))
            outcome = fold_conversation(self.conversations[channel], event, frame["position"]["seq"])
            assert outcome is Outcome.APPLIED, "lost, doubled or out of order"
            self.positions[channel] = frame["position"]
        elif frame["type"] == "here":
            self.here[channel] = {member["user"] for member in frame["members"]}
        elif frame["type"] == "joined":
            assert frame["member"]["user"] not in self.here[channel], "somebody comes once"
            self.here[channel].add(frame["member"]["user"])
        elif frame["type"] == "left":
            self.here[channel].remove(frame["member"]["user"])
        elif frame["type"] == "whispered":
            self.whispers.append(frame)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """All frames of a type."""
        return [frame for frame in self.frames if frame["type"] == kind]


@asynccontextmanager
async def member(port: int, jwt: str) -> AsyncIterator[Member]:
    """A client that is authenticated by subprotocol."""
    subprotocols = [Subprotocol("inkwire.v1"), Subprotocol(f"token.{jwt}")]
    url = f"ws://127.0.0.1:{port}/ws"
    async with connect(url, subprotocols=subprotocols, max_size=2**24, max_queue=None) as socket:
        yield Member(socket)
