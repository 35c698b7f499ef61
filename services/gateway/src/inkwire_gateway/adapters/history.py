"""What was stored before: the log, and the store for posts that have ended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from inkwire_chassis import log_parts
from inkwire_chassis.event_log import EventLog, LogDamaged, StoredEvent
from inkwire_chassis.jetstream import BrokerError, Stored
from inkwire_chassis.log_parts import Parts
from inkwire_chassis.logs import get_logger
from inkwire_contracts.events import TERMINAL_TYPES, parse_event
from inkwire_contracts.fold import Outcome, Snapshot
from inkwire_gateway.adapters.store_time import in_time
from inkwire_gateway.backlog import Backlog
from inkwire_gateway.live_post import Loaded, LogEvent
from inkwire_gateway.ports import Damaged, Unavailable
from inkwire_stores.ports import PostStore, StoredPost, StoreUnavailable

NEWEST_POSTS = 50
LOAD_TRIES = 10
"""Reads that may find the log in the middle of a purge or a replica behind; then the history counts as damaged."""

RETRY_S = 0.05
READS_COUNT = 16
"""Histories read at the same time: the broker looks through all that was stored between a post's first event and its
last, and a read that it has no time for is given up after two seconds, and was for nothing."""
SLICE_EVENTS = 500
"""Folded in one go: one or two milliseconds."""

_ASK_STORE = TERMINAL_TYPES | {"requested"}
"""Newest events at which the store is asked first: it may have all; after a purge a late copy of ``requested`` alone
says nothing."""


class LogHistory:
    """Reads the log, and where a post has ended (or the log forgot it) the store.

    Args:
        recent_events: how many of the newest events come with a loaded post.
    """

    def __init__(self, log: EventLog, store: PostStore, *, recent_events: int) -> None:
        self._log = log
        self._store = store
        self._recent_events = recent_events
        self._reads = asyncio.Semaphore(READS_COUNT)

    async def epoch(self) -> str:
        async with _translated():
            return await self._log.epoch()

    async def newest_seq(self, owner: str, post: str, *, now: bool) -> int:
        async with _translated():
            newest = await (self._log.newest_now(owner, post) if now else self._log.newest(owner, post))
            return 0 if newest is None else newest.event.seq

    async def events_after(self, owner: str, post: str, stream_seq: int) -> Sequence[LogEvent]:
        async with _translated():
            return [_log_event(e) for e in await self._log.read(owner, post, after_stream_seq=stream_seq)]

    async def newest_posts(self, owner: str) -> list[dict[str, Any]]:
        async with _translated():
            found = await in_time(self._store.list_posts(owner, limit=NEWEST_POSTS))
            return [summary.model_dump(mode="json") for summary in found]

    async def is_reply(self, owner: str, post: str) -> bool:
        async with _translated():
            requested = await self._log.latest_request(owner, post)
            if requested is not None:
                return requested.data.turn is not None
            stored = await self._stored(owner, post, needed=True)
            return stored is not None and stored.snapshot.turn is not None

    async def load(self, owner: str, post: str) -> Loaded | None:
        async with _translated():
            epoch = await self._log.epoch()
            for _ in range(LOAD_TRIES):
                newest = await self._log.newest(owner, post)
                if newest is not None and newest.event.type == "deleted":
                    return _deleted(newest, epoch)
                if newest is None or newest.event.type in _ASK_STORE:
                    stored = await self._stored(owner, post, needed=newest is None)
                    if stored is not None and _is_current(stored, newest, epoch):
                        stream_seq = stored.stream_seq if stored.epoch == epoch else 0
                        return Loaded(stored.snapshot, stream_seq, epoch, source="store")
                if newest is None:
                    return None
                async with self._reads:
                    loaded = await self._from_log(owner, post, newest.event.seq, epoch)
                if loaded is not None:
                    return loaded
                await asyncio.sleep(RETRY_S)
            raise Damaged(f"post {post} does not fold up to its newest event")

    async def _stored(self, owner: str, post: str, *, needed: bool) -> StoredPost | None:
        """The owner's post in the store. Where the log has it too, a store that is away is no reason to fail."""
        try:
            stored = await in_time(self._store.get(post))
        except StoreUnavailable as error:
            if needed:
                raise
            get_logger().debug("store not available, reading the log", error=str(error))
            return None
        return stored if stored is not None and stored.snapshot.owner == owner else None

    async def _from_log(self, owner: str, post: str, newest_seq: int, epoch: str) -> Loaded | None:
        """The post by its log; ``None`` if what was read does not fold up to there.

        Of a long post only a part is read, as long as that part folds.
        """
        if newest_seq > self._recent_events:
            part = log_parts.unfinished(self._log, owner, post, newest_seq=newest_seq, recent=self._recent_events)
            loaded = await self._folded(owner, post, part, epoch)
            if loaded is not None and loaded.snapshot.seq >= newest_seq:
                return loaded
        loaded = await self._folded(owner, post, log_parts.whole(self._log, owner, post), epoch)
        return loaded if loaded is not None and loaded.snapshot.seq >= newest_seq else None

    async def _folded(self, owner: str, post: str, parts: Parts, epoch: str) -> Loaded | None:
        """What is read, folded while more comes; None if it does not follow. Others have their turn between."""
        backlog: Backlog | None = None
        async with aclosing(parts):
            async for part in parts:
                if backlog is None:
                    backlog = Backlog(await self._base(owner, post, part), keep=self._recent_events)
                for at in range(0, len(part), SLICE_EVENTS):
                    outcome = backlog.take(part[at : at + SLICE_EVENTS])
                    if outcome is not Outcome.APPLIED:
                        seq = backlog.snapshot.seq
                        get_logger().warning("history does not fold", post=post, seq=seq, outcome=str(outcome))
                        return None
                    await asyncio.sleep(0)
        if backlog is None:
            return None
        return Loaded(backlog.snapshot, backlog.stream_seq, epoch, list(backlog.recent))

    async def _base(self, owner: str, post: str, part: Sequence[Stored]) -> Snapshot:
        """What stood before the first event, where the log begins later: it was purged, or lost."""
        if parse_event(part[0][0]).seq == 1:
            return Snapshot(post=post)
        self._reads.release()  # a store that hangs holds up nobody who needs the log alone
        try:
            stored = await self._stored(owner, post, needed=True)
        finally:
            await self._reads.acquire()
        return Snapshot(post=post) if stored is None else stored.snapshot


def _is_current(stored: StoredPost, newest: StoredEvent | None, epoch: str) -> bool:
    """Whether the store's document is the post as it stands."""
    if newest is None:
        return True
    as_far = stored.epoch == epoch and stored.snapshot.seq >= newest.event.seq
    return as_far and stored.snapshot.is_final and not stored.corrupt


def _deleted(newest: StoredEvent, epoch: str) -> Loaded:
    """All that is left of a post; what it was made of may be purged."""
    event = newest.event
    snapshot = Snapshot(
        post=event.post, owner=event.owner, run=event.run, seq=event.seq, key_seq=event.seq, status="deleted"
    )
    return Loaded(snapshot, newest.stream_seq, epoch)


def _log_event(stored: StoredEvent) -> LogEvent:
    return LogEvent(stored.event, stored.raw, stored.stream_seq)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Errors of broker and store stop here."""
    try:
        yield
    except (BrokerError, StoreUnavailable) as error:
        raise Unavailable(str(error)) from None
    except LogDamaged as error:
        raise Damaged(str(error)) from None
    except (ValueError, TypeError) as error:
        raise Damaged(f"an event cannot be read: {type(error).__name__}") from None
