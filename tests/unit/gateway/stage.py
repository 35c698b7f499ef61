"""Channels on ports that fail on demand, with readers that are lists, for the gateway's unit tests."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from inkwire_contracts.client_frames import Position, PresentMember
from inkwire_gateway.announcements import Announcements
from inkwire_gateway.channel import HubLimits, PostChannel
from inkwire_gateway.channels import Channels, Outside
from inkwire_gateway.dialects.native import NATIVE
from inkwire_gateway.hub import Hub
from inkwire_gateway.live_post import Loaded, LogEvent
from inkwire_gateway.ports import Damaged, OnConversation, OnLifecycle, OnMessage, PresenceListener, Unavailable
from inkwire_gateway.subscription import Subscription
from inkwire_gateway.upkeep import ChannelTimes
from tests.support.clock import ManualClock
from tests.support.wait import eventually
from tests.unit.gateway.builders import EPOCH, OWNER, POST, Script
from tests.unit.gateway.conversation_fakes import FakeConversations, FakePresence, FakeSpeaker
from tests.unit.gateway.conversation_fakes import FakeWatch as ConversationWatch
from tests.unit.gateway.fakes import FakeTransport

NAME = f"post:{POST}"


class FakeBroker:
    """Log, store and live messages of one post in memory; ``down`` makes every port unavailable."""

    conversations: FakeConversations
    presence: FakeSpeaker

    def __init__(self) -> None:
        self.replies: set[str] = set()
        self.lookups: list[str] = []
        self.script = Script().begin()
        self.script.chunk("Hello")
        self.log_epoch = EPOCH
        self.lag = 0
        self.down = False
        self.refusals = 0
        self.damaged = False
        self.known = True
        self.source: Literal["log", "store"] = "log"
        self.items: list[dict[str, Any]] = []
        self.loads = 0
        self.reads = 0
        self.lists = 0
        self.watches: list[FakeWatch] = []

    def _ask(self) -> None:
        if self.down:
            self.refusals += 1
            raise Unavailable("down")

    async def epoch(self) -> str:
        self._ask()
        return self.log_epoch

    async def load(self, owner: str, post: str) -> Loaded | None:
        self._ask()
        self.loads += 1
        if self.damaged:
            raise Damaged("it does not fold")
        if not self.known or owner != OWNER:
            return None
        loaded = self.script.loaded()
        return Loaded(loaded.snapshot, loaded.stream_seq, self.log_epoch, loaded.recent, self.source)

    async def newest_seq(self, owner: str, post: str, *, now: bool) -> int:
        self._ask()
        return self.script.truth.seq if now else max(0, self.script.truth.seq - self.lag)

    async def events_after(self, owner: str, post: str, stream_seq: int) -> Sequence[LogEvent]:
        self._ask()
        self.reads += 1
        return [e for e in self.script.events if e.stream_seq > stream_seq]

    async def newest_posts(self, owner: str) -> list[dict[str, Any]]:
        self._ask()
        self.lists += 1
        return self.items

    async def watch_post(self, owner: str, post: str, on_message: OnMessage) -> "FakeWatch":
        return self._watch(lambda _type, raw, stream_seq: on_message(raw, stream_seq))

    async def watch_owner(self, owner: str, on_message: OnLifecycle) -> "FakeWatch":
        return self._watch(lambda event_type, raw, _stream_seq: on_message(event_type, raw))

    async def watch_conversation(self, conversation: str, on_message: OnConversation) -> ConversationWatch:
        return await self.conversations.watch_conversation(conversation, on_message)

    async def watch_presence(self, conversation: str, listener: PresenceListener) -> ConversationWatch:
        return await self.presence.watch_presence(conversation, listener)

    async def is_reply(self, owner: str, post: str) -> bool:
        self._ask()
        self.lookups.append(post)
        return post in self.replies

    def _watch(self, on_message: Callable[[str, bytes, int], None]) -> "FakeWatch":
        self._ask()
        self.watches.append(FakeWatch(on_message))
        return self.watches[-1]

    def publish(self, event: LogEvent) -> None:
        """Republish what was stored."""
        for watch in self.watches:
            if watch.on:
                watch.on_message(event.event.type, event.raw, event.stream_seq)


class FakeWatch:
    """An interest."""

    def __init__(self, on_message: Callable[[str, bytes, int], None]) -> None:
        self.on_message = on_message
        self.on = True

    async def stop(self) -> None:
        self.on = False


class Stage:
    """Channels on fakes; readers are transports."""

    def __init__(
        self,
        *,
        limits: HubLimits | None = None,
        conversations: FakeConversations | None = None,
        presence: FakeSpeaker | None = None,
        **times: Any,
    ) -> None:
        self.broker = FakeBroker()
        self.clock = ManualClock()
        self.hub = Hub(lambda: self.hub.flush(), limits or HubLimits())
        self.connections = 0
        self.refusals: list[tuple[Subscription, str]] = []
        self.conversations = conversations or FakeConversations().begin()
        self.presence = presence or FakePresence().speaker()
        self.broker.conversations, self.broker.presence = self.conversations, self.presence
        self.announcements = Announcements(self.presence, clock=self.clock, ttl_s=30.0)
        self.channels = Channels(
            self.hub,
            Outside(self.broker, self.broker, self.conversations, self.presence),
            self.announcements,
            clock=self.clock,
            times=ChannelTimes(**{"load_timeout_s": 5.0, **times}),
            refuse=self.refuse,
        )

    def refuse(self, subscription: Subscription, code: str) -> None:
        """As the server does."""
        self.hub.leave(subscription)
        self.refusals.append((subscription, code))

    def join(self, name: str = NAME, owner: str = OWNER, position: Position | None = None) -> FakeTransport:
        """A reader asks for a channel."""
        client = FakeTransport(self.hub)
        self.channels.join(owner, client.subscription(name, position))
        return client

    def enter(
        self, name: str, who: PresentMember, position: Position | None = None, room: int = 10**9
    ) -> FakeTransport:
        """Somebody asks for a channel of a conversation, on a connection of their own."""
        client = FakeTransport(self.hub, room)
        self.connections += 1
        connection = f"{who.user}-{self.connections}"
        subscription = Subscription(name, client.queue, NATIVE, None, position, who=who, connection=connection)
        client.joined = subscription
        self.channels.join(who.user, subscription)
        return client

    async def live(self, client: FakeTransport) -> FakeTransport:
        """Wait until a reader is live."""
        await eventually(lambda: "live" in client.types, what="the reader is live")
        return client

    async def refused(self) -> str:
        """Wait for a refusal."""
        await eventually(lambda: self.refusals, what="a refusal")
        return self.refusals[-1][1]

    @property
    def channel(self) -> PostChannel:
        """The post's channel."""
        return self.hub.post_channel(OWNER, POST)
