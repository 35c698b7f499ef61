"""Keeps the channels of posts whole: loads, refills, tail checks. Awaits ports, does no I/O."""

from collections.abc import Sequence

from inkwire_chassis.logs import get_logger
from inkwire_gateway.channel import PostChannel
from inkwire_gateway.live_log import Phase, Verdict
from inkwire_gateway.live_post import Loaded, LogEvent
from inkwire_gateway.log_upkeep import LogUpkeep
from inkwire_gateway.ports import History, LiveTail, OnMessage, Unavailable
from inkwire_gateway.subscription import Subscription
from inkwire_gateway.upkeep import Desk, Upkeep


class PostUpkeep(LogUpkeep[PostChannel, Loaded, LogEvent]):
    """See the module's docstring."""

    def __init__(self, desk: Desk, tail: LiveTail, history: History) -> None:
        super().__init__(desk)
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
        verdict, source = await self._bring_up_to_date(channel, upkeep)
        if verdict is Verdict.DAMAGED and _readers_ahead(channel):
            verdict = await self._repair(channel)
            if verdict is Verdict.DAMAGED:
                source = await self._load(channel, upkeep)
        for subscription in channel.each_waiting():
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

    def _known_epoch(self) -> str | None:
        return self._desk.post_epoch

    async def _read_whole(self, channel: PostChannel) -> Loaded | None:
        loaded = await self._history.load(channel.owner, channel.post)
        if loaded is None and self._is_announced(channel):
            raise Unavailable("the answer has not begun")
        return loaded if loaded is not None and _belongs(channel, loaded) else None

    def _start(self, channel: PostChannel, loaded: Loaded) -> Verdict:
        counters = self._desk.hub.counters
        if loaded.source == "store":
            counters.loads_from_store += 1
        else:
            counters.loads_from_log += 1
        return self._desk.hub.start(channel, loaded)

    def _is_announced(self, channel: PostChannel) -> bool:
        """Whether a message names the post: its first event is on its way, whoever dies meanwhile."""
        home = self._desk.hub.home_of(channel)
        return home is not None and any(m.post == channel.post for m in home.live.conversation.messages)

    async def _newest_seq(self, channel: PostChannel) -> int:
        # Who has seen more than this process proves that something is missing: no replica's guess will do then.
        now = _readers_ahead(channel)
        return await self._history.newest_seq(channel.owner, channel.post, now=now)

    async def _is_void(self, channel: PostChannel, newest: int) -> bool:
        live = channel.live
        if newest < live.seq and await self._desk.insist(self._history.epoch) != live.epoch:
            get_logger().warning("the log is another one", channel=channel.name, before=live.epoch)
            return True
        if newest == 0 and not live.snapshot.is_final:
            # Purged, so it has ended, and this process missed it: the store has the rest.
            get_logger().info("post has left the log", channel=channel.name, seq=live.seq)
            return True
        return False

    async def _missing(self, channel: PostChannel, newest: int) -> Sequence[LogEvent]:
        if newest <= channel.live.seq:
            return ()  # it was suspended, and that is all: an end in vain costs the broker most of a read
        self._desk.hub.counters.repairs += 1
        return await self._history.events_after(channel.owner, channel.post, channel.live.stream_seq)

    def _refill(self, channel: PostChannel, events: Sequence[LogEvent], seq: int, newest: int) -> Verdict:
        return self._desk.hub.refill(channel, events)

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
