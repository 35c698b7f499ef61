"""Keeps the channels of conversations whole, and lets in their members alone. Awaits ports, does no I/O."""

from collections.abc import Callable, Sequence
from functools import partial

from inkwire_gateway.conversation_channel import ConversationChannel
from inkwire_gateway.live_conversation import ConversationLogEvent, LoadedConversation, complete_after
from inkwire_gateway.live_log import Phase, Verdict
from inkwire_gateway.log_upkeep import LogUpkeep
from inkwire_gateway.ports import ConversationHistory, LiveTail, OnConversation
from inkwire_gateway.presence_channel import PresenceChannel
from inkwire_gateway.subscription import State, Subscription
from inkwire_gateway.upkeep import Desk, Upkeep


class ConversationUpkeep(LogUpkeep[ConversationChannel, LoadedConversation, ConversationLogEvent]):
    """See the module's docstring.

    Args:
        enter: has a reader who is let in follow a part of the conversation, an answer or presence.
    """

    def __init__(
        self,
        desk: Desk,
        tail: LiveTail,
        history: ConversationHistory,
        enter: Callable[[ConversationChannel, Subscription], None],
    ) -> None:
        super().__init__(desk)
        self._tail = tail
        self._history = history
        self._enter = enter

    def attach_at_once(self, channel: ConversationChannel, subscription: Subscription) -> bool:
        """Let a reader in if nothing has to be read for it. Who is no member here may have become one just now."""
        ready = channel.ready and channel.live.phase is Phase.LIVE and channel.lets_in(subscription)
        if not ready or channel.is_ahead(subscription) or channel.reaches_back(subscription):
            return False
        self._let_in(channel, subscription, "memory")
        return True

    async def see_to(self, channel: ConversationChannel, upkeep: Upkeep) -> None:
        """Bring the channel up to date, let in who is a member and refuse the others.

        Raises:
            NotFollowable: there is no such conversation.
            Damaged: an event of it cannot be read.
        """
        joined_before = set(channel.waiting)
        if upkeep.watch is None:
            upkeep.watch = await self._desk.insist(
                lambda: self._tail.watch_conversation(channel.conversation, self._on_message(channel, upkeep))
            )
        await self._desk.certain.wait()
        seq = channel.live.seq
        verdict, source = await self._bring_up_to_date(channel, upkeep)
        quiet = verdict is not Verdict.GAP and channel.live.seq == seq and not channel.waiting
        wanted_s = upkeep.patience_s * 2 if quiet else self._desk.times.silence_s
        upkeep.patience_s = min(wanted_s, self._desk.times.max_silence_s)
        await self._deepen(channel)
        for subscription in channel.each_waiting():
            if subscription in joined_before and verdict is not Verdict.GAP:
                self._decide(channel, subscription, source)
            else:
                self.attach_at_once(channel, subscription)

    def _decide(self, channel: ConversationChannel, subscription: Subscription, source: str) -> None:
        if channel.lets_in(subscription):
            self._let_in(channel, subscription, source)
        else:
            self._desk.refuse(subscription, channel.refusal(subscription))

    def _let_in(self, channel: ConversationChannel, subscription: Subscription, source: str) -> None:
        if subscription.name == channel.name:
            if subscription.position is not None:
                self._desk.hub.counters.resumes[source] += 1
            self._desk.hub.attach(channel, subscription)
        else:
            self._enter(channel, subscription)

    def _known_epoch(self) -> str | None:
        return self._desk.conversation_epoch

    async def _read_whole(self, channel: ConversationChannel) -> LoadedConversation | None:
        resumed = [s.position.seq for s in channel.waiting if s.name == channel.name and s.position is not None]
        return await self._history.load(channel.conversation, since=min(resumed, default=None))

    def _start(self, channel: ConversationChannel, loaded: LoadedConversation) -> Verdict:
        verdict = channel.live.start(loaded)
        self._call_roll(channel)
        self._desk.hub.started(channel)
        return verdict

    async def _newest_seq(self, channel: ConversationChannel) -> int:
        return await self._history.newest_seq(channel.conversation)

    async def _is_void(self, channel: ConversationChannel, newest: int) -> bool:
        """Where the log has less than was read: whether it is another one, or forgot what had not been seen here."""
        live, desk = channel.live, self._desk
        if newest >= live.seq:
            return False
        if await desk.insist(self._history.epoch) != live.epoch:
            return True
        if channel.whole_at != live.seq:
            loaded = await desk.insist(partial(self._history.load, channel.conversation, since=None), load=True)
            if loaded is None or loaded.conversation.seq > live.seq:
                return True
            channel.whole_at = loaded.conversation.seq
        return False

    async def _missing(self, channel: ConversationChannel, newest: int) -> Sequence[ConversationLogEvent]:
        self._desk.hub.counters.repairs += 1
        return await self._history.events_after(channel.conversation, channel.live.seq - 1, newest=newest)

    def _refill(
        self, channel: ConversationChannel, events: Sequence[ConversationLogEvent], seq: int, newest: int
    ) -> Verdict:
        if complete_after(events, seq) > seq:
            return Verdict.DAMAGED  # the log has forgotten some of what is missing; the store has it
        channel.live.refill(events)
        self._settle(channel)
        # A live message that is kept still proves that the log had more, and has forgotten it.
        forgotten = channel.live.phase is not Phase.LIVE and newest <= seq
        return Verdict.DAMAGED if forgotten else Verdict.OK

    async def _deepen(self, channel: ConversationChannel) -> None:
        """Read what the log still has for readers who resume from before the ring, once for all of them."""
        live = channel.live
        wanted = [s.position.seq for s in channel.waiting if s.position is not None and channel.reaches_back(s)]
        if not wanted:
            return
        outages, since, floor = self._desk.outages, min(wanted), channel.ring.floor
        events = await self._desk.insist(
            lambda: self._history.events_after(channel.conversation, since - 1, newest=floor)
        )
        if events and outages == self._desk.outages and floor == channel.ring.floor:
            live.deepen(events, complete_after(events, since))

    def _settle(self, channel: ConversationChannel) -> None:
        """Have readers told what came in, and those turned out who are no members any more."""
        self._call_roll(channel)  # first, so that nobody is told what came after the end of membership
        self._desk.hub.changed(channel)

    def _call_roll(self, channel: ConversationChannel) -> None:
        if channel.roster == channel.live.roster:
            return
        channel.roster = channel.live.roster
        code = "conversation_gone" if channel.live.is_deleted else "not_a_member"
        for part in (channel, *channel.parts):
            for subscription in list(part.subscriptions):
                applies = part is channel and subscription.state is State.JOINING
                if not applies and not channel.lets_in(subscription):
                    self._desk.refuse(subscription, code)
            if isinstance(part, PresenceChannel):
                part.tell(part.attendance.admit(channel.roster))
                self._desk.hub.changed(part)

    def _on_message(self, channel: ConversationChannel, upkeep: Upkeep) -> OnConversation:
        def on_message(payload: bytes, seq: int, prev: int) -> None:
            self._desk.hub.counters.events += 1
            verdict = channel.live.offer(payload, seq, prev)
            upkeep.patience_s = self._desk.times.silence_s
            if channel.live.phase is Phase.LIVE:  # what comes in while something is missing moves nobody on
                upkeep.silent_since_s = self._desk.clock.monotonic_s()
            self._settle(channel)
            if verdict is Verdict.OK:
                return
            self._desk.hub.counters.gaps += 1
            upkeep.anew = upkeep.anew or verdict is Verdict.DAMAGED
            self._desk.work(channel)

        return on_message
