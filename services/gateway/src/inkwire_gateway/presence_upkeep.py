"""Keeps the channels of presence: who was there before, who comes and goes, who was silent for too long. No I/O."""

from functools import partial
from typing import Any

import orjson

from inkwire_contracts.client_frames import PresentMember
from inkwire_gateway.announcements import Announcements
from inkwire_gateway.attendance import Key
from inkwire_gateway.conversation_channel import ConversationChannel
from inkwire_gateway.hub import channels_of
from inkwire_gateway.ports import LiveTail, Presence
from inkwire_gateway.presence_channel import PresenceChannel
from inkwire_gateway.subscription import State, Subscription
from inkwire_gateway.upkeep import Desk, Upkeep, read_anew


class PresenceUpkeep:
    """See the module's docstring."""

    def __init__(self, desk: Desk, tail: LiveTail, presence: Presence, announcements: Announcements) -> None:
        self._desk = desk
        self._tail = tail
        self._presence = presence
        self._announcements = announcements

    def open(self, home: ConversationChannel) -> PresenceChannel:
        """The channel of a conversation that is here, with its members."""
        channel = self._desk.hub.presence_channel(home)
        if not channel.ready:
            channel.announce = self._announcements
            channel.attendance.admit(home.live.roster)
        return channel

    def attach_at_once(self, channel: PresenceChannel, subscription: Subscription) -> bool:
        """Attach a reader if it is known who is there."""
        if channel.ready:
            self._attach(channel, subscription)
        return channel.ready

    async def see_to(self, channel: PresenceChannel, upkeep: Upkeep) -> None:
        """Find out who is there, and attach who waits. What is heard meanwhile is newer than what is read."""
        if upkeep.watch is None:
            upkeep.watch = await self._desk.insist(
                lambda: self._tail.watch_presence(channel.conversation, _Listener(self._desk, channel))
            )
        if upkeep.anew:
            await self._read(channel, upkeep)
        for subscription in channel.each_waiting():
            self._attach(channel, subscription)

    async def _read(self, channel: PresenceChannel, upkeep: Upkeep) -> None:
        touched: set[Key] = set()
        with read_anew(upkeep):
            channel.touched = touched
            try:
                found = await self._desk.insist(partial(self._presence.present, channel.conversation))
            finally:
                channel.touched = None
        now_s = self._desk.clock.monotonic_s()
        for who, connection in found:
            if (who.user, connection) not in touched:
                channel.tell(channel.attendance.heard(who, connection, now_s))
        if channel.ready:
            self._desk.hub.changed(channel)
        else:
            self._desk.hub.started(channel)

    def _attach(self, channel: PresenceChannel, subscription: Subscription) -> None:
        channel.hold(subscription)
        self._desk.hub.changed(channel)
        self._desk.hub.attach(channel, subscription)

    def whisper(self, subscription: Subscription, name: str, data: bytes) -> bool:
        """Tell the others; False if the reader is not there (yet)."""
        channel = subscription.channel
        if not isinstance(channel, PresenceChannel) or subscription.state is State.JOINING:
            return False
        self._announcements.whisper(channel.conversation, subscription.who, subscription.connection, name, data)
        return True

    def sweep(self) -> None:
        """Let those go who were silent for too long; while the broker is away nobody could be heard."""
        if not self._desk.certain.is_set():
            return
        now_s = self._desk.clock.monotonic_s()
        for channel in channels_of(self._desk.hub, PresenceChannel):
            channel.tell(channel.attendance.expire(now_s))
            self._desk.hub.changed(channel)

    def reconnected(self) -> None:
        """The broker is back: say who is here, and give the others time to do so."""
        now_s = self._desk.clock.monotonic_s()
        for channel in channels_of(self._desk.hub, PresenceChannel):
            channel.attendance.forgive(now_s)
        self._announcements.repeat()


class _Listener:
    """What is heard of one conversation."""

    def __init__(self, desk: Desk, channel: PresenceChannel) -> None:
        self._desk = desk
        self._channel = channel

    def heard(self, who: PresentMember, connection: str) -> None:
        """See :class:`PresenceListener`."""
        self._touch(who.user, connection)
        self._channel.tell(self._channel.attendance.heard(who, connection, self._desk.clock.monotonic_s()))
        self._desk.hub.changed(self._channel)

    def gone(self, user: str, connection: str) -> None:
        """See :class:`PresenceListener`."""
        self._touch(user, connection)
        self._channel.tell(self._channel.attendance.gone(user, connection))
        self._desk.hub.changed(self._channel)

    def whispered(self, who: PresentMember, connection: str, name: str, data: Any) -> None:
        """See :class:`PresenceListener`. Who is no member any more is not heard."""
        home = self._desk.hub.home_of(self._channel)
        if home is None or who.user not in home.live.roster:
            return
        self._desk.hub.counters.events += 1
        raw = orjson.dumps({"name": name, "member": who.model_dump(mode="json"), "data": data})
        self._channel.whispered(raw, connection)
        self._desk.hub.changed(self._channel)

    def _touch(self, user: str, connection: str) -> None:
        if self._channel.touched is not None:
            self._channel.touched.add((user, connection))
