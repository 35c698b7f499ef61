"""Keeps the channels of owners: lists, and lifecycle events without those of answers in conversations. No I/O."""

from functools import partial

from inkwire_contracts.events import EVENT_CLASSES
from inkwire_gateway.channel import UserChannel
from inkwire_gateway.owner_feed import Happening
from inkwire_gateway.ports import History, LiveTail, OnLifecycle
from inkwire_gateway.subscription import State
from inkwire_gateway.upkeep import Desk, Upkeep, read_anew


class UserUpkeep:
    """See the module's docstring."""

    def __init__(self, desk: Desk, tail: LiveTail, history: History) -> None:
        self._desk = desk
        self._tail = tail
        self._history = history

    async def see_to(self, channel: UserChannel, upkeep: Upkeep) -> None:
        """Find out which of the posts that were heard of are answers, and send the list to who waits for it."""
        if upkeep.watch is None:
            upkeep.watch = await self._desk.insist(
                lambda: self._tail.watch_owner(channel.owner, self._on_message(channel))
            )
            channel.ready = True
        for post in channel.feed.unknown:
            is_reply = await self._desk.insist(partial(self._history.is_reply, channel.owner, post), load=True)
            self._tell(channel, channel.feed.learn(post, is_reply=is_reply))
        readers = list(channel.subscriptions) if upkeep.anew else channel.waiting
        if not readers:
            upkeep.anew = False
            return
        joined = any(s.state is State.JOINING for s in readers)
        cursor = channel.ring.head
        with read_anew(upkeep):
            items = await self._desk.insist(partial(self._history.newest_posts, channel.owner), load=True)
        for item in items:
            self._tell(channel, channel.feed.learn(str(item["id"]), is_reply=False))
        for subscription in readers:
            if subscription.channel is channel:
                self._desk.hub.attach_user(channel, subscription, items, cursor)
        # The store follows the log at a small distance: who joined gets the list once more when it has settled.
        upkeep.anew = upkeep.anew or joined

    def _on_message(self, channel: UserChannel) -> OnLifecycle:
        def on_message(event_type: str, payload: bytes) -> None:
            known = EVENT_CLASSES.get(event_type)
            self._desk.hub.counters.events += 1
            name = event_type if known is None else known.name
            self._tell(channel, channel.feed.take(Happening(event_type, name, payload)))
            if channel.feed.unknown:
                self._desk.work(channel)

        return on_message

    def _tell(self, channel: UserChannel, happenings: list[Happening]) -> None:
        for happening in happenings:
            self._desk.hub.offer_user(channel, happening.name, happening.raw)
