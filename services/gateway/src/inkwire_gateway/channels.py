"""Brings channels to life and lets them go; keepers by kind keep them whole. Awaits ports, does no I/O.

One task per channel at most; everything that readers see happens in the hub, synchronously.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from inkwire_chassis.clock import Clock
from inkwire_chassis.lifecycle import cancel_and_wait, spawn
from inkwire_chassis.logs import get_logger
from inkwire_gateway.announcements import Announcements
from inkwire_gateway.channel import Channel, LogChannel, PostChannel, UserChannel
from inkwire_gateway.conversation_channel import ConversationChannel
from inkwire_gateway.conversation_upkeep import ConversationUpkeep
from inkwire_gateway.hub import Hub, channels_of
from inkwire_gateway.live_log import Phase
from inkwire_gateway.ports import ConversationHistory, Damaged, History, LiveTail, Presence, Unavailable
from inkwire_gateway.post_upkeep import PostUpkeep
from inkwire_gateway.presence_channel import PresenceChannel
from inkwire_gateway.presence_upkeep import PresenceUpkeep
from inkwire_gateway.subscription import Subscription
from inkwire_gateway.upkeep import ChannelTimes, Desk, NotFollowable, Refuse, Upkeep
from inkwire_gateway.user_upkeep import UserUpkeep


@dataclass(frozen=True, slots=True)
class Outside:
    """What channels are made of, outside of this process."""

    tail: LiveTail
    history: History
    conversations: ConversationHistory
    presence: Presence


class Channels:
    """See the module's docstring.

    Args:
        announcements: says to other processes who is here.
        refuse: tells a reader with an error code that its channel cannot be followed, and forgets it.
    """

    def __init__(
        self,
        hub: Hub,
        outside: Outside,
        announcements: Announcements,
        *,
        clock: Clock,
        times: ChannelTimes,
        refuse: Refuse,
    ) -> None:
        self.hub = hub
        self.announcements = announcements
        self._outside = outside
        self._clock = clock
        self._times = times
        self._refuse = refuse
        self._desk = Desk(hub, clock=clock, times=times, refuse=refuse, work=self._work, compare=self._compared)
        self._posts = PostUpkeep(self._desk, outside.tail, outside.history)
        self._users = UserUpkeep(self._desk, outside.tail, outside.history)
        self._conversations = ConversationUpkeep(self._desk, outside.tail, outside.conversations, self._enter_part)
        self._presence = PresenceUpkeep(self._desk, outside.tail, outside.presence, announcements)
        self._upkeep: dict[Channel, Upkeep] = {}
        self._comparing: asyncio.Task[None] | None = None
        self._leftovers: set[asyncio.Task[None]] = set()

    # -- readers -----------------------------------------------------------------------------------------------

    def join(self, owner: str, subscription: Subscription) -> None:
        """Let a reader follow ``subscription.name``; answers come through the hub or through ``refuse``.

        Who asks for a part of a conversation waits at the conversation first.
        """
        kind, _, name = subscription.name.partition(":")
        if kind == "post":
            self._enter(self.hub.post_channel(owner, name), subscription)
        elif kind == "user":
            self._enter(self.hub.user_channel(owner), subscription)
        else:
            self._enter(self.hub.conversation_channel(name.partition(":")[0]), subscription)

    def _enter_part(self, home: ConversationChannel, subscription: Subscription) -> None:
        kind, _, name = subscription.name.partition(":")
        if kind == "reply":
            self._enter(self.hub.reply_channel(home, name.partition(":")[2]), subscription)
        else:
            self._enter(self._presence.open(home), subscription)

    def _enter(self, channel: Channel, subscription: Subscription) -> None:
        now_s = self._clock.monotonic_s()
        upkeep = self._upkeep.setdefault(channel, Upkeep(now_s, self._times.silence_s))
        upkeep.idle_since_s = None
        self.hub.join(channel, subscription)
        at_once = self._attach_at_once(channel, subscription)
        if subscription.name == channel.name:  # a conversation on the way to one of its parts is no join of its own
            self.hub.counters.joins_from_memory += at_once
            self.hub.counters.joins_loaded += not at_once
        if not at_once:
            self._work(channel)

    def _attach_at_once(self, channel: Channel, subscription: Subscription) -> bool:
        if isinstance(channel, PostChannel):
            return self._posts.attach_at_once(channel, subscription)
        if isinstance(channel, ConversationChannel):
            return self._conversations.attach_at_once(channel, subscription)
        if isinstance(channel, PresenceChannel):
            return self._presence.attach_at_once(channel, subscription)
        return False

    def leave(self, subscription: Subscription) -> None:
        """A reader does not want its channel any more."""
        self.hub.leave(subscription)

    def whisper(self, subscription: Subscription, name: str, data: bytes) -> bool:
        """Tell the others of a presence channel; False if the reader is not there (yet)."""
        return self._presence.whisper(subscription, name, data)

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

    async def _see_to(self, channel: Channel, upkeep: Upkeep) -> None:
        upkeep.again = False
        try:
            async with self._desk.patience():
                await self._see_to_kind(channel, upkeep)
            channel.stalled = isinstance(channel, LogChannel) and channel.live.phase is Phase.BUFFERING
        except NotFollowable as error:
            self._give_up(channel, error.code)
        except Damaged as error:
            get_logger().error("a history does not fold", channel=channel.name, error=str(error))
            self._give_up(channel, "internal")
        except Unavailable as error:
            if channel.waiting:
                get_logger().warning("channel not available", channel=channel.name, error=str(error))
            self._refuse_waiting(channel, "broker_unavailable")
            channel.stalled = channel.ready
        finally:
            upkeep.task = None
            upkeep.silent_since_s = self._clock.monotonic_s()
        if upkeep.again or channel.waiting:
            self._work(channel)

    async def _see_to_kind(self, channel: Channel, upkeep: Upkeep) -> None:
        if isinstance(channel, PostChannel):
            await self._posts.see_to(channel, upkeep)
        elif isinstance(channel, UserChannel):
            await self._users.see_to(channel, upkeep)
        elif isinstance(channel, ConversationChannel):
            await self._conversations.see_to(channel, upkeep)
        elif isinstance(channel, PresenceChannel):
            await self._presence.see_to(channel, upkeep)

    # -- time --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tail checks and releases, for as long as the process lives."""
        while True:
            await asyncio.sleep(self._times.sweep_interval_s)
            self.sweep()

    def sweep(self) -> None:
        """One round: compare silent channels with the log, let go of those without readers."""
        now_s = self._clock.monotonic_s()
        self._presence.sweep()
        for channel, upkeep in list(self._upkeep.items()):
            if channel.in_use:
                upkeep.idle_since_s = None
                silent = upkeep.task is None and now_s - upkeep.silent_since_s >= upkeep.patience_s
                if silent and self._may_have_missed(channel, upkeep):
                    self._work(channel)
            elif upkeep.idle_since_s is None:
                upkeep.idle_since_s = now_s
            elif upkeep.task is None and now_s - upkeep.idle_since_s >= self._times.linger_s:
                self._release(channel)

    def _may_have_missed(self, channel: Channel, upkeep: Upkeep) -> bool:
        if isinstance(channel, PostChannel):
            return bool(channel.subscriptions) and self._posts.may_have_missed(channel, upkeep)
        return upkeep.anew or isinstance(channel, ConversationChannel)

    def suspect(self, owner: str | None = None, post: str | None = None) -> None:
        """Messages may have been lost: of this post, of all of this owner, or of everybody. Who is read goes first."""
        for channel, upkeep in sorted(self._upkeep.items(), key=lambda item: not item[0].in_use):
            if owner not in (None, channel.owner):
                continue
            if isinstance(channel, UserChannel | PresenceChannel):
                upkeep.anew = True
            elif post is not None and not (isinstance(channel, PostChannel) and channel.post == post):
                continue
            self._work(channel)

    def suspect_conversation(self, conversation: str) -> None:
        """Messages may have been lost of this conversation, or of who is there."""
        for channel, upkeep in list(self._upkeep.items()):
            if isinstance(channel, ConversationChannel | PresenceChannel) and channel.conversation == conversation:
                upkeep.anew = upkeep.anew or isinstance(channel, PresenceChannel)
                self._work(channel)

    def disconnected(self) -> None:
        """The broker is away, and what comes back may be another one: keep what it says until that is known."""
        self._desk.outages += 1
        self._desk.certain.clear()
        for post in channels_of(self.hub, PostChannel):
            post.live.suspend()
        for conversation in channels_of(self.hub, ConversationChannel):
            conversation.live.suspend()

    def reconnected(self) -> None:
        """The broker is back: compare everything with its log. Returns at once; the caller is the broker's client."""
        self._desk.certain.clear()
        self._begin_to_compare()

    def _begin_to_compare(self) -> asyncio.Task[None]:
        if self._comparing is None or self._comparing.done():
            self._comparing = self._leftover("compare with the logs", self._compare())
        return self._comparing

    async def _compared(self) -> None:
        """Find out whether the logs are others although no broker was lost."""
        await asyncio.wait({self._begin_to_compare()})

    async def _compare(self) -> None:
        """If a log is another one, every place in the old one is void. Asks until the logs tell which they are."""
        desk = self._desk
        while True:
            outages = desk.outages
            post_epoch = await desk.insist_for_ever(self._outside.history.epoch, "the log")
            conversation_epoch = await desk.insist_for_ever(
                self._outside.conversations.epoch, "the log of conversations"
            )
            if outages == desk.outages:  # else this was said by the broker before
                break
        if desk.certain.is_set():
            if (desk.post_epoch, desk.conversation_epoch) == (post_epoch, conversation_epoch):
                return
            desk.outages += 1  # what is being read for a repair may be of either log
        desk.post_epoch, desk.conversation_epoch = post_epoch, conversation_epoch
        for post in channels_of(self.hub, PostChannel):
            if self._posts.of_another_log(post):
                self._upkeep[post].anew = True
        for conversation in channels_of(self.hub, ConversationChannel):
            if self._conversations.of_another_log(conversation):
                self._upkeep[conversation].anew = True
        desk.certain.set()
        self._presence.reconnected()
        self.suspect()

    # -- ends --------------------------------------------------------------------------------------------------

    def _refuse_waiting(self, channel: Channel, code: str) -> None:
        for subscription in channel.waiting:
            self._refuse(subscription, code)

    def _give_up(self, channel: Channel, code: str) -> None:
        for part in list(channel.parts) if isinstance(channel, ConversationChannel) else []:
            self._give_up(part, code)
        for subscription in list(channel.subscriptions):
            self._refuse(subscription, code)
        self._release(channel)

    def _release(self, channel: Channel) -> None:
        self.hub.drop_channel(channel)
        upkeep = self._upkeep.pop(channel, None)
        if upkeep is None:
            return
        if upkeep.task is not None and upkeep.task is not asyncio.current_task():
            upkeep.task.cancel()  # of a part that ends with its conversation: it must not fill what is forgotten
            self._hold(upkeep.task)
        if upkeep.watch is not None:
            self._leftover(f"release {channel.name}", upkeep.watch.stop())

    def _leftover(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._hold(spawn(name, work))

    def _hold(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
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
