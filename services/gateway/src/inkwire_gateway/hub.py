"""Who follows what in this process: channels, their readers, and the fan-out. Synchronous and pure.

The order that keeps every reader exact: a channel's ``sent_seq`` only moves in :meth:`Hub.flush`, which writes to
every subscription of the fan-out in the same breath; a reader joins the fan-out only with its cursor at ``sent_seq``
and leaves it with exactly that cursor. So nothing is doubled and nothing is lost, whoever is slow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from inkwire_gateway.dialects import Dialect
from inkwire_gateway.live_post import LivePost, Loaded, LogEvent, Verdict
from inkwire_gateway.ring import Entry, Ring
from inkwire_gateway.send_queue import SendQueue, Write
from inkwire_gateway.subscription import MAX_RESYNCS, State, Subscription, TooSlow


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of one channel's memory."""

    ring_events: int = 2_000
    ring_bytes: int = 1024 * 1024
    buffer_events: int = 10_000


@dataclass(slots=True)
class Counters:
    """What happened here, for operators and tests."""

    events: int = 0
    frames: int = 0
    merged_frames: int = 0
    joins_loaded: int = 0
    joins_from_memory: int = 0
    recovered: int = 0
    resyncs: int = 0
    gaps: int = 0
    repairs: int = 0


@dataclass(slots=True)
class _Group:
    """Readers of one dialect that are up to date. Tuples are replaced, never changed: a write may pause a reader."""

    subscriptions: tuple[Subscription, ...] = ()
    writes: tuple[Write, ...] = ()


class Channel:
    """What a post's and an owner's channel have in common: a ring, readers, and how far they were sent."""

    def __init__(self, name: str, owner: str, ring: Ring) -> None:
        self.name = name
        self.owner = owner
        self.ring = ring
        self.sent_seq = 0
        self.ready = False
        """Whether readers can be attached."""
        self.subscriptions: set[Subscription] = set()
        """All readers, those who wait for the channel included."""
        self.groups: dict[Dialect, _Group] = {}

    @property
    def waiting(self) -> list[Subscription]:
        """Readers who have not been attached yet."""
        return [s for s in self.subscriptions if s.state is State.JOINING]

    def resync(self, subscription: Subscription) -> None:
        """Bring a reader who fell off the ring up to date by other means.

        Raises:
            TooSlow: there is none.
        """
        raise NotImplementedError

    def tell_live(self, subscription: Subscription) -> bytes:
        """The frame that ends a catch-up by events."""
        raise NotImplementedError


class PostChannel(Channel):
    """``post:<id>`` of one owner."""

    def __init__(self, owner: str, post: str, limits: HubLimits) -> None:
        ring = Ring(limits.ring_events, limits.ring_bytes)
        super().__init__(f"post:{post}", owner, ring)
        self.post = post
        self.live = LivePost(post, ring, max_buffer=limits.buffer_events)

    def resync(self, subscription: Subscription) -> None:
        """A new snapshot, as of what was sent to everyone."""
        self.begin(subscription, first=False)

    def begin(self, subscription: Subscription, *, first: bool) -> None:
        """Catch up from a snapshot. The caller has flushed the channel, so that the snapshot is at ``sent_seq``."""
        capture = self.live.capture()
        frames = subscription.dialect.catch_up(self.name, capture, subscription.request_id, first=first)
        live = subscription.dialect.live(self.name, capture.epoch, capture.seq)
        subscription.begin(capture.seq, chain(frames, (live,)), live_told=True)

    def tell_live(self, subscription: Subscription) -> bytes:
        """See :class:`Channel`."""
        return subscription.dialect.live(self.name, self.live.epoch, subscription.cursor)

    def can_recover(self, subscription: Subscription) -> bool:
        """Whether everything after the reader's position is in memory."""
        position = subscription.position
        return position is not None and position.epoch == self.live.epoch and self.ring.covers(position.seq)

    def is_ahead(self, subscription: Subscription) -> bool:
        """Whether the reader has seen more than this process: then something has not arrived here yet."""
        position = subscription.position
        return position is not None and position.epoch == self.live.epoch and position.seq > self.live.seq


