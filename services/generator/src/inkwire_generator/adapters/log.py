"""A post's log and, behind it, the store: claims, history, writers."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial

from inkwire_chassis.clock import Clock
from inkwire_chassis.event_log import BeginningGone, EventLog, Held, History, LogDamaged
from inkwire_chassis.jetstream import BrokerError, StoredMessage
from inkwire_chassis.logs import get_logger
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.events import ENDS, GenerateRequested, Planned, SectionCompleted, parse_event
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.topology import EVENTS
from inkwire_generator import ports
from inkwire_generator.adapters.log_writer import LogWriter, Turns, open_writer
from inkwire_generator.claim import Standing, Verdict, verdict
from inkwire_generator.composing import Author
from inkwire_generator.pulse import Pulse
from inkwire_stores.ports import PostStore, StoredPost, StoreUnavailable

PROGRESS_TYPES = ("requested", "chunk", "planned", "section_completed")
READ_TRIES = 20
READ_WAIT_S = 0.1
JOIN_TRIES = 5
FRESH_S = 30.0
"""A job that is younger, in seconds, cannot be one of a post that was written and purged: that takes longer."""

FINISHING = (GenerateRequested, Planned, SectionCompleted)


class PostLog:
    """See :class:`inkwire_generator.ports.Log`."""

    def __init__(self, events: EventLog, store: PostStore, clock: Clock, holder: str) -> None:
        self._events = events
        self._store = store
        self._clock = clock
        self._holder = holder
        self._turns = Turns()

    async def open(self, job: Job) -> Verdict | None:
        newest = await self._events.newest(job.owner, job.post)
        if newest is not None:
            if newest.event.run < job.run and newest.event.type not in ENDS:
                return Verdict.WAIT
            if await self._needs_store(job, newest.event.seq):
                await self._store.get(job.post)  # one that is away is met before the claim, which counts as an attempt
            return None
        # It may have been written, published and purged long ago; then the store has it, and nothing is begun anew.
        stored = await self._store.get(job.post)
        if stored is not None:
            known = verdict(stored.snapshot, job.run, cancel_wanted=False, poison=False)
            return known if known in (Verdict.DONE, Verdict.WAIT) else None
        if job.run == 1:
            await self._events.ensure_requested(job)
        return None

    async def _needs_store(self, job: Job, newest_seq: int) -> bool:
        """Whether the log alone may not tell the post: see :meth:`_joined`."""
        if newest_seq == 1:
            return self._is_old(job)
        first = await self._events.jetstream.leader_next(EVENTS, subjects.post_events(job.owner, job.post), 1)
        return first is None or parse_event(first.payload).seq > 1

    async def claim(self, job: Job, deliveries: int) -> Held:
        return await self._events.claim(
            job.post,
            run=job.run,
            deliveries=deliveries,
            holder=self._holder,
            last_attempt=lambda: self._last_attempt(job),
        )

    async def _last_attempt(self, job: Job) -> int:
        """Of a post without claims: 0 if it is new, else they were purged, and the count goes on."""
        newest = await self._events.newest(job.owner, job.post)
        if newest is not None and newest.event.attempt:
            return newest.event.attempt
        stored = await self._stored(job, needed=newest is None)
        return 0 if stored is None else stored.snapshot.attempt

    async def snapshot(self, job: Job, held: ports.Held | None) -> Snapshot:
        token = held.token if held is not None else 0
        for _ in range(JOIN_TRIES):
            try:
                return await self._joined(job, token)
            except BeginningGone as error:  # purged while it was read: the store has moved on
                get_logger().info("the log was purged while it was read", error=str(error))
                await asyncio.sleep(READ_WAIT_S)
        raise LogDamaged(f"post {job.post} does not go on from what the store has")

    async def _joined(self, job: Job, token: int) -> Snapshot:
        """The log from its beginning where it is whole; else what it still has upon what the store has."""
        try:
            snapshot = (await self._events.history(job.owner, job.post, at_least=token, short=token > 0)).snapshot
        except LogDamaged:
            snapshot = Snapshot(post=job.post)
        begun = snapshot.seq > 1
        fresh = snapshot.seq == 1 and not self._is_old(job)
        stored = await self._stored(job, needed=not (begun or fresh))
        if stored is None:
            if snapshot.seq == 0:
                raise LogDamaged(f"post {job.post} is in neither the log nor the store, or does not fold")
            return snapshot
        if snapshot.seq and (snapshot.seq >= stored.snapshot.seq or stored.epoch != await self._events.epoch()):
            return snapshot
        # Purged, as a whole or up to here; an event that came late, after the purge, is none to begin from.
        in_log = stored.stream_seq if stored.epoch == await self._events.epoch() else 0
        base = History(stored.snapshot, in_log)
        history = await self._events.history(job.owner, job.post, base=base, at_least=token, short=token > 0)
        return history.snapshot

    def _is_old(self, job: Job) -> bool:
        """Whether the post may have been written, purged and asked for again by somebody who slept meanwhile."""
        return age_s(job.time, self._clock.now()) > FRESH_S

    async def _stored(self, job: Job, *, needed: bool) -> StoredPost | None:
        """What the store has. Where the log alone is enough, a store that is away is no reason to wait."""
        try:
            return await self._store.get(job.post)
        except StoreUnavailable:
            if needed:
                raise
            return None

    async def standing(self, job: Job, held: ports.Held) -> Standing:
        wrote = finished = 0
        for message in await self._newest_of_types(job, held.token):
            event = parse_event(message.payload)
            wrote = max(wrote, event.attempt)
            if isinstance(event, FINISHING):
                finished = max(finished, event.attempt)
        first = held.attempt == 1
        released = frozenset[int]() if first else await self._events.released_attempts(job.post, up_to=held.token)
        return Standing(held.attempt, wrote, finished, released)

    async def _newest_of_types(self, job: Job, at_least: int) -> list[StoredMessage]:
        """From a replica that has reached the claim: a lagging one would make the post look poisoned."""
        filters = [subjects.post_event(job.owner, job.post, kind) for kind in PROGRESS_TYPES]
        for _ in range(READ_TRIES):
            query = {"multi_last": filters, "batch": 64}
            messages, _, up_to = await self._events.jetstream.direct_batch(EVENTS, query)
            if up_to >= at_least:
                return messages
            if not messages and await self._events.newest(job.owner, job.post) is None:
                return []  # purged: the answer of a stream without such messages tells no place
            await asyncio.sleep(READ_WAIT_S)
        raise BrokerError("no replica has caught up")

    def writer(
        self, job: Job, held: ports.Held, snapshot: Snapshot, pulse: Pulse
    ) -> AbstractAsyncContextManager[LogWriter]:
        author = Author(job.owner, job.run, held.attempt, job.traceparent)
        ours = Held(held.post, held.token, held.attempt)

        def waiting() -> None:
            pulse.touch(self._clock.monotonic_s())
            self._turns.touch(self._clock.monotonic_s())

        append = partial(self._events.append, waiting=waiting)
        return open_writer(LogWriter(append, ours, snapshot, author, self._clock, pulse, self._turns))

    async def release(self, held: ports.Held) -> None:
        await self._events.release(Held(held.post, held.token, held.attempt))

    async def cancel_wanted(self, job: Job) -> bool:
        return await self._events.cancel_intent(job.owner, job.post, job.run) is not None

    async def cancels_wanted(self, jobs: Sequence[Job]) -> set[str]:
        return await self._events.cancel_intents(jobs)


def age_s(time: str, now: datetime) -> float:
    """How long ago an RFC 3339 time was, in seconds."""
    return (now - datetime.fromisoformat(time)).total_seconds()
