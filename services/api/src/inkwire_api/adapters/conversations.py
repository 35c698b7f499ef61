"""Conversations' log and store behind the port."""

from inkwire_api.adapters.log import INFO_MAX_AGE_S, asking, folding
from inkwire_api.ports import FoldedConversation, Newer, NoRoom
from inkwire_chassis.clock import Clock
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.jetstream import StreamFull, WrongLastSequence
from inkwire_contracts.conversations import ConversationEvent
from inkwire_stores.conversation_ports import ConversationStore
from inkwire_stores.conversation_reading import ConversationReader


class JetStreamConversations:
    """See :class:`inkwire_api.ports.ConversationLog`."""

    def __init__(self, log: ConversationLog, store: ConversationStore, clock: Clock) -> None:
        self._log = log
        self._reader = ConversationReader(log, store)
        self._clock = clock
        self._fill: tuple[float, float] | None = None

    async def read(self, conversation: str) -> FoldedConversation | None:
        with asking(), folding():
            newest_seq = await self._log.newest_seq(conversation)
            found = await self._reader.read(conversation)
        return None if found is None else FoldedConversation(found.conversation, found.epoch, newest_seq)

    async def publish(self, event: ConversationEvent, *, after: int | None = None) -> int:
        with asking():
            try:
                return await self._log.publish(event, after=after)
            except WrongLastSequence as error:
                raise Newer(str(error)) from None
            except StreamFull as error:
                raise NoRoom(str(error)) from None

    async def fill_ratio(self) -> float:
        now_s = self._clock.monotonic_s()
        if self._fill is None or now_s - self._fill[1] >= INFO_MAX_AGE_S:
            with asking():
                self._fill = (await self._log.fill_ratio(), now_s)
        return self._fill[0]
