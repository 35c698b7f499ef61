"""Takes out of the conversations' log what the store has and is old enough, and leaves each one's newest event there.

Sees ports only; how far to cut is in conversations.py. First events go, then the store notes the next cut: a crash
between the two repeats a purge of nothing.
"""

from datetime import timedelta

from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.logs import get_logger
from inkwire_persister.conversations import trim
from inkwire_persister.counters import Counters
from inkwire_persister.janitor import Limits
from inkwire_persister.ports import ConversationPurge, Fill, LogUnavailable
from inkwire_stores.conversation_ports import ConversationStore, Cut
from inkwire_stores.ports import StoreUnavailable

PAGE = 100
ROUND_PAGES = 20
"""Pages of conversations that one round trims at most; the next goes on with what is due then."""
MIN_AGE_S = 10.0
"""Events stay in the log for so long in any case: a reader that has just read the store reads on from there."""


class ConversationJanitor:
    """Call :meth:`round` again and again."""

    def __init__(
        self, store: ConversationStore, log: ConversationPurge, counters: Counters, clock: Clock, limits: Limits
    ) -> None:
        self._store = store
        self._log = log
        self._counters = counters
        self._clock = clock
        self._limits = limits
        self._pressed = False

    async def round(self) -> bool:
        """Trim what is due, the oldest cuts first. True if the next round should not wait long."""
        try:
            fill = await self._log.fill()
            return await self._round(fill.epoch, self._due(fill)) or self._pressed
        except (StoreUnavailable, LogUnavailable) as error:
            get_logger().warning("no conversation trimmed: try again later", error=f"{type(error).__name__}: {error}")
            return False

    def _due(self, fill: Fill) -> str:
        """Cuts from before this time are due."""
        limits = self._limits
        pressed = fill.ratio >= limits.pressure_ratio
        if pressed != self._pressed:
            self._pressed = pressed
            tell = get_logger().warning if pressed else get_logger().info
            words = "the conversations' log is filling" if pressed else "the conversations' log has room again"
            tell(words, fill_percent=round(fill.ratio * 100))
        age_s = min(limits.pressed_after_s, limits.after_s) if pressed else limits.after_s
        return rfc3339(self._clock.now() - timedelta(seconds=max(age_s, MIN_AGE_S)))

    async def _round(self, epoch: str, before: str) -> bool:
        after: tuple[str, str] | None = None
        for _ in range(ROUND_PAGES):
            page = await self._store.due_cuts(epoch=epoch, before=before, limit=PAGE, after=after)
            for cut in page:
                await self._trim(cut, epoch)
                after = (cut.cut_at, cut.conversation)
            if len(page) < PAGE:
                return False
        return True

    async def _trim(self, cut: Cut, epoch: str) -> None:
        decided = trim(cut, rfc3339(self._clock.now()))
        if decided.up_to > 0:
            events = await self._log.purge(cut.conversation, up_to=decided.up_to)
            self._counters.purged_conversation_events += events
            get_logger().info("conversation trimmed in the log", conversation=cut.conversation, events=events)
        # Where it has moved on meanwhile, the cut stays due.
        await self._store.move_cut(
            cut.conversation, expected=(epoch, cut.seq), cut_seq=decided.cut_seq, cut_at=decided.cut_at
        )
