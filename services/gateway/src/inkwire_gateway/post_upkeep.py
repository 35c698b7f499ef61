"""Keeps the channels of posts whole: loads, refills, tail checks. Awaits ports, does no I/O."""

import asyncio
from functools import partial

from inkwire_chassis.logs import get_logger
from inkwire_gateway.channel import PostChannel
from inkwire_gateway.live_log import Phase, Verdict
from inkwire_gateway.live_post import Loaded
from inkwire_gateway.ports import Damaged, History, LiveTail, OnMessage, Unavailable
from inkwire_gateway.subscription import Subscription
from inkwire_gateway.upkeep import REFILL_TRIES, Desk, NotFollowable, Upkeep, delay_s


class PostUpkeep:
    """See the module's docstring."""

    def __init__(self, desk: Desk, tail: LiveTail, history: History) -> None:
        self._desk = desk
        self._tail = tail
        self._history = history

    def attach_at_once(self, channel: PostChannel, subscription: Subscription) -> bool:
        """Attach a reader if nothing has to be read for it."""
        if not channel.ready or channel.is_ahead(subscription):
            return False
        self._attach(channel, subscription, "memory")
        return True

    def may_have_missed(self, channel: PostChannel, upkeep: Upkeep) -> bool:
        """Whether silence proves nothing."""
        return upkeep.anew or not channel.live.snapshot.is_final or channel.live.phase is Phase.BUFFERING

    def of_another_log(self, channel: PostChannel) -> bool:
        """Whether the log that came back is not the one that the channel was read from."""
        other = channel.ready and channel.live.epoch != self._desk.post_epoch
        if other:
            before, now = channel.live.epoch, self._desk.post_epoch
            get_logger().warning("the log is another one", post=channel.post, before=before, now=now)
        return other

    async def see_to(self, channel: PostChannel, upkeep: Upkeep) -> None:
        """Bring the channel up to date and attach who waits.

        Raises:
            NotFollowable: there is no such post.
            Damaged: its history does not fold.
        """
        joined_before = set(channel.waiting)
        if upkeep.watch is None:
            upkeep.watch = await self._desk.insist(
                lambda: self._tail.watch_post(channel.owner, channel.post, self._on_message(channel, upkeep))
            )
        await self._desk.certain.wait()
        verdict, source = Verdict.DAMAGED if upkeep.anew else await self._repair(channel), "log"
        if verdict is Verdict.DAMAGED:
            source = await self._load(channel, upkeep)
            if _readers_ahead(channel):
                verdict = await self._repair(channel)
                if verdict is Verdict.DAMAGED:
                    source = await self._load(channel, upkeep)
        for subscription in channel.waiting:
            # Who has seen more than there is here waits for the next round: who joined since the log was asked, and
            # everybody where the broker was lost meanwhile, so that what it has was not told to the end.
            asked = subscription in joined_before and verdict is not Verdict.GAP
            if asked or not channel.is_ahead(subscription):
                self._attach(channel, subscription, source)

    def _attach(self, channel: PostChannel, subscription: Subscription, source: str) -> None:
        if channel.live.snapshot.status == "deleted":
            self._desk.refuse(subscription, "gone")
        else:
            if subscription.position is not None:
                self._desk.hub.counters.resumes[source] += 1
            self._desk.hub.attach(channel, subscription)

    async def _load(self, channel: PostChannel, upkeep: Upkeep) -> str:
        """Read the post; readers it already had get a new snapshot. Returns where it came from."""
        upkeep.anew = True
        channel.live.suspend()
        loaded = await self._desk.of_this_log(partial(self._loaded, channel), lambda: self._desk.post_epoch)
        if loaded is None or not _belongs(channel, loaded):
            raise NotFollowable("not_found")
        upkeep.anew = False  # at once: what a comparison says from now on is not to be taken back
        counters = self._desk.hub.counters
        if loaded.source == "store":
            counters.loads_from_store += 1
        else:
            counters.loads_from_log += 1
        verdict = self._desk.hub.start(channel, loaded)
        if verdict is Verdict.GAP:
            verdict = await self._repair(channel)
        if verdict is Verdict.DAMAGED:
            raise Damaged("a live message contradicts the log")
        return loaded.source

    async def _loaded(self, channel: PostChannel) -> Loaded | None:
        loaded = await self._history.load(channel.owner, channel.post)
        if loaded is None and self._is_announced(channel):
            raise Unavailable("the answer has not begun")
        return loaded

    def _is_announced(self, channel: PostChannel) -> bool:
        """Whether a message names the post: its first event is on its way, whoever dies meanwhile."""
        home = self._desk.hub.home_of(channel)
        return home is not None and any(m.post == channel.post for m in home.live.conversation.messages)

    async def _repair(self, channel: PostChannel) -> Verdict:
        """Compare with the log and read what is missing; what then still is, the next tail check asks for again."""
        live, desk = channel.live, self._desk
        outages = desk.outages
        for attempt in range(REFILL_TRIES):
            # Who has seen more than this process proves that something is missing: no replica's guess will do then.
            now = _readers_ahead(channel)
            newest = await desk.insist(partial(self._history.newest_seq, channel.owner, channel.post, now=now))
            if newest <= live.seq and live.phase is Phase.LIVE:
                if newest < live.seq and await desk.insist(self._history.epoch) != live.epoch:
                    get_logger().warning("the log is another one", post=channel.post, before=live.epoch)
                    return Verdict.DAMAGED
                if newest == 0 and not live.snapshot.is_final:
                    # Purged, so it has ended, and this process missed it: the store has the rest.
                    get_logger().info("post has left the log", post=channel.post, seq=live.seq)
                    return Verdict.DAMAGED
                return Verdict.OK
            if attempt:
                await asyncio.sleep(delay_s(attempt))
            desk.hub.counters.repairs += 1
            events = await desk.insist(lambda: self._history.events_after(channel.owner, channel.post, live.stream_seq))
            if outages != desk.outages:
                return Verdict.GAP  # perhaps of another log, which must never be added to this one: compare first
            if desk.hub.refill(channel, events) is Verdict.DAMAGED:
                get_logger().warning("post is read anew", post=channel.post, seq=live.seq)
                return Verdict.DAMAGED
        get_logger().warning("events are missing in the log", post=channel.post, seq=live.seq)
        return Verdict.GAP

    def _on_message(self, channel: PostChannel, upkeep: Upkeep) -> OnMessage:
        def on_message(payload: bytes, stream_seq: int) -> None:
            verdict = self._desk.hub.offer(channel, payload, stream_seq)
            if channel.live.phase is Phase.LIVE:  # what comes in while something is missing moves nobody on
                upkeep.silent_since_s = self._desk.clock.monotonic_s()
            if verdict is Verdict.OK:
                return
            self._desk.hub.counters.gaps += 1
            upkeep.anew = upkeep.anew or verdict is Verdict.DAMAGED
            self._desk.work(channel)

        return on_message


def _readers_ahead(channel: PostChannel) -> bool:
    return any(channel.is_ahead(subscription) for subscription in channel.waiting)


def _belongs(channel: PostChannel, loaded: Loaded) -> bool:
    """Whether a post that is asked for as an answer is one in that conversation."""
    if not channel.conversation:
        return True
    turn = loaded.snapshot.turn
    return turn is not None and turn.conversation == channel.conversation
