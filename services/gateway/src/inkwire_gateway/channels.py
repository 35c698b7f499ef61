"""Brings channels to life and keeps them whole: loads, refills, tail checks, releases. Awaits ports, does no I/O.

One task per channel at most; everything that readers see happens in the hub, synchronously.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from inkwire_chassis.clock import Clock
from inkwire_chassis.lifecycle import cancel_and_wait, spawn
from inkwire_chassis.logs import get_logger
from inkwire_contracts.events import EVENT_CLASSES
from inkwire_gateway.hub import Channel, Hub, PostChannel, UserChannel, channels_of
from inkwire_gateway.live_post import Loaded, Phase, Verdict
from inkwire_gateway.ports import Damaged, History, LiveTail, Unavailable, Watch
from inkwire_gateway.subscription import State, Subscription

RETRY_FIRST_S = 0.05
RETRY_MAX_S = 1.0
T = TypeVar("T")
REFILL_TRIES = 20
"""Reads of one repair; what is still missing then is read at the next tail check."""

TELL_AFTER_TRIES = 3


@dataclass(frozen=True, slots=True)
class ChannelTimes:
    """When things are checked and let go; in seconds."""

    sweep_interval_s: float = 0.5
    silence_s: float = 2.0
    """A channel that was silent for so long is compared with the log."""
    linger_s: float = 30.0
    """A channel without readers is kept for so long, for those who reload a page."""
    load_timeout_s: float = 10.0
    """A reader waits at most so long for a channel; then it is told to try again."""
    max_loads: int = 64
    """Reads of log and store at the same time."""


class _Upkeep:
    """What belongs to a channel besides what its readers see."""

    __slots__ = ("again", "anew", "idle_since_s", "silent_since_s", "task", "watch")

    def __init__(self, now_s: float) -> None:
        self.watch: Watch | None = None
        self.task: asyncio.Task[None] | None = None
        self.again = False
        """There is more to do when the task ends."""
        self.anew = True
        """What is here cannot be built upon: load the post, or list the posts, for all readers."""
        self.silent_since_s = now_s
        self.idle_since_s: float | None = None


Refuse = Callable[[Subscription, str], None]


class Channels:
    """See the module's docstring.

    Args:
        refuse: tells a reader with an error code that its channel cannot be followed, and forgets it.
    """

    def __init__(
        self, hub: Hub, tail: LiveTail, history: History, *, clock: Clock, times: ChannelTimes, refuse: Refuse
    ) -> None:
        self.hub = hub
        self._tail = tail
        self._history = history
        self._clock = clock
        self._times = times
        self._refuse = refuse
        self._upkeep: dict[Channel, _Upkeep] = {}
        self._reads = asyncio.Semaphore(times.max_loads)
        self._epoch: str | None = None
        """The log's identity as it was told after the last reconnect; ``None`` if there was none yet."""
        self._certain = asyncio.Event()
        """Not set from a disconnect until it is known which log has come back."""
        self._certain.set()
        self._outages = 0
        self._comparing: asyncio.Task[None] | None = None
        self._leftovers: set[asyncio.Task[None]] = set()

    # -- readers -----------------------------------------------------------------------------------------------

    def join(self, owner: str, subscription: Subscription) -> None:
        """Let a reader follow ``subscription.name``; answers come through the hub or through ``refuse``."""
        kind, _, name = subscription.name.partition(":")
        channel = self.hub.post_channel(owner, name) if kind == "post" else self.hub.user_channel(owner)
        upkeep = self._upkeep.setdefault(channel, _Upkeep(self._clock.monotonic_s()))
        upkeep.idle_since_s = None
        self.hub.join(channel, subscription)
        if isinstance(channel, PostChannel) and channel.ready and not channel.is_ahead(subscription):
            self.hub.counters.joins_from_memory += 1
            self._attach(channel, subscription)
        else:
            self.hub.counters.joins_loaded += 1
            self._work(channel)

    def _attach(self, channel: PostChannel, subscription: Subscription) -> None:
        if channel.live.snapshot.status == "deleted":
            self._refuse(subscription, "gone")
        else:
            self.hub.attach_post(channel, subscription)

    def leave(self, subscription: Subscription) -> None:
        """A reader does not want its channel any more."""
        self.hub.leave(subscription)

    # -- work --------------------------------------------------------------------------------------------------

    def _work(self, channel: Channel) -> None:
        """Have the channel's task see to it; one that is at work already looks again before it ends."""
        upkeep = self._upkeep.get(channel)
        if upkeep is None:
            return
        if upkeep.task is not None:
            upkeep.again = True
            return
        upkeep.task = spawn(f"channel {channel.name}", self._see_to(channel, upkeep))

    async def _see_to(self, channel: Channel, upkeep: _Upkeep) -> None:
        upkeep.again = False
        try:
            async with self._patience(), self._reads:
                if isinstance(channel, PostChannel):
                    await self._see_to_post(channel, upkeep)
                elif isinstance(channel, UserChannel):
                    await self._see_to_user(channel, upkeep)
        except Damaged as error:
            get_logger().error("a post's history does not fold", channel=channel.name, error=str(error))
            self._give_up(channel, "internal")
        except Unavailable as error:
            if channel.waiting:
                get_logger().warning("channel not available", channel=channel.name, error=str(error))
            self._refuse_waiting(channel, "broker_unavailable")
        finally:
            upkeep.task = None
            upkeep.silent_since_s = self._clock.monotonic_s()
        if upkeep.again or channel.waiting:
            self._work(channel)

    async def _see_to_post(self, channel: PostChannel, upkeep: _Upkeep) -> None:
        joined_before = set(channel.waiting)
        if upkeep.watch is None:
            upkeep.watch = await self._insist(
                lambda: self._tail.watch_post(channel.owner, channel.post, self._on_post(channel, upkeep))
            )
        await self._certain.wait()
        found = True
        verdict = Verdict.DAMAGED if upkeep.anew else await self._repair(channel)
        if verdict is Verdict.DAMAGED:
            found = await self._load(channel, upkeep)
            if found and _readers_ahead(channel):
                verdict = await self._repair(channel)
                if verdict is Verdict.DAMAGED:
                    found = await self._load(channel, upkeep)
        if not found:
            self._give_up(channel, "not_found")
        for subscription in channel.waiting:
            # Who has seen more than there is here waits for the next round: who joined since the log was asked, and
            # everybody where the broker was lost meanwhile, so that what it has was not told to the end.
            asked = subscription in joined_before and verdict is not Verdict.GAP
            if asked or not channel.is_ahead(subscription):
                self._attach(channel, subscription)

    async def _load(self, channel: PostChannel, upkeep: _Upkeep) -> bool:
        """Read the post; readers it already had get a new snapshot. False if there is no such post."""
        upkeep.anew = True
        channel.live.suspend()
        loaded = await self._of_this_log(channel)
        if loaded is None:
            return False
        verdict = self.hub.start(channel, loaded)
        if verdict is Verdict.GAP:
            verdict = await self._repair(channel)
        if verdict is Verdict.DAMAGED:
            raise Damaged("a live message contradicts the log")
        upkeep.anew = False
        return True

    async def _of_this_log(self, channel: PostChannel) -> Loaded | None:
        """The post; one that was read while the broker was being replaced is read once more."""
        while True:
            loaded = await self._insist(lambda: self._history.load(channel.owner, channel.post))
            await self._certain.wait()
            if loaded is None or self._epoch in (None, loaded.epoch):
                return loaded

    async def _repair(self, channel: PostChannel) -> Verdict:
        """Compare with the log and read what is missing; what then still is, the next tail check asks for again."""
        live = channel.live
        outages = self._outages
        for attempt in range(REFILL_TRIES):
            # Who has seen more than this process proves that something is missing: no replica's guess will do then.
            now = _readers_ahead(channel)
            newest = await self._insist(partial(self._history.newest_seq, channel.owner, channel.post, now=now))
            if newest <= live.seq and live.phase is Phase.LIVE:
                if newest < live.seq and await self._insist(self._history.epoch) != live.epoch:
                    get_logger().warning("the log is another one", post=channel.post, before=live.epoch)
                    return Verdict.DAMAGED
                if newest == 0 and not live.snapshot.is_final:
                    # Purged, so it has ended, and this process missed it: the store has the rest.
                    get_logger().info("post has left the log", post=channel.post, seq=live.seq)
                    return Verdict.DAMAGED
                return Verdict.OK
            if attempt:
                await asyncio.sleep(_delay_s(attempt))
            self.hub.counters.repairs += 1
            events = await self._insist(
                lambda: self._history.events_after(channel.owner, channel.post, live.stream_seq)
            )
            if outages != self._outages:
                return Verdict.GAP  # perhaps of another log, which must never be added to this one: compare first
            if self.hub.refill(channel, events) is Verdict.DAMAGED:
                get_logger().warning("post is read anew", post=channel.post, seq=live.seq)
                return Verdict.DAMAGED
        get_logger().warning("events are missing in the log", post=channel.post, seq=live.seq)
        return Verdict.GAP

    async def _see_to_user(self, channel: UserChannel, upkeep: _Upkeep) -> None:
        if upkeep.watch is None:
            upkeep.watch = await self._insist(lambda: self._tail.watch_owner(channel.owner, self._on_user(channel)))
            channel.ready = True
        readers = list(channel.subscriptions) if upkeep.anew else channel.waiting
        joined = any(s.state is State.JOINING for s in readers)
        cursor = channel.ring.head
        items = await self._insist(lambda: self._history.newest_posts(channel.owner))
        for subscription in readers:
            if subscription.channel is channel:
                self.hub.attach_user(channel, subscription, items, cursor)
        # The store follows the log at a small distance: who joined gets the list once more when it has settled.
        upkeep.anew = joined

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer; the patience around it is the bound."""
        attempt = 0
        while True:
            try:
                return await ask()
            except Unavailable as error:
                get_logger().debug("asking again", error=str(error))
            attempt += 1
            await asyncio.sleep(_delay_s(attempt))

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._times.load_timeout_s):
                yield
        except TimeoutError:
            raise Unavailable("no answer in time") from None

    # -- live messages -----------------------------------------------------------------------------------------

    def _on_post(self, channel: PostChannel, upkeep: _Upkeep) -> Callable[[str, bytes, int], None]:
        def on_message(_type: str, payload: bytes, stream_seq: int) -> None:
            upkeep.silent_since_s = self._clock.monotonic_s()
            verdict = self.hub.offer(channel, payload, stream_seq)
            if verdict is Verdict.OK:
                return
            self.hub.counters.gaps += 1
            upkeep.anew = upkeep.anew or verdict is Verdict.DAMAGED
            self._work(channel)

        return on_message

    def _on_user(self, channel: UserChannel) -> Callable[[str, bytes, int], None]:
        def on_message(event_type: str, payload: bytes, _stream_seq: int) -> None:
            known = EVENT_CLASSES.get(event_type)
            self.hub.offer_user(channel, event_type if known is None else known.name, payload)

        return on_message

    # -- time --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tail checks and releases, for as long as the process lives."""
        while True:
            await asyncio.sleep(self._times.sweep_interval_s)
            self.sweep()

    def sweep(self) -> None:
        """One round: compare silent channels with the log, let go of those without readers."""
        now_s = self._clock.monotonic_s()
        for channel, upkeep in list(self._upkeep.items()):
            if channel.subscriptions:
                upkeep.idle_since_s = None
                if now_s - upkeep.silent_since_s >= self._times.silence_s and self._may_have_missed(channel, upkeep):
                    self._work(channel)
            elif upkeep.idle_since_s is None:
                upkeep.idle_since_s = now_s
            elif upkeep.task is None and now_s - upkeep.idle_since_s >= self._times.linger_s:
                self._release(channel)

    @staticmethod
    def _may_have_missed(channel: Channel, upkeep: _Upkeep) -> bool:
        if upkeep.anew or not isinstance(channel, PostChannel):
            return upkeep.anew
        return not channel.live.snapshot.is_final or channel.live.phase is Phase.BUFFERING

    def suspect(self, owner: str | None = None, post: str | None = None) -> None:
        """Messages may have been lost: of this post, of all of this owner, or of everybody."""
        for channel, upkeep in list(self._upkeep.items()):
            if owner not in (None, channel.owner):
                continue
            if isinstance(channel, UserChannel):
                upkeep.anew = True
            elif post is not None and channel.name != f"post:{post}":
                continue
            self._work(channel)

    def disconnected(self) -> None:
        """The broker is away, and what comes back may be another one: keep what it says until that is known."""
        self._outages += 1
        self._certain.clear()
        for channel in channels_of(self.hub):
            channel.live.suspend()

    def reconnected(self) -> None:
        """The broker is back: compare everything with its log. Returns at once; the caller is the broker's client."""
        if self._comparing is None or self._comparing.done():
            self._comparing = self._leftover("compare after reconnect", self._compare())

    async def _compare(self) -> None:
        """If the log is another one, every place in the old one is void. Asks until the log tells which it is."""
        while True:
            outages = self._outages
            epoch = await self._log_epoch()
            if outages == self._outages:  # else this was said by the broker before
                break
        self._epoch = epoch
        for channel in channels_of(self.hub):
            if channel.ready and channel.live.epoch != epoch:
                get_logger().warning("the log is another one", post=channel.post, before=channel.live.epoch, now=epoch)
                self._upkeep[channel].anew = True
        self._certain.set()
        self.suspect()

    async def _log_epoch(self) -> str:
        """Without bound: streams may be provisioned an hour later. Told once; readiness says it all the while."""
        attempt = 0
        while True:
            try:
                return await self._history.epoch()
            except Unavailable as error:
                if attempt == TELL_AFTER_TRIES:
                    get_logger().warning("the log does not tell which one it is; asking on", error=str(error))
            attempt += 1
            await asyncio.sleep(_delay_s(attempt))

    # -- ends --------------------------------------------------------------------------------------------------

    def _refuse_waiting(self, channel: Channel, code: str) -> None:
        for subscription in channel.waiting:
            self._refuse(subscription, code)

    def _give_up(self, channel: Channel, code: str) -> None:
        for subscription in list(channel.subscriptions):
            self._refuse(subscription, code)
        self._release(channel)

    def _release(self, channel: Channel) -> None:
        self.hub.drop_channel(channel)
        upkeep = self._upkeep.pop(channel, None)
        if upkeep is not None and upkeep.watch is not None:
            self._leftover(f"release {channel.name}", upkeep.watch.stop())

    def _leftover(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = spawn(name, work)
        self._leftovers.add(task)
        task.add_done_callback(self._leftovers.discard)
        return task

    async def stop(self) -> None:
        """Let go of everything."""
        tasks = [u.task for u in self._upkeep.values() if u.task is not None]
        await cancel_and_wait(*tasks)
        for channel in list(self._upkeep):
            self._release(channel)
        if self._comparing is not None:
            await cancel_and_wait(self._comparing)
        if self._leftovers:
            await asyncio.wait(self._leftovers, timeout=1)
        await cancel_and_wait(*self._leftovers)


def _readers_ahead(channel: PostChannel) -> bool:
    return any(channel.is_ahead(subscription) for subscription in channel.waiting)


def _delay_s(attempt: int) -> float:
    return float(min(RETRY_FIRST_S * 2 ** min(attempt, 10), RETRY_MAX_S))
