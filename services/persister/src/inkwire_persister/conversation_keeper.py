"""Brings one conversation in the store up to its log. Sees ports only; how to decide is in conversations.py."""

from collections.abc import Sequence

from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.logs import get_logger
from inkwire_persister.conversations import Headless, Held, Keep, Placed, SetBack, carry_on, join, read_after
from inkwire_persister.counters import Counters
from inkwire_persister.keeper import TRIES, Contended, HistoryLost
from inkwire_persister.ports import ConversationEvents
from inkwire_stores.conversation_ports import ConversationStore, StoredConversation


class ConversationKeeper:
    """Stores conversations by their events, exactly once each, whoever else does the same at the same time."""

    def __init__(self, store: ConversationStore, log: ConversationEvents, counters: Counters, clock: Clock) -> None:
        self._store = store
        self._log = log
        self._counters = counters
        self._clock = clock

    async def keep(self, deliveries: Sequence[Placed], epoch: str) -> None:
        """Store what events of one conversation say; when this returns, they are on disk and may be acknowledged.

        Raises:
            StoreUnavailable: the store did not answer.
            LogUnavailable: the log did not answer, or has not caught up.
            ConversationTooLarge: the conversation is beyond the store's bound.
            Contended: other writers were faster again and again.
            HistoryLost: neither store nor log know how the conversation began.
        """
        conversation = deliveries[0].event.conversation
        newest = max(placed.seq for placed in deliveries)
        for _ in range(TRIES):
            stored = await self._store.get(conversation)
            match await self._decide(stored, conversation, newest, epoch):
                case Held():
                    break
                case Headless():
                    self._counters.lost_conversations += 1
                    raise HistoryLost(f"conversation {conversation}: its beginning is gone")
                case Keep() as verdict:
                    if await self._store.put(verdict.stored, expected=verdict.expected):
                        self._counters.conversations_written += 1
                        self._tell(verdict)
                        break
        else:
            raise Contended(f"conversation {conversation} was written by others {TRIES} times")
        self._counters.conversation_events_stored += len(deliveries)

    async def _decide(
        self, stored: StoredConversation | None, conversation: str, newest: int, epoch: str
    ) -> Keep | Held | Headless:
        after = read_after(stored, epoch)
        events = await self._log.events(conversation, after=after, at_least=max(newest, after + 1))
        now = rfc3339(self._clock.now())
        if stored is not None and stored.epoch != epoch:
            get_logger().warning("the log is another one; a conversation goes on in it", conversation=conversation)
        verdict = carry_on(stored, events, epoch, now)
        if not isinstance(verdict, SetBack):
            return verdict
        get_logger().error(
            "the log lacks what was stored last; what it has now comes after all that is stored",
            conversation=conversation,
            seq=after + 1,
        )
        return join(stored, await self._log.events(conversation, after=0, at_least=newest), epoch, now)

    def _tell(self, verdict: Keep) -> None:
        folded = verdict.stored.conversation
        words = {"conversation": folded.conversation, "seq": folded.seq, "status": folded.status}
        get_logger().debug("conversation stored", events=verdict.events, **words)
