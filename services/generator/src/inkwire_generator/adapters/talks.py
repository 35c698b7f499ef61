"""Conversations and the posts of their answers, read from store and log."""

from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog, LogDamaged
from inkwire_contracts.conversations import Conversation, ConversationEvent
from inkwire_contracts.fold import Snapshot
from inkwire_stores import Store
from inkwire_stores.conversation_reading import ConversationReader
from inkwire_stores.ports import StoreUnavailable

SETTLED = frozenset({"published", "deleted"})
"""After these no run follows: what the store has of such a post is all there is."""


class StoredTalks:
    """See :class:`inkwire_generator.ports.Talks`."""

    def __init__(self, log: ConversationLog, events: EventLog, store: Store) -> None:
        self._log = log
        self._events = events
        self._store = store
        self._reader = ConversationReader(log, store.conversations)

    async def read(self, conversation: str) -> Conversation | None:
        read = await self._reader.read(conversation)
        return None if read is None else read.conversation

    async def publish(self, event: ConversationEvent) -> None:
        await self._log.publish(event)

    async def post(self, owner: str, post: str) -> Snapshot | None:
        away: StoreUnavailable | None = None
        known: Snapshot | None = None
        try:
            stored = await self._store.get(post)
            known = stored.snapshot if stored is not None else None
        except StoreUnavailable as error:
            away = error
        if known is not None and known.status in SETTLED:
            return known
        try:
            logged = (await self._events.history(owner, post)).snapshot
        except LogDamaged:  # its beginning was purged: then the store has it, if anybody has
            logged = Snapshot(post=post)
        if logged.seq == 0 and away is not None:
            raise away
        if known is not None and known.seq >= logged.seq:
            return known
        return logged if logged.seq else None
