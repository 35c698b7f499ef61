"""A post's log and, behind it, the store: claims, history, writers."""

import asyncio
from contextlib import AbstractAsyncContextManager

from inkwire_chassis.clock import Clock
from inkwire_chassis.event_log import EventLog, Held, History, LogDamaged
from inkwire_chassis.jetstream import BrokerError, StoredMessage
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.events import GenerateRequested, Planned, SectionCompleted, parse_event
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.topology import EVENTS
from inkwire_generator import ports
from inkwire_generator.adapters.log_writer import LogWriter, open_writer
from inkwire_generator.claim import Standing
from inkwire_generator.composing import Author
from inkwire_generator.pulse import Pulse
from inkwire_stores.ports import PostStore

PROGRESS_TYPES = ("requested", "chunk", "planned", "section_completed")
READ_TRIES = 20
READ_WAIT_S = 0.1
FINISHING = (GenerateRequested, Planned, SectionCompleted)


class PostLog:
    """See :class:`inkwire_generator.ports.Log`."""

    def __init__(self, events: EventLog, store: PostStore, clock: Clock, holder: str) -> None:
        self._events = events
        self._store = store
        self._clock = clock
        self._holder = holder

    async def open(self, job: Job) -> None:
        if await self._events.newest(job.owner, job.post) is not None:
            return
        # It may have been written, published and purged long ago; then the store has it, and nothing is begun anew.
        if job.run == 1 and await self._store.get(job.post) is None:
            await self._events.ensure_requested(job)

    async def claim(self, job: Job, deliveries: int) -> Held:
        return await self._events.claim(job.post, run=job.run, deliveries=deliveries, holder=self._holder)

    async def snapshot(self, job: Job, held: ports.Held | None) -> Snapshot:
        token = held.token if held is not None else 0
        try:
            history = await self._events.history(job.owner, job.post, at_least=token, short=held is not None)
        except LogDamaged:
            history = None  # its beginning may be purged: what the store has may be the base
        if history is not None and history.snapshot.seq:
            return history.snapshot
        stored = await self._store.get(job.post)
        if stored is None:
            raise LogDamaged(f"post {job.post} is in neither the log nor the store, or does not fold")
        base = History(stored.snapshot, stored.stream_seq if history is None else 0)
        return (await self._events.history(job.owner, job.post, base=base, at_least=token)).snapshot

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
            await asyncio.sleep(READ_WAIT_S)
        raise BrokerError("no replica has caught up")

    def writer(
        self, job: Job, held: ports.Held, snapshot: Snapshot, pulse: Pulse
    ) -> AbstractAsyncContextManager[LogWriter]:
        author = Author(job.owner, job.run, held.attempt, job.traceparent)
        ours = Held(held.post, held.token, held.attempt)
        return open_writer(LogWriter(self._events.append, ours, snapshot, author, self._clock, pulse))

    async def release(self, held: ports.Held) -> None:
        await self._events.release(Held(held.post, held.token, held.attempt))

    async def cancel_wanted(self, job: Job) -> bool:
        return await self._events.cancel_intent(job.owner, job.post, job.run) is not None
