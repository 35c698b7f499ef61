"""What was stored of conversations: their log, and the store behind it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from inkwire_chassis.conversation_log import ConversationLog, StoredConversationEvent
from inkwire_chassis.jetstream import BrokerError
from inkwire_gateway.adapters.store_time import in_time
from inkwire_gateway.live_conversation import ConversationLogEvent, LoadedConversation, complete_after
from inkwire_gateway.ports import Damaged, Unavailable
from inkwire_stores.conversation_ports import HoldsConversations, StoredConversation
from inkwire_stores.conversation_reading import ConversationReader
from inkwire_stores.ports import StoreUnavailable


class _InTime:
    """A store that is not waited for longer than for posts."""

    def __init__(self, store: HoldsConversations) -> None:
        self._store = store

    async def get(self, conversation: str) -> StoredConversation | None:
        return await in_time(self._store.get(conversation))


class LogConversations:
    """See :class:`inkwire_gateway.ports.ConversationHistory`."""

    def __init__(self, log: ConversationLog, store: HoldsConversations) -> None:
        self._log = log
        self._reader = ConversationReader(log, _InTime(store))

    async def epoch(self) -> str:
        async with _translated():
            return await self._log.epoch()

    async def newest_seq(self, conversation: str) -> int:
        async with _translated():
            return await self._log.newest_seq(conversation)

    async def events_after(self, conversation: str, seq: int, *, newest: int) -> Sequence[ConversationLogEvent]:
        async with _translated():
            events = await self._log.read_up_to(conversation, after=max(0, seq), newest=newest)
            return [_log_event(stored) for stored in events]

    async def load(self, conversation: str, *, since: int | None) -> LoadedConversation | None:
        async with _translated():
            read = await self._reader.read(conversation)
            if read is None or read.conversation.status == "unknown":
                return None
            seq = read.conversation.seq
            if since is None:
                recent = [_log_event(stored) for stored in read.events]
                after = complete_after(recent, recent[0].seq) if recent else seq
                return LoadedConversation(read.conversation, read.epoch, recent, after)
            events = await self._log.read_up_to(conversation, after=max(0, since - 1), newest=min(since, seq))
            recent = [_log_event(stored) for stored in events if stored.seq <= seq]
            after = complete_after(recent, since) if recent else seq
            return LoadedConversation(read.conversation, read.epoch, recent, after)

    async def message_of(self, conversation: str, post: str) -> str | None:
        async with _translated():
            read = await self._reader.read(conversation)
            found = [m.message for m in read.conversation.messages if m.post == post] if read is not None else []
            return found[0] if found else None


def _log_event(stored: StoredConversationEvent) -> ConversationLogEvent:
    return ConversationLogEvent(stored.event, stored.raw, stored.seq)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Errors of broker and store stop here."""
    try:
        yield
    except (BrokerError, StoreUnavailable) as error:
        raise Unavailable(str(error)) from None
    except (ValueError, TypeError) as error:
        raise Damaged(f"an event of a conversation cannot be read: {type(error).__name__}") from None
