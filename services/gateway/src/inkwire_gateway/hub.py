"""Who follows what in this process: channels, their readers, and the fan-out. Synchronous and pure.

The order that keeps every reader exact: a channel's ``sent_seq`` only moves in :meth:`Hub.flush`, which writes to
every subscription of the fan-out in the same breath; a reader joins the fan-out only with its cursor at ``sent_seq``
and leaves it with exactly that cursor. So nothing is doubled and nothing is lost, whoever is slow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from inkwire_gateway.catch_up import CatchUp
from inkwire_gateway.channel import Channel, Group, HubLimits, PostChannel, UserChannel
from inkwire_gateway.conversation_channel import ConversationChannel
from inkwire_gateway.counters import Counters
from inkwire_gateway.live_log import Verdict
from inkwire_gateway.live_post import Loaded, LogEvent
from inkwire_gateway.presence_channel import PresenceChannel
from inkwire_gateway.ring import Batch, Entry, Ring
from inkwire_gateway.send_queue import SendQueue
from inkwire_gateway.subscription import MAX_RESYNCS, State, Subscription, TooSlow

FLUSH_WRITES = 500
"""Frames of one go of :meth:`Hub.flush`, but for the last channel's; then sockets and broker are looked at again."""

FEEDS = 50
"""Readers who begin in one go; their frames are made once, but a write each is work, too."""

C = TypeVar("C", bound=Channel)


