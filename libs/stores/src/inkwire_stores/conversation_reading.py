"""A conversation as it stands: what the store holds, and what the log has beyond it."""

from dataclasses import dataclass

from inkwire_chassis.conversation_log import ConversationLog, StoredConversationEvent, fold_stored
from inkwire_contracts.conversations import Conversation
from inkwire_stores.conversation_ports import HoldsConversations
from inkwire_stores.ports import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Read:
    """A conversation folded to its end, the log's epoch, and the events that came from the log (oldest first)."""

    conversation: Conversation
    epoch: str
    events: tuple[StoredConversationEvent, ...]


class ConversationReader:
    """Reads conversations for every service."""

    def __init__(self, log: ConversationLog, store: HoldsConversations) -> None:
        self._log = log
        self._store = store

    async def read(self, conversation: str) -> Read | None:
        """The conversation up to the newest event that the log's leader had when asked; ``None`` if there is none.

        Where the store is away the log alone answers, if it holds the conversation's beginning.

        Raises:
            BrokerError: the log did not answer.
            StoreUnavailable: the store did not, and the log alone does not tell.
        """
        epoch = await self._log.epoch()
        newest = await self._log.newest_seq(conversation)
        try:
            stored = await self._store.get(conversation)
        except StoreUnavailable:
            return await self._from_log(conversation, epoch, newest)
        base = Conversation(conversation=conversation) if stored is None else stored.conversation
        if stored is not None and stored.epoch != epoch:
            base.begin_anew()
        events = await self._events(conversation, base.seq, newest)
        if stored is None and not events:
            return None
        return Read(fold_stored(base, events), epoch, tuple(events))

    async def _from_log(self, conversation: str, epoch: str, newest: int) -> Read | None:
        events = await self._events(conversation, 0, newest)
        folded = fold_stored(Conversation(conversation=conversation), events)
        if folded.status == "unknown":
            raise StoreUnavailable("the store is away, and the log does not hold the conversation's beginning")
        return Read(folded, epoch, tuple(events))

    async def _events(self, conversation: str, after: int, newest: int) -> list[StoredConversationEvent]:
        """A replica that lags is asked again by the caller's own retries: it is never taken for the end."""
        return await self._log.read_up_to(conversation, after=after, newest=newest) if newest > after else []
