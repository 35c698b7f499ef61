"""What readers follow: a ring of recent events, the readers, and how far those were sent. Pure.

Channels of conversations are in conversation_channel.py and presence_channel.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Generic, TypeVar

from inkwire_contracts.topology import PRESENCE_TTL_S
from inkwire_gateway.catch_up import CatchUp, CatchUps, Standing
from inkwire_gateway.dialects import Dialect
from inkwire_gateway.limits import RING_TOTAL_BYTES
from inkwire_gateway.live_log import LiveLog
from inkwire_gateway.live_post import LivePost
from inkwire_gateway.owner_feed import OwnerFeed
from inkwire_gateway.ring import Batch, Ring, RingBudget
from inkwire_gateway.send_queue import Send
from inkwire_gateway.subscription import State, Subscription, TooSlow

MIN_LIFECYCLE_EVENTS = 16
"""Of one owner, kept though memory is short: what comes while the list is read has no snapshot to fall back to."""


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of memory, of one channel where nothing else is said."""

    ring_events: int = 2_000
    ring_bytes: int = 1024 * 1024
    buffer_events: int = 10_000
    presence_ttl_s: float = PRESENCE_TTL_S
    rings: RingBudget = field(default_factory=lambda: RingBudget(RING_TOTAL_BYTES))
    """Of all channels together."""
    catch_ups: CatchUps = field(default_factory=CatchUps)
    """The same."""


class Group:
    """Readers of one dialect that are up to date."""

    __slots__ = ("_fan", "members")

    def __init__(self) -> None:
        self.members: dict[Subscription, None] = {}
        self._fan: tuple[tuple[Send, ...], tuple[Subscription, ...]] | None = None

    def add(self, subscription: Subscription) -> None:
        """One more."""
        self.members[subscription] = None
        self._fan = None

    def discard(self, subscription: Subscription) -> None:
        """One less, if it was here."""
        if subscription in self.members:
            del self.members[subscription]
            self._fan = None

    @property
    def fan(self) -> tuple[tuple[Send, ...], tuple[Subscription, ...]]:
        """What a flush goes through: made when it is needed and never changed, as a write may pause a reader."""
        if self._fan is None:
            readers = tuple(self.members)
            self._fan = (tuple(reader.queue.send for reader in readers), readers)
        return self._fan


class Channel(ABC):
    """What all channels have in common. Those of the same name and another ``owner`` are others."""

    def __init__(self, name: str, owner: str, ring: Ring, limits: HubLimits) -> None:
        self.name = name
        self.owner = owner
        self.ring = ring
        self.standing = Standing(limits.catch_ups)
        self.sent_seq = 0
        self.ready = False
        """Whether readers can be attached."""
        self.stalled = False
        """The last comparison with what is stored met no answer: readers may wait for something that is missing."""
        self.subscriptions: set[Subscription] = set()
        """All readers, those who wait for the channel included."""
        self.groups: dict[Dialect, Group] = {}

    @property
    def waiting(self) -> list[Subscription]:
        """Readers who have not been attached yet."""
        return [s for s in self.subscriptions if s.state is State.JOINING]

    def each_waiting(self) -> Iterator[Subscription]:
        """The same, one after the other; who is gone by then, as a connection that broke takes all it has, is not."""
        return (s for s in self.waiting if s.state is State.JOINING)

    @property
    def in_use(self) -> bool:
        """Whether somebody reads it, or something else needs it."""
        return bool(self.subscriptions)

    def can_recover(self, subscription: Subscription) -> bool:
        """Whether everything after the reader's position is in memory."""
        return False

    @abstractmethod
    def stand(self, dialect: Dialect) -> CatchUp:
        """How things stand. The caller has flushed the channel, so that this is at ``sent_seq``.

        Raises:
            TooSlow: there is no such thing.
        """

    def tell_live(self, subscription: Subscription) -> bytes | None:
        """The frame that ends a catch-up by events, if there is one."""
        return None

    def frame(self, dialect: Dialect, batch: Batch) -> bytes:
        """What readers are sent of an event, or of merged ones."""
        return dialect.event(self.name, batch)

    def left(self, subscription: Subscription) -> None:  # noqa: B027 - a hook: few kinds have something to do
        """A reader is gone."""

    def close(self) -> None:  # noqa: B027 - likewise
        """Take nothing in any more; the channel is forgotten."""


V = TypeVar("V", bound=LiveLog[*tuple[Any, ...]])


class LogChannel(Channel, Generic[V]):
    """A channel of what a log tells: whoever comes back to it with a position goes on there."""

    def __init__(self, name: str, owner: str, live: V, limits: HubLimits) -> None:
        super().__init__(name, owner, live.ring, limits)
        self.live = live

    def stand(self, dialect: Dialect) -> CatchUp:
        """See :class:`Channel`."""
        return self.standing.at(self.live.seq, dialect, lambda: self._made_in(dialect))

    @abstractmethod
    def _made_in(self, dialect: Dialect) -> CatchUp:
        """How things stand, in a dialect."""

    def can_recover(self, subscription: Subscription) -> bool:
        """See :class:`Channel`."""
        position = subscription.position
        return position is not None and position.epoch == self.live.epoch and self.ring.covers(position.seq)

    def is_ahead(self, subscription: Subscription) -> bool:
        """Whether the reader has seen more than this process: then something has not arrived here yet."""
        position = subscription.position
        return position is not None and position.epoch == self.live.epoch and position.seq > self.live.seq

    def close(self) -> None:
        """See :class:`Channel`."""
        self.live.close()


class PostChannel(LogChannel[LivePost]):
    """``post:<id>`` of one owner; under another name a reply, for the members of its conversation."""

    def __init__(self, owner: str, post: str, limits: HubLimits, *, name: str = "", conversation: str = "") -> None:
        ring = Ring(limits.ring_events, limits.ring_bytes, limits.rings)
        live = LivePost(post, ring, max_buffer=limits.buffer_events)
        super().__init__(name or f"post:{post}", owner, live, limits)
        self.post = post
        self.conversation = conversation
        """Of a reply: where it must belong."""

    def _made_in(self, dialect: Dialect) -> CatchUp:
        capture = self.live.capture()
        live = dialect.live(self.name, capture.epoch, capture.seq)
        frames = chain(dialect.catch_up(self.name, capture), (live,))
        return CatchUp(capture.seq, frames, source_bytes=sum(len(text) for _, text in capture.texts))

    def tell_live(self, subscription: Subscription) -> bytes:
        """See :class:`Channel`."""
        return subscription.dialect.live(self.name, self.live.epoch, subscription.cursor)


class UserChannel(Channel):
    """``user:<owner>``: lifecycle events, numbered here, without replay."""

    def __init__(self, owner: str, limits: HubLimits) -> None:
        ring = Ring(limits.ring_events, limits.ring_bytes, limits.rings, min_events=MIN_LIFECYCLE_EVENTS)
        super().__init__(f"user:{owner}", owner, ring, limits)
        self.feed = OwnerFeed()

    def stand(self, dialect: Dialect) -> CatchUp:
        """There is no such thing of this channel; the client comes back and gets the list."""
        raise TooSlow
