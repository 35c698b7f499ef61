"""A provisioned log on a real broker, and a writer that plays a worker by script."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from nats.aio.msg import Msg

from inkwire_chassis.clock import new_id
from inkwire_chassis.event_log import EventLog, Held, StoredEvent
from inkwire_chassis.jetstream import Batch, BrokerError, JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_chassis.nats_servers import server_list
from inkwire_chassis.provisioning import provision
from inkwire_contracts import events
from inkwire_contracts.commands import Job
from inkwire_contracts.events import Event, RequestedData
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold
from inkwire_contracts.topology import Topology, topology
from tests.support.nats_cluster import ELECTION_TIMEOUT_S
from tests.support.wait import eventually, scaled_s

T = TypeVar("T")

SMALL = topology(events_max_bytes=256 * 1024**2, conversations_max_bytes=8 * 1024**2)
QUICK_LEASE = topology(ack_wait_s=3.0, events_max_bytes=256 * 1024**2, conversations_max_bytes=8 * 1024**2)
"""A lease that ends within a test's patience, and not because the machine was busy elsewhere for a second or two."""
LONG_LEASE = topology(ack_wait_s=120.0, events_max_bytes=256 * 1024**2, conversations_max_bytes=8 * 1024**2)
"""A lease that cannot end within a test."""
PATIENCE_S: Final = 5.0
TIME = "2026-01-02T03:04:05.678Z"


class PatientJetStream(JetStream):
    """A test's own questions to the broker: a busy disk may keep the answer for longer than a service waits."""

    async def _ask(self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout_s: float) -> Msg:
        return await super()._ask(subject, payload, headers, scaled_s(max(timeout_s, PATIENCE_S)))

    @asynccontextmanager
    async def _asked(self, stream: str, query: Mapping[str, Any], batch: Batch[T]) -> AsyncIterator[Batch[T]]:
        batch._timeout_s = scaled_s(max(batch._timeout_s, PATIENCE_S))
        async with super()._asked(stream, query, batch) as asked:
            yield asked


@asynccontextmanager
async def open_log(url: str, plan: Topology = SMALL) -> AsyncIterator[EventLog]:
    """Connect, provision (again is fine; a cluster's streams have a copy on each server) and hand out a log."""
    servers = server_list(url)
    async with connected(url, "test") as client:
        jetstream = PatientJetStream(client)
        await jetstream.start()
        await _provisioned(jetstream, replace(plan, replicas=len(servers)))
        yield EventLog(jetstream, new_id)


async def _provisioned(jetstream: JetStream, plan: Topology) -> None:
    """Once the servers agree; those of a cluster may still elect a leader after what the test before did to them."""

    async def made() -> bool:
        await provision(jetstream, plan)
        return True

    elections = (BrokerError,) if plan.replicas > 1 else ()
    await eventually(made, what="the streams are there", timeout_s=ELECTION_TIMEOUT_S, ignoring=elections)


@asynccontextmanager
async def connect_log(url: str) -> AsyncIterator[EventLog]:
    """A log by a connection of its own; nothing is made or changed at the broker."""
    async with connected(url, "test") as client:
        jetstream = PatientJetStream(client)
        await jetstream.start()
        yield EventLog(jetstream, new_id)


async def read_now(log: EventLog, job: Job) -> list[StoredEvent]:
    """All events of a post that were acknowledged before the call, from a replica that has them."""
    newest = await log.newest_now(job.owner, job.post)

    async def whole() -> list[StoredEvent] | None:
        events = await log.read(job.owner, job.post)
        return events if newest is None or (events and events[-1].stream_seq >= newest.stream_seq) else None

    return await eventually(whole, what=f"a replica has post {job.post}")


def make_job(
    owner: str = "local",
    *,
    post: str | None = None,
    title: str = "Ten tips",
    run: int = 1,
    options: Mapping[str, object] | None = None,
) -> Job:
    """A job as the api would commit it."""
    data = RequestedData(title=title, recipe="blog", fingerprint="f" * 64, options=dict(options or {}))
    return Job(post=post or new_id(), owner=owner, run=run, time=TIME, request=data)


@dataclass
class ScriptedWriter:
    """Writes a post's log under a claim, one call an event; ``snapshot`` is the fold of what it wrote."""

    log: EventLog
    job: Job
    held: Held
    snapshot: Snapshot = field(init=False)

    @classmethod
    async def begin(cls, log: EventLog, job: Job | None = None, *, deliveries: int = 1) -> "ScriptedWriter":
        """Ensure ``requested``, claim, fold the history and write ``started``."""
        job = job or make_job()
        await log.ensure_requested(job)
        writer = cls(log, job, await log.claim(job.post, run=job.run, deliveries=deliveries, holder="script"))
        history = await log.history(job.owner, job.post, at_least=writer.held.token)
        writer.snapshot = history.snapshot
        await writer.write(events.Started)
        return writer

    async def write(self, kind: type[Event], **data: object) -> Event:
        """Append one event with the next seq and prev; fold it as it was accepted."""
        fields: dict[str, object] = {
            "post": self.job.post,
            "owner": self.job.owner,
            "run": self.job.run,
            "attempt": self.held.attempt,
            "seq": self.snapshot.seq + 1,
            "time": TIME,
            "data": data,
        }
        if issubclass(kind, events.KeyEvent):
            fields["prev"] = self.snapshot.key_seq
        event = kind.model_validate(fields)
        await self.log.append(event, self.held)
        assert fold(self.snapshot, event) is Outcome.APPLIED
        return event

    async def open(self, section: str, *, title: str = "", in_document: bool = True) -> None:
        """Start a section."""
        await self.write(events.SectionStarted, section=section, title=title, in_document=in_document)

    async def chunk(self, text: str) -> Event:
        """Append text to the open section."""
        section = self.snapshot.section(self.snapshot.open_section or "")
        assert section is not None
        start = section.length
        return await self.write(
            events.ChunkProduced, section=section.section, start=start, end=start + len(text), text=text
        )

    async def close(self) -> None:
        """Complete the open section with the text it has."""
        section = self.snapshot.section(self.snapshot.open_section or "")
        assert section is not None
        await self.write(events.SectionCompleted, section=section.section, text=section.text)

    async def section(self, section: str, *chunks: str) -> None:
        """A whole section."""
        await self.open(section, title=section)
        for text in chunks:
            await self.chunk(text)
        await self.close()

    async def publish(self) -> Event:
        """End the run well, with the right digest."""
        text = document(self.snapshot)
        return await self.write(events.PostPublished, sha256=digest(text), length=len(text))
