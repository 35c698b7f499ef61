"""Live messages over core NATS: what streams republish after storing it, of what has readers here; and whispers."""

from collections.abc import Awaitable, Iterable, Sequence

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import SlowConsumerError

from inkwire_chassis.logs import get_logger
from inkwire_contracts import subjects
from inkwire_gateway.adapters.direct_nats import DirectClient, Undelivered, number_in
from inkwire_gateway.adapters.direct_parser import Taker
from inkwire_gateway.adapters.presence import NatsPresence, read_whisper
from inkwire_gateway.lag import LagSampler
from inkwire_gateway.ports import OnConversation, OnLifecycle, OnMessage, PresenceListener, Unavailable

PENDING_MESSAGES = 20_000
PENDING_BYTES = 16 * 1024 * 1024
"""Kept for one presence's subscription while the loop is busy; beyond it messages are lost, and the client says so."""

FLUSH_TIMEOUT_S = 2
SEQUENCE, LAST_SEQUENCE = b"\r\nNats-Sequence: ", b"\r\nNats-Last-Sequence: "
LIFECYCLE = (
    "requested",
    "started",
    "planned",
    "retrying",
    "paused",
    "published",
    "failed",
    "cancelled",
    "deleted",
)
"""Event types of an owner's channel."""


class NatsWatch:
    """An interest of one channel: one or several subscriptions, with takers or without."""

    def __init__(self, client: DirectClient, subscriptions: Sequence[Subscription]) -> None:
        self._client = client
        self._subscriptions = subscriptions

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            try:
                await self._client.leave(subscription)
            except NatsError as error:
                get_logger().debug("unsubscribe failed", error=str(error))


class NatsTail:
    """Follows subjects for as long as somebody reads them."""

    def __init__(self, client: DirectClient, presence: NatsPresence, lag: LagSampler) -> None:
        self._client = client
        self._presence = presence
        self._lag = lag

    async def watch_post(self, owner: str, post: str, on_message: OnMessage) -> NatsWatch:
        lag = self._lag

        def take(_subject: bytes, payload: bytes, headers: bytes) -> None:
            on_message(payload, number_in(headers, SEQUENCE))
            if lag.armed:
                lag.note(headers)

        return await self._take((subjects.post_events(owner, post),), take)

    async def watch_owner(self, owner: str, on_message: OnLifecycle) -> NatsWatch:
        def take(subject: bytes, payload: bytes, headers: bytes) -> None:
            on_message(subject[subject.rfind(b".") + 1 :].decode(), payload)
            if self._lag.armed:
                self._lag.note(headers)

        return await self._take([subjects.post_event(owner, "*", kind) for kind in LIFECYCLE], take)

    async def watch_conversation(self, conversation: str, on_message: OnConversation) -> NatsWatch:
        def take(_subject: bytes, payload: bytes, headers: bytes) -> None:
            on_message(payload, number_in(headers, SEQUENCE), number_in(headers, LAST_SEQUENCE))
            if self._lag.armed:
                self._lag.note(headers)

        return await self._take([subjects.conversation(conversation)], take)

    async def watch_presence(self, conversation: str, listener: PresenceListener) -> NatsWatch:
        async def deliver(msg: Msg) -> None:
            if msg.subject == whispers:
                self._hear_whisper(msg, listener)
                return
            user, connection = msg.subject.split(".")[-2:]
            who = self._presence.read(user, msg.data)
            if not msg.data:
                listener.gone(user, connection)
            elif who is not None:
                listener.heard(who, connection)

        whispers = subjects.whisper(conversation)
        return await self._follow(
            self._client.subscribe(
                subject, cb=deliver, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=PENDING_BYTES
            )
            for subject in (subjects.live_presence(conversation), whispers)
        )

    def _hear_whisper(self, msg: Msg, listener: PresenceListener) -> None:
        whisper = read_whisper(msg.data)
        if whisper is not None:
            listener.whispered(whisper.member, whisper.connection, whisper.name, whisper.data)

    async def _take(self, filters: Sequence[str], taker: Taker) -> NatsWatch:
        return await self._follow(self._client.take(subjects.live(subject), taker) for subject in filters)

    async def _follow(self, asking: Iterable[Awaitable[Subscription]]) -> NatsWatch:
        """Subscribe one after the other, until the broker has them all; all of them or, cancelled or failing, none."""
        made: list[Subscription] = []
        watch = NatsWatch(self._client, made)
        try:
            for asked in asking:
                made.append(await asked)
            await self._client.flush(timeout=FLUSH_TIMEOUT_S)
        except BaseException as error:
            await watch.stop()
            if isinstance(error, NatsError | OSError):
                raise Unavailable(str(error) or type(error).__name__) from None
            raise
        return watch


def lost_of(error: Exception) -> tuple[str, str] | None:
    """Owner and post of a message that got here and was not taken in; ``None`` for other errors."""
    if not isinstance(error, SlowConsumerError | Undelivered):
        return None
    try:
        parsed = subjects.parse_post_event(error.subject)
    except ValueError:
        return None
    return parsed.owner, parsed.post


def lost_conversation_of(error: Exception) -> str | None:
    """The conversation of a message that was dropped here likewise; ``None`` for other errors."""
    if not isinstance(error, SlowConsumerError | Undelivered):
        return None
    parts = error.subject.removeprefix(subjects.LIVE_PREFIX).split(".")
    return parts[1] if len(parts) > 1 and parts[0] in ("conversations", "presence", "whispers") else None
