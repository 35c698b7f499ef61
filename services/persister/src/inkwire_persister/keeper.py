"""Brings one post in the store up to its key events. Sees ports only; how to decide is in projector.py."""

from collections.abc import Sequence

from inkwire_chassis.logs import get_logger
from inkwire_persister.counters import Counters
from inkwire_persister.intake import Delivery
from inkwire_persister.ports import Log, LogUnreadable
from inkwire_persister.projector import Apply, Behind, Duplicate, Lost, Reason, Refold, project, refold
from inkwire_stores.ports import PostStore, StoredPost

TRIES = 10
"""How often one post is decided anew because another persister was faster."""


class Contended(Exception):
    """Others were faster TRIES times in a row; ask again later."""


class HistoryLost(Exception):
    """These events cannot be stored, now or later: what stood before them is gone."""


class Keeper:
    """Stores posts by their key events, exactly once each, whoever else does the same at the same time."""

    def __init__(self, store: PostStore, log: Log, counters: Counters) -> None:
        self._store = store
        self._log = log
        self._counters = counters

    async def keep(self, deliveries: Sequence[Delivery], epoch: str) -> None:
        """Store what key events of one post say; when this returns, they are on disk and may be acknowledged.

        Raises:
            StoreUnavailable: the store did not answer.
            LogUnavailable: the log did not answer, or has not caught up.
            PostTooLarge: the post is beyond the store's bound.
            Contended: other writers were faster again and again.
            HistoryLost: neither store nor log know what stood before these events.
        """
        event = deliveries[0].event
        for _ in range(TRIES):
            stored = await self._store.get(event.post)
            verdict = await self._decide(stored, deliveries, epoch)
            match verdict:
                case Duplicate():
                    if stored is not None and stored.purged:
                        # Late copies of what was purged: let the janitor come once more.
                        await self._store.mark_purge(event.post, seq=stored.snapshot.seq, done=False)
                    break
                case Lost():
                    self._counters.lost_posts += 1
                    raise HistoryLost(f"post {event.post}: {verdict.reason}")
                case Apply():
                    if await self._store.put(verdict.stored, expected_seq=verdict.expected_seq):
                        self._tell(stored, verdict.stored)
                        break
        else:
            raise Contended(f"post {event.post} was written by others {TRIES} times")
        self._counters.events_stored += len(deliveries)

    async def _decide(
        self, stored: StoredPost | None, deliveries: Sequence[Delivery], epoch: str
    ) -> Apply | Duplicate | Lost:
        verdict = project(stored, deliveries, epoch)
        if isinstance(verdict, Behind):
            self._counters.gap_reads += 1
            missing = await self._read(deliveries, verdict.after_stream_seq)
            verdict = project(stored, missing, epoch) if missing else Refold("unreadable")
            if isinstance(verdict, Behind):
                return await self._refold(stored, deliveries, epoch, "gap")
        if isinstance(verdict, Refold):
            return await self._refold(stored, deliveries, epoch, verdict.reason)
        return verdict

    async def _refold(
        self, stored: StoredPost | None, deliveries: Sequence[Delivery], epoch: str, reason: Reason
    ) -> Apply | Duplicate | Lost:
        self._counters.refolds += 1
        event = deliveries[0].event
        get_logger().warning("folding again from the log", post=event.post, seq=event.seq, reason=reason)
        history = await self._read(deliveries, 0)
        return refold(stored, history if history else deliveries, epoch, reason if history else "unreadable")

    async def _read(self, deliveries: Sequence[Delivery], after: int) -> Sequence[Delivery]:
        """Key events from the log; none if it holds something that is no event."""
        event = deliveries[0].event
        at_least = max(delivery.stream_seq for delivery in deliveries)
        try:
            return await self._log.key_events(event.owner, event.post, after=after, at_least=at_least)
        except LogUnreadable as error:
            get_logger().error("the log cannot be read", post=event.post, seq=event.seq, error=str(error))
            return ()

    def _tell(self, before: StoredPost | None, now: StoredPost) -> None:
        self._counters.posts_written += 1
        snapshot = now.snapshot
        words = {"post": snapshot.post, "attempt": snapshot.attempt, "seq": snapshot.seq, "status": snapshot.status}
        if now.corrupt:
            if before is None or not before.corrupt:
                self._counters.corrupt_posts += 1
            get_logger().error("post is corrupt: its log does not prove its text", sha256=snapshot.sha256, **words)
        elif snapshot.is_final:
            get_logger().info("post stored", **words)
        else:
            get_logger().debug("post stored", **words)
