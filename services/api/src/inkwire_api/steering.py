"""Steer posts: cancel, retry, delete. The protocol of docs/lifecycle.md, over ports.

Only who holds the claim writes an end. A stored wish is what a 202 promises; the api ends a run itself only where no
worker has claimed it, and leaves everything else to the worker, who reads the wish.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inkwire_api import run_events
from inkwire_api.approving import OptionsOf
from inkwire_api.asking import ASK_TRIES, answered, delay_s, in_time
from inkwire_api.ports import BrokerUnavailable, Damaged, JobPublisher, NoRoom, RunLog
from inkwire_api.posts import LOG_FULL_RETRY_AFTER_S
from inkwire_api.replay import RETRYABLE
from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.logs import get_logger
from inkwire_contracts.commands import CancelIntent, Job
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import PostStatus, Snapshot
from inkwire_stores.ports import StoreUnavailable

END_TIMEOUT_S = 2.0
"""How long the answer to a cancel waits while the api ends a run that no worker has claimed."""


Admit = Callable[[str], Awaitable[None]]
"""Lets an owner begin one more run, or raises InkwireError."""


@dataclass(frozen=True, slots=True)
class Steered:
    """A run as it stands. ``accepted``: something is going to happen; false where the run had ended before."""

    post: str
    run: int
    status: PostStatus
    accepted: bool


class Steering:
    """Changes the course of posts that exist. A post of somebody else is not found."""

    def __init__(self, *, log: RunLog, jobs: JobPublisher, admit: Admit, clock: Clock, commit_timeout_s: float) -> None:
        self._log = log
        self._jobs = jobs
        self._admit = admit
        self._clock = clock
        self._commit_timeout_s = commit_timeout_s

    async def cancel(self, owner: str, post: str, *, by: str, run: int | None = None) -> Steered:
        """Have the latest run stop; once the wish is stored it will, whatever dies.

        ``run`` names the run that is meant: one that a later run has followed ended before, and the later one is
        left alone.

        Raises:
            InkwireError: there is no such post, or nothing can be promised at the moment.
            StoreUnavailable: the log has nothing of the post, and the store does not answer.
        """
        async with in_time(self._commit_timeout_s):
            wished_run = await self._wish_at_once(owner, post, run, by)
            snapshot = await self._current(owner, post)
            if run is not None and run > snapshot.run:
                raise InkwireError("not_found")
            if snapshot.is_final or run not in (None, snapshot.run):
                # A worker may have been so quick that the end is read here already.
                done = snapshot.status == "cancelled" and wished_run == snapshot.run
                return _steered(snapshot, accepted=done)
            if wished_run != snapshot.run:
                await self._wish(owner, post, snapshot.run, by)
        ended = await self._end_unclaimed(snapshot)
        return _steered(ended if ended is not None and ended.run == snapshot.run else snapshot, accepted=True)

    async def retry(
        self, owner: str, post: str, *, after_run: int | None = None, traceparent: str | None = None
    ) -> Steered:
        """Begin the next run of a post that failed or was cancelled; its finished sections stay.

        ``after_run`` names the run that ended: said twice, the same begins only one. Without it a repeated request
        finds the run that is under way.

        Raises:
            InkwireError: there is no such post, it did not end so, or nothing can be promised at the moment.
            StoreUnavailable: as :meth:`cancel`.
        """
        async with in_time(self._commit_timeout_s):
            snapshot = await self._current(owner, post)
            if _has_begun(snapshot, after_run):
                return _steered(snapshot, accepted=True)
            if snapshot.status not in RETRYABLE or after_run not in (None, snapshot.run):
                raise InkwireError("not_retryable", status=snapshot.status)
            await self._admit(owner)
            job = run_events.next_job(snapshot, rfc3339(self._clock.now()), traceparent)
            await self.publish(job)
            return _steered(await self.begun(job), accepted=True)

    async def approve(
        self,
        owner: str,
        post: str,
        options_of: OptionsOf,
        *,
        after_run: int | None = None,
        traceparent: str | None = None,
    ) -> Steered:
        """Begin the next run of a post that waits for its author, with what the author approved among its options.

        ``after_run`` names the run that paused: said twice, the same begins only one. Two that approve different
        things at once: the log has one of them, and the other is told.

        Raises:
            InkwireError: there is no such post, it does not wait, something else was approved, or nothing can be
                promised at the moment.
            StoreUnavailable: as :meth:`cancel`.
        """
        async with in_time(self._commit_timeout_s):
            snapshot = await self._current(owner, post)
            if _has_begun(snapshot, after_run):
                return _approved(snapshot, options_of)
            if snapshot.status != "paused" or after_run not in (None, snapshot.run):
                raise InkwireError("not_approvable", status=snapshot.status)
            options = options_of(snapshot)
            await self._admit(owner)
            job = run_events.next_job(snapshot, rfc3339(self._clock.now()), traceparent, options)
            await self.publish(job)
            return _approved(await self.begun(job), options_of)

    async def delete(self, owner: str, post: str, *, by: str) -> None:
        """Delete a post; one that is being written is stopped first. Returns once ``deleted`` is in the log.

        Raises:
            InkwireError: there is no such post, or it has not ended in time: the same request again goes on.
            StoreUnavailable: as :meth:`cancel`.
        """
        wished_run = 0
        try:
            async with asyncio.timeout(self._commit_timeout_s):
                for attempt in range(ASK_TRIES):
                    snapshot = await self._known(owner, post)
                    if snapshot.status == "deleted":
                        return
                    if snapshot.is_final:
                        if await self._write_deleted(snapshot):
                            return
                    elif wished_run < snapshot.run:
                        await self._wish(owner, post, snapshot.run, by)
                        wished_run = snapshot.run
                        await self._end_unclaimed(snapshot)
                        continue
                    await asyncio.sleep(delay_s(attempt))
        except TimeoutError:
            pass
        raise InkwireError("still_stopping" if wished_run else "broker_unavailable")

    async def _write_deleted(self, snapshot: Snapshot) -> bool:
        """As the run after the latest: no leftover of that one counts as much, and a worker of a retry counts more."""
        run, time = snapshot.run + 1, rfc3339(self._clock.now())

        def begin() -> Awaitable[Snapshot | None]:
            return self._log.write(
                snapshot.owner, snapshot.post, run, lambda now, n: run_events.deleted(now, run, n, time)
            )

        written = await self.sound(snapshot.post, begin)
        return written is not None and written.status == "deleted"

    async def publish(self, job: Job, *, msg_id: str | None = None) -> None:
        """Store a job, once for its Msg-Id (by default the job's own).

        Raises:
            InkwireError: ``log_full`` or ``broker_unavailable``.
        """
        try:
            await answered(lambda: self._jobs.publish(job, msg_id=msg_id))
        except NoRoom:
            raise InkwireError("log_full", retry_after_s=LOG_FULL_RETRY_AFTER_S) from None

    async def begun(self, job: Job) -> Snapshot:
        """Wait until a later run is in the log, so that a cancel right after finds it; write it if we are the faster.

        Raises:
            InkwireError: ``gone``, ``corrupt`` or ``broker_unavailable``.
        """

        def begin() -> Awaitable[Snapshot | None]:
            return self._log.write(job.owner, job.post, job.run, lambda now, n: run_events.requested(now, job, n))

        for attempt in range(ASK_TRIES):
            snapshot = await self.sound(job.post, begin)
            if snapshot is None:  # a worker has the claim, and writes it
                snapshot = await self._current(job.owner, job.post)
            if snapshot.status == "deleted":
                raise InkwireError("gone")
            if snapshot.run >= job.run:
                return snapshot
            await asyncio.sleep(delay_s(attempt))
        raise InkwireError("broker_unavailable")

    async def _current(self, owner: str, post: str) -> Snapshot:
        """The post, deleted ones left out."""
        snapshot = await self._known(owner, post)
        if snapshot.status == "deleted":
            raise InkwireError("gone")
        return snapshot

    async def _known(self, owner: str, post: str) -> Snapshot:
        snapshot = await self.sound(post, lambda: self._log.current(owner, post))
        if snapshot is None:
            raise InkwireError("not_found")
        return snapshot

    async def sound(self, post: str, ask: Callable[[], Awaitable[Snapshot | None]]) -> Snapshot | None:
        """Ask until there is an answer; a post that makes no sense is not written to.

        Raises:
            InkwireError: ``corrupt`` or ``broker_unavailable``.
        """
        try:
            return await answered(ask)
        except Damaged as error:
            get_logger().error("a post that cannot be steered", post=post, error=str(error))
            raise InkwireError("corrupt") from None

    async def _wish_at_once(self, owner: str, post: str, run: int | None, by: str) -> int:
        """Store the wish before the post is read as a whole, which asks a busy broker half a dozen times.

        The newest event names the latest run. If that ends meanwhile, a wish for it is read by nobody. Returns the run,
        or 0 where nothing was stored.
        """
        running = await answered(lambda: self._log.running(owner, post))
        if running is None or run not in (None, running):
            return 0
        await self._wish(owner, post, running, by)
        return running

    async def _wish(self, owner: str, post: str, run: int, by: str) -> None:
        intent = CancelIntent(post=post, owner=owner, run=run, by=by, time=rfc3339(self._clock.now()))
        await answered(lambda: self._log.wish_cancel(intent))

    async def _end_unclaimed(self, snapshot: Snapshot) -> Snapshot | None:
        """Write ``cancelled`` if no worker has claimed the run; None where that is left to a worker.

        The wish is stored, so nothing that goes wrong here matters: whoever claims the run next reads it.
        """
        run, time = snapshot.run, rfc3339(self._clock.now())
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                return await self._log.write(
                    snapshot.owner,
                    snapshot.post,
                    run,
                    lambda now, attempt: run_events.cancelled(now, run, attempt, time),
                )
        except (BrokerUnavailable, StoreUnavailable, Damaged, TimeoutError) as error:
            get_logger().warning("a cancel is left to the workers", post=snapshot.post, error=type(error).__name__)
            return None


def _has_begun(snapshot: Snapshot, after_run: int | None) -> bool:
    if after_run is not None:
        return snapshot.run > after_run
    return snapshot.run > 1 and not snapshot.is_final


def _approved(snapshot: Snapshot, options_of: OptionsOf) -> Steered:
    """A later run, if it is the one of this approval: what is approved stays among the options of all later runs."""
    if options_of(snapshot) != snapshot.options:
        raise InkwireError("approved_otherwise", run=snapshot.run)
    return _steered(snapshot, accepted=True)


def _steered(snapshot: Snapshot, *, accepted: bool) -> Steered:
    return Steered(snapshot.post, snapshot.run, snapshot.status, accepted)
