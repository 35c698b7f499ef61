"""Conversations of the api over fakes: their log in memory, who steers, and everything around them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from inkwire_api.conversation_access import ConversationAccess
from inkwire_api.conversing import Conversations
from inkwire_api.mentioning import Mentions
from inkwire_api.messages import MessageWish
from inkwire_api.messaging import Messages, Said
from inkwire_api.ports import BrokerUnavailable, Damaged, FoldedConversation, Newer, NoRoom
from inkwire_api.posts import Posts
from inkwire_api.rate_limit import RateLimiter
from inkwire_api.reading import Reader
from inkwire_api.steering import Steered
from inkwire_chassis.auth import DEFAULT_SCOPES, Principal
from inkwire_contracts.conversations import (
    Conversation,
    ConversationCreated,
    ConversationEvent,
    CreatedData,
    MemberChanged,
    MemberData,
    fold_conversation,
)
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.ids import idempotent_post_id
from tests.support.api_fakes import EPOCH, FakeBroker, posts_over
from tests.support.clock import START, ManualClock
from tests.support.documents import MemoryDocuments
from tests.support.memory_conversations import MemoryConversations
from tests.support.memory_store import MemoryStore

TALK = idempotent_post_id("ana", "talk")
TIME = "2026-01-01T00:00:00.000Z"


def principal(subject: str = "ana", *, channels: tuple[str, ...] = (), **fields: Any) -> Principal:
    """Somebody with a good token."""
    values: dict[str, Any] = {
        "owner": subject,
        "subject": subject,
        "scopes": DEFAULT_SCOPES,
        "channels": frozenset(channels),
        "expires_at": START + timedelta(hours=1),
    }
    return Principal(**{**values, **fields})


@dataclass
class FakeTalks:
    """CONVERSATIONS with its duplicate window. ``before_publish`` is called before each publish, with its event."""

    events: list[tuple[int, ConversationEvent]] = field(default_factory=list)
    fill: float = 0.0
    full: bool = False
    down: bool = False
    silent_publishes: int = 0
    """So many publishes get no verdict, though each is stored."""
    damaged: bool = False
    asked: list[str] = field(default_factory=list)
    before_publish: Callable[[ConversationEvent], None] | None = None

    def put(self, event: ConversationEvent) -> int:
        """What the stream does with a publish."""
        known = [seq for seq, there in self.events if (there.conversation, there.id) == (event.conversation, event.id)]
        if known:
            return known[0]
        self.events.append((len(self.events) + 1, event))
        return len(self.events)

    def folded(self, conversation: str = TALK) -> Conversation:
        """The conversation up to its newest event."""
        folded = Conversation(conversation=conversation)
        for seq, event in self.events:
            fold_conversation(folded, event, seq)
        return folded

    def newest(self, conversation: str) -> int:
        return max((seq for seq, event in self.events if event.conversation == conversation), default=0)

    async def read(self, conversation: str) -> FoldedConversation | None:
        await asyncio.sleep(0)  # others may come between, as they do on a network
        self._check("read")
        if self.damaged:
            raise Damaged("ValidationError")
        newest = self.newest(conversation)
        return FoldedConversation(self.folded(conversation), EPOCH, newest) if newest else None

    async def publish(self, event: ConversationEvent, *, after: int | None = None) -> int:
        await asyncio.sleep(0)
        self._check(f"publish {event.type}")
        if self.before_publish is not None:
            self.before_publish(event)
        if self.full:
            raise NoRoom("maximum bytes exceeded")
        known = any((there.conversation, there.id) == (event.conversation, event.id) for _, there in self.events)
        after = 0 if isinstance(event, ConversationCreated) else after
        if not known and after is not None and self.newest(event.conversation) != after:
            raise Newer("wrong last sequence")
        seq = self.put(event)
        if self.silent_publishes > 0:
            self.silent_publishes -= 1
            raise BrokerUnavailable("no answer")
        return seq

    async def fill_ratio(self) -> float:
        self._check("fill_ratio")
        return self.fill

    def _check(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise BrokerUnavailable("down")


@dataclass
class FakeSteering:
    """Keeps what was asked for; ``refuse`` is the error's code for a post."""

    done: list[tuple[str, str, str]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    on_delete: Callable[[str], None] | None = None

    async def cancel(self, owner: str, post: str, *, by: str, run: int | None = None) -> Steered:
        self._note("cancel", owner, post)
        return Steered(post, run or 1, "cancelled", accepted=True)

    async def retry(
        self, owner: str, post: str, *, after_run: int | None = None, traceparent: str | None = None
    ) -> Steered:
        self._note("retry", owner, post)
        return Steered(post, 2, "queued", accepted=True)

    async def delete(self, owner: str, post: str, *, by: str) -> None:
        self._note("delete", owner, post)
        if self.on_delete is not None:
            self.on_delete(post)

    def _note(self, what: str, owner: str, post: str) -> None:
        if post in self.refuse:
            raise InkwireError(self.refuse[post])
        self.done.append((what, owner, post))


class TalkWorld:
    """An api's conversations over fakes; ana owns the conversation TALK."""

    def __init__(self, *members: str, **created: Any) -> None:
        self.broker = FakeBroker()
        self.store = MemoryStore()
        self.talks = FakeTalks()
        self.lists = MemoryConversations()
        self.documents = MemoryDocuments()
        self.steering = FakeSteering()
        self.clock = ManualClock()
        self.ids = iter(idempotent_post_id("random", str(n)) for n in range(10_000))
        self.put(ConversationCreated, CreatedData(**created), "created")
        for member in members:
            self.put(MemberChanged, MemberData(user=member, present=True), f"add {member}")

    def put(self, kind: type[ConversationEvent], data: Any, event: str, *, by: str = "ana", talk: str = TALK) -> None:
        """Write an event as somebody else would."""
        fields = {"conversation": talk, "id": event, "by": by, "time": TIME, "data": data.model_dump()}
        self.talks.put(kind.model_validate(fields))

    @property
    def talk(self) -> Conversation:
        return self.talks.folded()

    def access(self) -> ConversationAccess:
        return ConversationAccess(log=self.talks, limiter=RateLimiter(per_s=1.0, burst=1_000), clock=self.clock)

    def posts(self, **changes: Any) -> Posts:
        return posts_over(self.broker, self.store, self.documents, self.clock, self.ids, **changes)

    def messages(self, *, timeout_s: float = 5.0, **posts: Any) -> Messages:
        """A new api process over the same broker and store."""
        steering: Any = self.steering
        return Messages(
            access=self.access(),
            posts=self.posts(**posts),
            mentions=Mentions(self.documents),
            steering=steering,
            reader=Reader(log=self.broker, store=self.store, timeout_s=5.0),
            clock=self.clock,
            new_id=lambda: next(self.ids),
            timeout_s=timeout_s,
        )

    def conversations(self, *, timeout_s: float = 5.0) -> Conversations:
        steering: Any = self.steering
        return Conversations(
            access=self.access(),
            store=self.lists,
            posts=self.posts(),
            steering=steering,
            issuer="inkwire",
            clock=self.clock,
            new_id=lambda: next(self.ids),
            timeout_s=timeout_s,
        )

    async def say(self, content: str = "Why?", *, by: str = "ana", key: str | None = None, **wish: Any) -> Said:
        """Say something, with a new api process."""
        return await self.messages().say(principal(by), TALK, MessageWish(content, **wish), key=key)

    def answered(self, post: str, text: str = "Because.", **fields: Any) -> None:
        """Have a worker finish the answer that a post is."""
        job = next((job for job in self.broker.jobs.values() if job.post == post), None)
        assert job is not None
        snapshot = Snapshot.model_validate(
            {
                **job.request.model_dump(),
                "post": post,
                "owner": job.owner,
                "run": 1,
                "seq": 5,
                "status": "published",
                "sections": [{"section": "reply", "text": text, "length": len(text), "status": "done"}],
                **fields,
            }
        )
        self.broker.finish(post)
        self.broker.folded[post] = snapshot
