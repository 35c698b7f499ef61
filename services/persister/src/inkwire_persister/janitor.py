"""Takes out of the log what the store has, post by post, proven before: so the log holds what is new. Sees ports only.

The order within a post makes every crash harmless (docs/architecture.md, Retention): the store notes what is proven,
then events go, then wishes to cancel, then claims, and last the store notes that nothing is left. Several janitors at
once do the same work twice, and no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.logs import get_logger
from inkwire_persister.counters import Counters
from inkwire_persister.intake import Delivery
from inkwire_persister.ports import Fill, LogUnavailable, LogUnreadable
from inkwire_persister.purging import ALARMING, Keep, LastClaim, Purge, Reason, plan
from inkwire_stores.ports import EndedPost, PostStore, StoredPost, StoreUnavailable

PAGE_POSTS = 100
ROUND_PAGES = 20
"""Pages of ended posts that one round looks at; the next goes on behind them."""
ROUND_POSTS = 500
"""Posts that one round purges at most."""
KEPT_AGAIN_S = 5.0
ALARMED_AGAIN_S = 600.0
"""How long a post is left alone that could not be purged, for a while or for a reason that will stay."""
MAX_KEPT = 10_000
"""Posts remembered as such; beyond it they are looked at again sooner."""


class PurgeLog(Protocol):
    """EVENTS, as the janitor needs it. Every method may raise LogUnavailable."""

    async def fill(self) -> Fill:
        """The log's identity and how full it is."""
        ...

    async def last_claim(self, post: str) -> LastClaim | None:
        """The newest claim on a post, as the log's leader knows it."""
        ...

    async def events(self, owner: str, post: str) -> Sequence[Delivery]:
        """All events of a post, in the order of the log.

        Raises:
            LogUnreadable: one of them cannot be decoded.
        """
        ...

    async def purge_events(self, owner: str, post: str, *, up_to: int) -> int:
        """Purge a post's events up to a place in the stream; returns how many."""
        ...

    async def purge_type(self, owner: str, post: str, event_type: str, *, up_to: int) -> int:
        """Purge a post's events of one type up to a place in the stream; returns how many."""
        ...

    async def purge_wishes(self, owner: str, post: str, *, run: int, up_to: int) -> int:
        """Purge the wishes to cancel a run, and those of all runs up to a place in the stream; returns how many."""
        ...

    async def purge_claims(self, post: str, *, up_to: int) -> int:
        """Purge a post's claims up to a place in the stream; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """When a post that has ended leaves the log."""

    after_s: float
    """After so long."""
    pressed_after_s: float
    """After so long while the log is filled to the pressure ratio."""
    pressure_ratio: float


class Janitor:
    """Call :meth:`round` again and again."""

    def __init__(self, store: PostStore, log: PurgeLog, counters: Counters, clock: Clock, limits: Limits) -> None:
        self._store = store
        self._log = log
        self._counters = counters
        self._clock = clock
        self._limits = limits
        self._kept: dict[str, float] = {}
        self._after: tuple[str, str] | None = None
        self._pressed = False

    async def round(self) -> bool:
        """Purge what is due, those that ended first first. True if the next round should not wait long."""
        try:
            fill = await self._log.fill()
            due = self._due(fill)
            return await self._round(fill.epoch, due) or self._pressed
        except (StoreUnavailable, LogUnavailable) as error:
            get_logger().warning("nothing purged: try again later", error=f"{type(error).__name__}: {error}")
            return False

    def _due(self, fill: Fill) -> str:
        """Posts that ended before this time are due."""
        pressed = fill.ratio >= self._limits.pressure_ratio
        if pressed != self._pressed:
            self._pressed = pressed
            self._after = None  # the oldest first
            tell = get_logger().warning if pressed else get_logger().info
            tell("the log is filling" if pressed else "the log has room again", fill_percent=round(fill.ratio * 100))
        age_s = min(self._limits.pressed_after_s, self._limits.after_s) if pressed else self._limits.after_s
        return rfc3339(self._clock.now() - timedelta(seconds=age_s))

    async def _round(self, epoch: str, before: str) -> bool:
        purged = 0
        for _ in range(ROUND_PAGES):
            page = await self._store.unpurged_posts(epoch=epoch, before=before, limit=PAGE_POSTS, after=self._after)
            for ended in page:
                if not self._is_kept(ended.post):
                    purged += await self._see_to(ended, epoch)
                if purged >= ROUND_POSTS:
                    return True
                self._after = (ended.updated_at, ended.post)
            if len(page) < PAGE_POSTS:
                self._after = None
                return False
        return True

    async def _see_to(self, ended: EndedPost, epoch: str) -> bool:
        """One post; true if it is purged now."""
        try:
            stored = await self._store.get(ended.post)
            if stored is None or stored.purged or stored.epoch != epoch:
                return False
            return await self._purge(stored)
        except (StoreUnavailable, LogUnavailable):
            raise
        except LogUnreadable as error:
            self._keep(ended.post, "unreadable", error)
        except Exception as error:  # noqa: BLE001 - a bug at one post must not keep the others in the log
            self._keep(ended.post, "broken", error)
        return False

    async def _purge(self, stored: StoredPost) -> bool:
        snapshot = stored.snapshot
        post, owner, seq = snapshot.post, snapshot.owner, snapshot.seq
        claim = await self._log.last_claim(post)  # before the events: what is claimed after this is not touched
        verdict = plan(stored, await self._log.events(owner, post), claim)
        if isinstance(verdict, Keep):
            self._keep(post, verdict.reason)
            return False
        if not await self._store.mark_purge(post, seq=seq, done=False):
            return False  # it has moved on
        messages = await self._purge_log(stored, verdict)
        if not await self._store.mark_purge(post, seq=seq, done=True):
            return False
        self._counters.purged_posts += 1
        self._counters.purged_messages += messages
        get_logger().info("post purged from the log", post=post, seq=seq, status=snapshot.status, messages=messages)
        return True

    async def _purge_log(self, stored: StoredPost, verdict: Purge) -> int:
        """Claims last: as long as one is there, its holder can be told apart from everybody else."""
        snapshot = stored.snapshot
        post, owner = snapshot.post, snapshot.owner
        messages = await self._log.purge_events(owner, post, up_to=verdict.events_up_to)
        for event_type, place in verdict.late_copies:
            messages += await self._log.purge_type(owner, post, event_type, up_to=place)
        messages += await self._log.purge_wishes(owner, post, run=snapshot.run, up_to=verdict.events_up_to)
        messages += await self._log.purge_claims(post, up_to=verdict.claims_up_to)
        late = await self._log.last_claim(post)
        if late is not None and late.run <= snapshot.run and snapshot.status != "deleted":
            # A job of a run that has ended came once more. Its worker writes nothing, with or without a claim.
            messages += await self._log.purge_claims(post, up_to=late.stream_seq)
        return messages

    def _is_kept(self, post: str) -> bool:
        return self._kept.get(post, 0.0) > self._clock.monotonic_s()

    def _keep(self, post: str, reason: Reason, error: Exception | None = None) -> None:
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[post] = self._clock.monotonic_s() + (ALARMED_AGAIN_S if reason in ALARMING else KEPT_AGAIN_S)
        self._counters.purge_refusals += 1
        why = {"post": post, "reason": reason, "error": None if error is None else f"{type(error).__name__}: {error}"}
        if reason in ALARMING:
            get_logger().error("post stays in the log", **why)
        else:
            get_logger().info("post stays in the log", **why)
