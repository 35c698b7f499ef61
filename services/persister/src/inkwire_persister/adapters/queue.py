"""JOBS and EVENTS as the recoverer needs them, read at their leaders."""

from collections.abc import AsyncIterator

from pydantic import ValidationError

from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import H_MSG_ID
from inkwire_chassis.logs import get_logger
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.events import Event, parse_event
from inkwire_contracts.topology import DLQ, EVENTS, JOBS
from inkwire_persister.adapters.broker import reading
from inkwire_persister.ports import LogUnreadable
from inkwire_persister.recovery import Waiting

MAX_JOBS = 2_000
"""Jobs of one owner at one priority that are read; with more there, none of that owner's posts are looked at."""


class JobsQueue:
    """See :class:`inkwire_persister.ports.Queue`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._jetstream = log.jetstream

    async def identity(self) -> str:
        """See :class:`inkwire_persister.ports.Queue`."""
        with reading():
            created = [str((await self._jetstream.stream_info(name))["created"]) for name in (EVENTS, JOBS)]
        return " ".join(created)

    async def newest(self, owner: str, post: str) -> Event | None:
        """See :class:`inkwire_persister.ports.Queue`."""
        with reading():
            stored = await self._jetstream.leader_last(EVENTS, subjects.post_events(owner, post))
            return None if stored is None else parse_event(stored.payload)

    async def waiting_runs(self, pool: str, priority: str, owner: str) -> Waiting:
        """See :class:`inkwire_persister.ports.Queue`."""
        subject = f"jobs.{pool}.{priority}.{subjects.bucket_of(owner)}.{owner}"
        # A job is put aside before it is acknowledged, and replayed before its letter goes: read in this order, the
        # queue twice, it is met in one of the two however it moves meanwhile.
        streams = ((JOBS, subject), (DLQ, subjects.dead_job(subject)), (JOBS, subject))
        return {(job.post, job.run) for stream, filtered in streams async for job in self._jobs(stream, filtered)}

    async def _jobs(self, stream: str, subject: str) -> AsyncIterator[Job]:
        after = 0
        for _ in range(MAX_JOBS):
            with reading():
                stored = await self._jetstream.leader_next(stream, subject, after + 1)
            if stored is None:
                return
            after = stored.seq
            try:
                yield Job.model_validate_json(stored.payload)
            except ValidationError:
                get_logger().debug("not a job", stream=stream, stream_seq=stored.seq)
        raise LogUnreadable(f"more than {MAX_JOBS} jobs of one owner are in {stream}")

    async def claimed_deliveries(self, post: str, run: int) -> int:
        """See :class:`inkwire_persister.ports.Queue`."""
        with reading():
            claim, _ = await self._log.read_claim(post)
        return claim.deliveries if claim is not None and claim.run == run else 0

    async def publish(self, job: Job, msg_id: str) -> None:
        """See :class:`inkwire_persister.ports.Queue`."""
        subject = subjects.job(job.request.pool, job.priority, job.owner)
        with reading():
            await self._jetstream.publish(subject, job.model_dump_json().encode(), {H_MSG_ID: msg_id})
