"""The CONVERSATIONS stream as the persister needs it."""

from collections.abc import Sequence

from inkwire_chassis.conversation_log import ConversationLog
from inkwire_persister.adapters.broker import asking
from inkwire_persister.conversations import Placed
from inkwire_persister.ports import Fill


class ConversationsLog:
    """See :class:`inkwire_persister.ports.ConversationEvents` and ``ConversationPurge``."""

    def __init__(self, log: ConversationLog) -> None:
        self._log = log

    async def epoch(self) -> str:
        """See :class:`inkwire_persister.ports.ConversationEvents`."""
        with asking():
            return await self._log.epoch()

    async def events(self, conversation: str, *, after: int, at_least: int) -> Sequence[Placed]:
        """See :class:`inkwire_persister.ports.ConversationEvents`."""
        with asking():
            found = await self._log.read_up_to(conversation, after=after, newest=at_least)
        return [Placed(stored.event, stored.seq) for stored in found]

    async def fill(self) -> Fill:
        """See :class:`inkwire_persister.ports.ConversationPurge`."""
        with asking():
            return Fill(await self._log.epoch(), await self._log.fill_ratio())

    async def purge(self, conversation: str, *, up_to: int) -> int:
        """See :class:`inkwire_persister.ports.ConversationPurge`."""
        with asking():
            return await self._log.purge(conversation, up_to=up_to)