class UserChannel(Channel):
    """``user:<owner>``: lifecycle events, numbered here, without replay."""

    def __init__(self, owner: str, limits: HubLimits) -> None:
        super().__init__(f"user:{owner}", owner, Ring(limits.ring_events, limits.ring_bytes))

    def resync(self, subscription: Subscription) -> None:
        """There is no snapshot of this channel; the client comes back and gets the list."""
        raise TooSlow


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
    _dirty: dict[Channel, None] = field(default_factory=dict, init=False)
    _scheduled: bool = field(default=False, init=False)

    # -- channels ----------------------------------------------------------------------------------------------

    def post_channel(self, owner: str, post: str) -> PostChannel:
        """The channel of an owner's post, made if it is new. Another owner's channel of that name is another one."""
        found = self.channels.get((owner, f"post:{post}"))
        if isinstance(found, PostChannel):
            return found
        channel = PostChannel(owner, post, self.limits)
        self.channels[owner, channel.name] = channel
        return channel

    def user_channel(self, owner: str) -> UserChannel:
        """The channel of an owner, made if it is new."""
        found = self.channels.get((owner, f"user:{owner}"))
        if isinstance(found, UserChannel):
            return found
        channel = UserChannel(owner, self.limits)
        self.channels[owner, channel.name] = channel
        return channel

    def drop_channel(self, channel: Channel) -> list[Subscription]:
        """Forget a channel; returns the readers it still had, closed."""
        self.channels.pop((channel.owner, channel.name), None)
        self._dirty.pop(channel, None)
        channel.ready = False
        if isinstance(channel, PostChannel):
            channel.live.close()
        left = list(channel.subscriptions)
        for subscription in left:
            self.leave(subscription)
        channel.ring.clear(channel.ring.head)  # at once: in a cycle it would wait for a full collection, and prolong it
        return left

    # -- readers -----------------------------------------------------------------------------------------------

    def join(self, channel: Channel, subscription: Subscription) -> None:
        """Register a reader; it is attached at once where the channel is ready, else by :meth:`attach_waiting`."""
        subscription.channel = channel
        channel.subscriptions.add(subscription)
        subscription.queue.subscriptions.add(subscription)

    def attach_post(self, channel: PostChannel, subscription: Subscription) -> None:
        """Start a reader's catch-up: newer events where they are in memory, else a snapshot."""
        self._flush_channel(channel)
        if channel.can_recover(subscription) and subscription.position is not None:
            self.counters.recovered += 1
            opening = subscription.dialect.recovered(channel.name, subscription.request_id)
            subscription.begin(subscription.position.seq, iter((opening,)), live_told=False)
        else:
            channel.begin(subscription, first=True)
        subscription.queue.feed(subscription)

    def attach_user(
        self, channel: UserChannel, subscription: Subscription, items: Sequence[dict[str, Any]], cursor: int
    ) -> None:
        """Send the list that was read when the channel was at ``cursor``, then what came since.

        A reader that is attached already gets the list anew, and events since then again: summaries and events carry
        ``seq``, and a client keeps the higher.
        """
        self._flush_channel(channel)
        self._remove(channel, subscription)
        first = subscription.state is State.JOINING
        frames = subscription.dialect.posts(channel.name, items, subscription.request_id, first=first)
        subscription.begin(cursor, frames, live_told=True)
        subscription.queue.feed(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Take a reader out of everything."""
        channel = subscription.channel
        if channel is not None:
            channel.subscriptions.discard(subscription)
            self._remove(channel, subscription)
        subscription.queue.forget(subscription)
        subscription.close()

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
        self._flush_channel(channel)
        self.counters.resyncs += 1
        channel.resync(subscription)

    def promote(self, subscription: Subscription) -> None:
        """A reader has everything that was sent: from now on the fan-out feeds it."""
        channel = subscription.channel
        if channel is None or subscription.cursor != channel.sent_seq:
            raise AssertionError("only a reader that has everything may join the fan-out")
        subscription.went_live()
        group = channel.groups.setdefault(subscription.dialect, _Group())
        group.subscriptions = (*group.subscriptions, subscription)
        group.writes = (*group.writes, subscription.queue.write)

    def demote(self, queue: SendQueue) -> None:
        """A connection's transport is full: its readers leave the fan-out with what they were sent."""
        for subscription in queue.subscriptions:
            channel = subscription.channel
            if subscription.state is State.LIVE and channel is not None:
                self._remove(channel, subscription)
                subscription.fell_behind(channel.sent_seq)
                queue.stay_behind(subscription)

    def _remove(self, channel: Channel, subscription: Subscription) -> None:
        group = channel.groups.get(subscription.dialect)
        if group is None or subscription not in group.subscriptions:
            return
        kept = [s for s in group.subscriptions if s is not subscription]
        group.subscriptions = tuple(kept)
        group.writes = tuple(s.queue.write for s in kept)
        if not kept:
            del channel.groups[subscription.dialect]

    # -- events ------------------------------------------------------------------------------------------------

    def start(self, channel: PostChannel, loaded: Loaded) -> Verdict:
        """A post was loaded, for the first time or anew; readers it already had get a new snapshot."""
        again = channel.ready
        verdict = channel.live.start(loaded)
        if again:
            self._restart_readers(channel)
        channel.ready = True
        channel.sent_seq = channel.ring.head
        return verdict

    def _restart_readers(self, channel: PostChannel) -> None:
        channel.sent_seq = channel.ring.head
        for subscription in list(channel.subscriptions):
            if subscription.state is State.JOINING:
                continue
            self._remove(channel, subscription)
            self.counters.resyncs += 1
            channel.resync(subscription)
            subscription.queue.feed(subscription)

    def offer(self, channel: PostChannel, raw: bytes, stream_seq: int) -> Verdict:
        """A live message of a post."""
        self.counters.events += 1
        verdict = channel.live.offer(raw, stream_seq)
        self._changed(channel)
        return verdict

    def refill(self, channel: PostChannel, events: Sequence[LogEvent]) -> Verdict:
        """Events of a post that were read from the log."""
        verdict = channel.live.refill(events)
        self._changed(channel)
        return verdict

    def offer_user(self, channel: UserChannel, name: str, raw: bytes) -> None:
        """A lifecycle event of an owner."""
        self.counters.events += 1
        channel.ring.append(Entry(channel.ring.head + 1, name, raw))
        self._changed(channel)

    def _changed(self, channel: Channel) -> None:
        if channel.ring.head <= channel.sent_seq or not channel.ready:
            return
        self._dirty[channel] = None
        if not self._scheduled:
            self._scheduled = True
            self.schedule_flush()

    def flush(self) -> None:
        """Send what has come in to every reader that is up to date; the others find it in the ring."""
        self._scheduled = False
        dirty, self._dirty = self._dirty, {}
        for channel in dirty:
            self._flush_channel(channel)

    def _flush_channel(self, channel: Channel) -> None:
        while channel.sent_seq < channel.ring.head:
            if not channel.groups or not channel.ring.covers(channel.sent_seq):
                self._skip(channel)
                return
            batch = channel.ring.batch_after(channel.sent_seq, channel.ring.head)
            if batch is None:
                raise AssertionError("a ring that covers a cursor has what follows it")
            if batch.seq > channel.sent_seq + 1:
                self.counters.merged_frames += 1
            channel.sent_seq = batch.seq
            for dialect, group in list(channel.groups.items()):
                frame = dialect.event(channel.name, batch)
                self.counters.frames += len(group.writes)
                self._write_all(group, frame)

    def _skip(self, channel: Channel) -> None:
        """Nobody is up to date, or more came in one tick than the ring holds: readers go on by themselves."""
        sent, channel.sent_seq = channel.sent_seq, channel.ring.head
        for group in list(channel.groups.values()):
            for subscription in group.subscriptions:
                self._remove(channel, subscription)
                subscription.fell_behind(sent)
                subscription.queue.feed(subscription)

    @staticmethod
    def _write_all(group: _Group, frame: bytes) -> None:
        subscriptions = group.subscriptions
        for index, write in enumerate(group.writes):
            try:
                write(frame)
            except (OSError, RuntimeError):  # this one is going; it must not take the others' frames along
                subscriptions[index].queue.broken()


def channels_of(hub: Hub) -> list[PostChannel]:
    """The posts that are followed here; a copy, so that the hub may change meanwhile."""
    return [c for c in hub.channels.values() if isinstance(c, PostChannel)]
