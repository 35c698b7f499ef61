"""Conversations as those who take part reach them: read up to the newest event, written event by event."""

from inkwire_api.asking import answered
from inkwire_api.conversations import require_channel, require_member
from inkwire_api.ports import ConversationLog, Damaged, FoldedConversation, NoRoom
from inkwire_api.posts import LOG_FULL_RATIO, LOG_FULL_RETRY_AFTER_S
from inkwire_api.rate_limit import RateLimiter
from inkwire_chassis.auth import Principal
from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import get_logger
from inkwire_contracts.conversations import ConversationEvent
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id


class ConversationAccess:
    """What every request to a conversation begins and ends with. Whoever is no member finds none."""

    def __init__(self, *, log: ConversationLog, limiter: RateLimiter, clock: Clock) -> None:
        self._log = log
        self._limiter = limiter
        self._clock = clock

    def count_request(self, caller: Principal) -> None:
        """Count one change by a caller, in whatever conversation.

        Raises:
            InkwireError: ``rate_limited``.
        """
        self._limiter.take(caller.owner, self._clock.monotonic_s())

    async def require_room(self) -> None:
        """Refuse changes while the log is nearly full, before anything is begun.

        Raises:
            InkwireError: ``log_full`` or ``broker_unavailable``.
        """
        if await answered(self._log.fill_ratio) >= LOG_FULL_RATIO:
            raise InkwireError("log_full", retry_after_s=LOG_FULL_RETRY_AFTER_S)

    async def of_member(self, caller: Principal, conversation: str, scope: str = "post:read") -> FoldedConversation:
        """The conversation, for a member whose token has the scope and names the conversation, if it names any.

        Raises:
            InkwireError: ``forbidden``, ``forbidden_channel``, ``not_found``, ``conversation_gone``, ``corrupt`` or
                ``broker_unavailable``.
            StoreUnavailable: the log alone does not tell.
        """
        caller.require(scope)
        require_channel(caller, conversation)
        found = await self.find(conversation)
        require_member(None if found is None else found.conversation, caller.owner)
        assert found is not None  # noqa: S101 - a member found it
        return found

    async def find(self, conversation: str) -> FoldedConversation | None:
        """The conversation, whoever asks.

        Raises:
            InkwireError: ``corrupt`` or ``broker_unavailable``.
            StoreUnavailable: the log alone does not tell.
        """
        if not is_id(conversation):
            return None
        try:
            return await answered(lambda: self._log.read(conversation))
        except Damaged as error:
            get_logger().error("a conversation cannot be read", conversation=conversation, error=str(error))
            raise InkwireError("corrupt") from None

    async def write(self, event: ConversationEvent, *, after: int | None = None) -> int:
        """Store an event, once for its id; returns its sequence.

        Raises:
            InkwireError: ``log_full`` or ``broker_unavailable``.
            Newer: ``after`` did not hold, or ``created`` and the conversation exists.
        """
        try:
            return await answered(lambda: self._log.publish(event, after=after))
        except NoRoom:
            raise InkwireError("log_full", retry_after_s=LOG_FULL_RETRY_AFTER_S) from None
