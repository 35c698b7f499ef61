"""Takes up posts that are unfinished in the store and that no job stands for any more. Sees ports only.

A 202 promises an end. Jobs and log may be lost with the broker's volume; then the store is all that knows of the
promise, and this part gives it back to the workers. It looks when the persister starts, when the broker turns out to
be another one, and now and then.
"""

from collections.abc import Awaitable, Callable

from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import get_logger
from inkwire_contracts.fold import Snapshot
from inkwire_persister.counters import Counters
from inkwire_persister.ports import LogUnavailable, LogUnreadable, Queue
from inkwire_persister.recovery import Waiting, has_job, job_of, msg_id, open_run
from inkwire_stores.ports import PostStore, StoreUnavailable

PAGE_POSTS = 100
MAX_REMEMBERED = 10_000
"""Runs taken up since the broker was last replaced. At the bound they are forgotten, and may be taken up once more."""

Lane = tuple[str, str, str]
"""Pool, priority and owner: the jobs that stand on one subject."""


class Recoverer:
    """Call :meth:`look` again and again.

    Args:
        settled: returns once nothing that was read from the log before is still being written to the store.
        interval_s: how often to look although nothing seems to be lost; seconds.
    """

    def __init__(
        self,
        store: PostStore,
        queue: Queue,
        counters: Counters,
        clock: Clock,
        *,
        settled: Callable[[], Awaitable[None]],
        interval_s: float,
    ) -> None:
        self._store = store
        self._queue = queue
        self._counters = counters
        self._clock = clock
        self._settled = settled
        self._interval_s = interval_s
        self._identity = ""
        self._next_s = 0.0
        self._taken_up: set[str] = set()
        self._told = False

    async def look(self) -> None:
        """One look, if it is time for one or the broker is another. What does not answer is asked at the next call."""
        try:
            identity = await self._queue.identity()
            if identity == self._identity and self._clock.monotonic_s() < self._next_s:
                return
            if identity != self._identity:
                self._taken_up.clear()
                if self._identity:
                    get_logger().warning("the broker's log is another one; looking for unfinished posts")
            await self._settled()
            await self._round(identity)
        except (LogUnavailable, StoreUnavailable) as error:
            if not self._told:
                get_logger().warning("cannot look for unfinished posts yet", reason=str(error))
            self._told = True
            return
        self._identity = identity
        self._next_s = self._clock.monotonic_s() + self._interval_s
        self._told = False

    async def _round(self, identity: str) -> None:
        after = ""
        while page := await self._store.active_posts(limit=PAGE_POSTS, after=after):
            lanes: dict[Lane, Waiting] = {}
            for post in page:
                try:
                    await self._look_at(post, identity, lanes)
                except LogUnreadable as error:  # this one must not keep the others waiting
                    get_logger().error("an unfinished post cannot be looked at", post=post, error=str(error))
            after = page[-1]

    async def _look_at(self, post: str, identity: str, lanes: dict[Lane, Waiting]) -> None:
        stored = await self._store.get(post)
        if stored is None or stored.snapshot.is_final:
            return
        snapshot = stored.snapshot
        lane = (snapshot.pool, snapshot.priority, snapshot.owner)
        if lane not in lanes:
            lanes[lane] = await self._waiting(snapshot)
        if has_job(snapshot, snapshot.run, lanes[lane]):
            return
        run = await self._lost_run(snapshot)
        if run is None:
            return
        name = msg_id(post, run, identity)
        if name not in self._taken_up:
            await self._take_up(snapshot, run, name)

    async def _lost_run(self, snapshot: Snapshot) -> int | None:
        """The run that no job stands for.

        A job is acknowledged after the run's end is in the log: so one that is neither in the queue nor, when the log
        is read after that, ended, is lost.
        """
        run = open_run(snapshot, await self._queue.newest(snapshot.owner, snapshot.post))
        if run is None or has_job(snapshot, run, await self._waiting(snapshot)):
            return None
        after = open_run(snapshot, await self._queue.newest(snapshot.owner, snapshot.post))
        return run if after == run else None

    async def _waiting(self, snapshot: Snapshot) -> Waiting:
        return await self._queue.waiting_runs(snapshot.pool, snapshot.priority, snapshot.owner)

    async def _take_up(self, snapshot: Snapshot, run: int, name: str) -> None:
        deliveries = await self._queue.claimed_deliveries(snapshot.post, run)
        await self._queue.publish(job_of(snapshot, run, deliveries), name)
        if len(self._taken_up) >= MAX_REMEMBERED:
            self._taken_up.clear()
        self._taken_up.add(name)
        self._counters.taken_up_runs += 1
        get_logger().warning(
            "an unfinished post had no job; it is taken up again", post=snapshot.post, run=run, seq=snapshot.seq
        )
