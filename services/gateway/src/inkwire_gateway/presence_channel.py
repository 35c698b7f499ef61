"""``presence:<id>``: who is there, and what they whisper. Numbered here; who falls behind is told anew who is there."""

from typing import Protocol

import orjson

from inkwire_contracts.client_frames import PresentMember
from inkwire_gateway.attendance import Attendance, Change, Key
from inkwire_gateway.catch_up import CatchUp
from inkwire_gateway.channel import Channel, HubLimits
from inkwire_gateway.dialects import Dialect
from inkwire_gateway.ring import Batch, Entry, Ring
from inkwire_gateway.subscription import Subscription

MAX_RING_EVENTS = 256
"""Changes and whispers kept for readers who fall behind; nobody wants older whispers."""


class Announce(Protocol):
    """Tells other processes."""

    def hold(self, conversation: str, who: PresentMember, connection: str) -> None:
        """A connection of this process is there from now on."""
        ...

    def release(self, conversation: str, connection: str) -> None:
        """It is there no more."""
        ...


class PresenceChannel(Channel):
    """Shared by all members of a conversation.

    Whoever is attached here is there.
    """

    def __init__(self, conversation: str, limits: HubLimits) -> None:
        ring = Ring(min(limits.ring_events, MAX_RING_EVENTS), limits.ring_bytes, limits.rings)
        super().__init__(f"presence:{conversation}", "", ring, limits)
        self.conversation = conversation
        self.attendance = Attendance(limits.presence_ttl_s)
        self.held: dict[str, PresentMember] = {}
        """Connections of this process that are there, and whose they are."""
        self.announce: Announce | None = None
        self.touched: set[Key] | None = None
        """While it is read who is there: of whom something newer was heard."""

    def hold(self, subscription: Subscription) -> None:
        """A reader is about to be attached: it is there."""
        self.held[subscription.connection] = subscription.who
        if self.announce is not None:
            self.announce.hold(self.conversation, subscription.who, subscription.connection)
        self.tell(self.attendance.hold(subscription.who, subscription.connection))

    def left(self, subscription: Subscription) -> None:
        """See :class:`Channel`."""
        if self.held.pop(subscription.connection, None) is not None:
            if self.announce is not None:
                self.announce.release(self.conversation, subscription.connection)
            self.tell(self.attendance.release(subscription.who.user, subscription.connection))

    def tell(self, changes: list[Change]) -> None:
        """Have all readers told; the caller tells the hub that there is something."""
        for change in changes:
            raw = orjson.dumps({"member": change.member.model_dump(mode="json")})
            self.ring.append(Entry(self.ring.head + 1, change.kind, raw))

    def whispered(self, raw: bytes, origin: str) -> None:
        """Have all readers told but one connection's. ``raw``: a JSON object with name, member and data."""
        self.ring.append(Entry(self.ring.head + 1, "whispered", raw, origin=origin))

    def stand(self, dialect: Dialect) -> CatchUp:
        """See :class:`Channel`."""
        return CatchUp(self.ring.head, iter((dialect.here(self.name, self.attendance.present),)))

    def frame(self, dialect: Dialect, batch: Batch) -> bytes:
        """See :class:`Channel`."""
        return dialect.presence(self.name, batch)