@dataclass(slots=True)
class Hub:
    """All channels of this process.

    Args:
        schedule_flush: asks for one :meth:`flush` soon; events that come until then share frames.
    """

    schedule_flush: Callable[[], None]
    limits: HubLimits = field(default_factory=HubLimits)
    counters: Counters = field(default_factory=Counters)
    channels: dict[tuple[str, str], Channel] = field(default_factory=dict)
    changes: int = field(default=0, init=False)
    """How often a channel got something to send while it had nothing; each such change has its number."""
    _dirty: dict[Channel, int] = field(default_factory=dict, init=False)
    """Channels with something to send, oldest change first."""
    _scheduled: bool = field(default=False, init=False)
    _fed_count: int = field(default=0, init=False)
    _unfed: dict[SendQueue, None] = field(default_factory=dict, init=False)
    """Connections of readers who begin, when it is their turn."""

    # -- channels ----------------------------------------------------------------------------------------------

    def post_channel(self, owner: str, post: str) -> PostChannel:
        """The channel of an owner's post, made if it is new. Another owner's channel of that name is another one."""
        return self._channel(owner, f"post:{post}", PostChannel, lambda: PostChannel(owner, post, self.limits))

    def user_channel(self, owner: str) -> UserChannel:
        """The channel of an owner, made if it is new."""
        return self._channel(owner, f"user:{owner}", UserChannel, lambda: UserChannel(owner, self.limits))

    def conversation_channel(self, conversation: str) -> ConversationChannel:
        """The channel of a conversation, shared by its members; made if it is new."""
        name = f"conversation:{conversation}"
        return self._channel("", name, ConversationChannel, lambda: ConversationChannel(conversation, self.limits))

    def reply_channel(self, home: ConversationChannel, post: str) -> PostChannel:
        """The channel of an answer in a conversation that is here; made if it is new."""
        name = f"reply:{home.conversation}:{post}"
        channel = self._channel(
            home.live.conversation.owner,
            name,
            PostChannel,
            lambda: PostChannel(
                home.live.conversation.owner, post, self.limits, name=name, conversation=home.conversation
            ),
        )
        home.parts.add(channel)
        return channel

    def presence_channel(self, home: ConversationChannel) -> PresenceChannel:
        """The channel of who is in a conversation that is here; made if it is new."""
        name = f"presence:{home.conversation}"
        channel = self._channel("", name, PresenceChannel, lambda: PresenceChannel(home.conversation, self.limits))
        home.parts.add(channel)
        return channel

    def _channel(self, owner: str, name: str, kind: type[C], make: Callable[[], C]) -> C:
        found = self.channels.get((owner, name))
        if isinstance(found, kind):
            return found
        channel = make()
        self.channels[owner, name] = channel
        return channel

    def home_of(self, channel: Channel) -> ConversationChannel | None:
        """The conversation that a reply's or a presence's channel belongs to."""
        conversation = channel.conversation if isinstance(channel, PostChannel | PresenceChannel) else ""
        found = self.channels.get(("", f"conversation:{conversation}"))
        return found if isinstance(found, ConversationChannel) else None

    def drop_channel(self, channel: Channel) -> list[Subscription]:
        """Forget a channel; returns the readers it still had, closed."""
        self.channels.pop((channel.owner, channel.name), None)
        self._dirty.pop(channel, None)
        channel.ready = False
        home = self.home_of(channel)
        if home is not None:
            home.parts.discard(channel)
        channel.close()
        left = list(channel.subscriptions)
        for subscription in left:
            self.leave(subscription)
        channel.ring.clear(channel.ring.head)  # at once: in a cycle it would wait for a full collection, and prolong it
        channel.ring = Ring(1, 0)  # what is still heard until its interest ends counts for nobody
        return left

    # -- readers -----------------------------------------------------------------------------------------------

    def join(self, channel: Channel, subscription: Subscription) -> None:
        """Register a reader who waits; one that waited at another channel does so no more."""
        if subscription.channel is not None:
            subscription.channel.subscriptions.discard(subscription)
        subscription.channel = channel
        channel.subscriptions.add(subscription)
        subscription.queue.subscriptions.add(subscription)

    def attach(self, channel: Channel, subscription: Subscription) -> None:
        """Start a reader's catch-up: newer events where they are in memory, else how things stand."""
        self._flush_channel(channel)
        if channel.can_recover(subscription) and subscription.position is not None:
            self.counters.recovered += 1
            subscription.recover(subscription.position.seq)
        else:
            subscription.begin()
        self._feed(subscription)

    def _feed(self, subscription: Subscription) -> None:
        """Let a reader begin: at once, but where many begin together soon."""
        self._fed_count += 1
        if self._fed_count <= FEEDS:
            self._schedule()
            subscription.queue.feed(subscription)
        else:
            self._feed_soon(subscription)

    def _feed_soon(self, subscription: Subscription) -> None:
        self._schedule()
        subscription.queue.stay_behind(subscription)
        self._unfed[subscription.queue] = None

    def _feed_some(self) -> None:
        turns = list(islice(self._unfed, FEEDS))
        self._fed_count = len(turns)
        for queue in turns:
            del self._unfed[queue]
            queue.pump()
        if self._unfed:
            self._schedule()

    def attach_user(
        self, channel: UserChannel, subscription: Subscription, items: Sequence[dict[str, Any]], cursor: int
    ) -> None:
        """Send the list that was read when the channel was at ``cursor``, then what came since.

        A reader that is attached already gets the list anew, and events since then again: summaries and events carry
        ``seq``, and a client keeps the higher.
        """
        self._flush_channel(channel)
        self._remove(channel, subscription)
        told = CatchUp(cursor, iter((subscription.dialect.posts(channel.name, items),)))
        subscription.begin()
        subscription.stand(told)
        self._feed(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Take a reader out of everything."""
        channel = subscription.channel
        if channel is not None:
            channel.subscriptions.discard(subscription)
            self._remove(channel, subscription)
        subscription.queue.forget(subscription)
        subscription.close()
        if channel is not None:
            channel.left(subscription)
            self.changed(channel)

    def leave_all(self, queue: SendQueue) -> None:
        """A connection is gone."""
        for subscription in list(queue.subscriptions):
            self.leave(subscription)

    def resync(self, subscription: Subscription) -> None:
        """A reader fell off the ring: begin again, at what was sent to everyone.

        Raises:
            TooSlow: it did so too often without catching up, or its channel has no snapshot.
        """
        channel = subscription.channel
        subscription.resyncs += 1
        if channel is None or subscription.resyncs > MAX_RESYNCS:
            raise TooSlow
        self.counters.resyncs += 1
        subscription.begin()

    def stand(self, subscription: Subscription) -> None:
        """There is room to tell a reader how things stand.

        Raises:
            TooSlow: its channel has no such thing.
        """
        channel = subscription.channel
        if channel is not None:
            self.counters.resyncs += subscription.stands
            self._flush_channel(channel)
            subscription.stand(channel.stand(subscription.dialect))

    def promote(self, subscription: Subscription) -> None:
        """A reader has everything that was sent: from now on the fan-out feeds it."""
        channel = subscription.channel
        if channel is None or subscription.cursor != channel.sent_seq:
            raise AssertionError("only a reader that has everything may join the fan-out")
        subscription.went_live()
        group = channel.groups.get(subscription.dialect)
        if group is None:
            group = channel.groups[subscription.dialect] = Group()
        group.add(subscription)

    def demote(self, queue: SendQueue) -> None:
        """A connection's transport is full: its readers leave the fan-out with what they were sent."""
        self.counters.fell_behind += 1
        for subscription in queue.subscriptions:
            channel = subscription.channel
            if subscription.state is State.LIVE and channel is not None:
                self._remove(channel, subscription)
                subscription.fell_behind(channel.sent_seq)
                queue.stay_behind(subscription)

    def _remove(self, channel: Channel, subscription: Subscription) -> None:
        group = channel.groups.get(subscription.dialect)
        if group is None:
            return
        group.discard(subscription)
        if not group.members:
            del channel.groups[subscription.dialect]

    # -- events ------------------------------------------------------------------------------------------------

    def start(self, channel: PostChannel, loaded: Loaded) -> Verdict:
        """A post was loaded, for the first time or anew; readers it already had get a new snapshot."""
        verdict = channel.live.start(loaded)
        self.started(channel)
        return verdict

    def started(self, channel: Channel) -> None:
        """A channel's ring was begun anew: readers it already had are told how things stand."""
        again, channel.ready = channel.ready, True
        channel.sent_seq = channel.ring.head
        channel.standing.forget()
        self.limits.rings.relieve()
        if again:
            self._restart_readers(channel)

    def _restart_readers(self, channel: Channel) -> None:
        for subscription in list(channel.subscriptions):
            if subscription.state is State.JOINING:
                continue
            self._remove(channel, subscription)
            self.counters.resyncs += 1
            subscription.begin()
            self._feed(subscription)

    def offer(self, channel: PostChannel, raw: bytes, stream_seq: int) -> Verdict:
        """A live message of a post."""
        self.counters.events += 1
        verdict = channel.live.offer(raw, stream_seq)
        self.changed(channel)
        return verdict

    def refill(self, channel: PostChannel, events: Sequence[LogEvent]) -> Verdict:
        """Events of a post that were read from the log."""
        verdict = channel.live.refill(events)
        self.changed(channel)
        return verdict

    def offer_user(self, channel: UserChannel, name: str, raw: bytes) -> None:
        """A lifecycle event of an owner. It was counted when it came in."""
        channel.ring.append(Entry(channel.ring.head + 1, name, raw))
        self.changed(channel)

    def changed(self, channel: Channel) -> None:
        """A channel's ring may have more than was sent."""
        if channel.ring.head <= channel.sent_seq or not channel.ready:
            return
        if channel not in self._dirty:
            self.changes += 1
            self._dirty[channel] = self.changes
        self._schedule()

    @property
    def unsent(self) -> int | None:
        """The number of the oldest change that is not sent; ``None`` if all are."""
        return next(iter(self._dirty.values()), None)

    def flush(self) -> None:
        """Send what has come in to every reader that is up to date; the others find it in the ring.

        After :data:`FLUSH_WRITES` frames other work has its turn, and the rest follows soon.
        """
        self._scheduled = False
        until = self.counters.frames + FLUSH_WRITES
        while self._dirty:
            channel = next(iter(self._dirty))
            del self._dirty[channel]
            self._flush_channel(channel)
            if self._dirty and self.counters.frames >= until:
                self._schedule()
                break
        self._fed_count = 0
        if self._unfed:
            self._feed_some()
        if self.limits.rings.is_exceeded:
            self.limits.rings.relieve()  # now, as what was sent to everybody is missed least

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.schedule_flush()

    def _flush_channel(self, channel: Channel) -> None:
        while channel.sent_seq < channel.ring.head:
            if not channel.groups or not channel.ring.covers(channel.sent_seq):
                self._skip(channel)
                return
            batch = channel.ring.batch_after(channel.sent_seq, channel.ring.head)
            if batch is None:
                raise AssertionError("a ring that covers a cursor has what follows it")
            if batch.events > 1:
                self.counters.merged_frames += 1
            channel.sent_seq = batch.seq
            for dialect, group in list(channel.groups.items()):
                self._write_all(group, channel.frame(dialect, batch), batch)

    def _skip(self, channel: Channel) -> None:
        """Nobody is up to date, or more came in one tick than the ring holds: readers go on by themselves.

        Soon, as some connection's pump may be what asked for this, and it must not be entered twice.
        """
        sent, channel.sent_seq = channel.sent_seq, channel.ring.head
        for group in list(channel.groups.values()):
            for subscription in list(group.members):
                self._remove(channel, subscription)
                subscription.fell_behind(sent)
                self._feed_soon(subscription)

    def _write_all(self, group: Group, frame: bytes, batch: Batch) -> None:
        sends, readers = group.fan
        size = len(frame)
        self._count(len(sends), size, batch)
        origin = batch.origin
        for index, send in enumerate(sends):
            if origin is not None and readers[index].connection == origin:
                self._count(-1, size, batch)
                continue
            try:
                taken = send(frame)
            except BlockingIOError:
                taken = 0
            except (OSError, RuntimeError):  # this one is going; it must not take the others' frames along
                readers[index].queue.broken()
                continue
            if taken != size:
                readers[index].queue.send_rest(frame, taken)

    def _count(self, readers: int, size_bytes: int, batch: Batch) -> None:
        counters = self.counters
        counters.frames += readers
        counters.frame_bytes += readers * size_bytes
        counters.deliveries += readers * batch.events


def channels_of(hub: Hub, kind: type[C]) -> list[C]:
    """The channels of one kind that are here; a copy, so that the hub may change meanwhile."""
    return [c for c in hub.channels.values() if isinstance(c, kind)]
