"""Generators in a test: inside the test's own loop, or as processes that can be killed."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inkwire_chassis.event_log import EventLog, StoredEvent
from inkwire_chassis.jetstream import H_MSG_ID
from inkwire_chassis.lifecycle import Supervisor
from inkwire_contracts import subjects
from inkwire_contracts.commands import CancelIntent, Job
from inkwire_contracts.fold import Snapshot, digest, document, fold_all
from inkwire_generator import app
from inkwire_generator.settings import GeneratorSettings
from tests.support.log import TIME, read_now
from tests.support.ports import free_port
from tests.support.processes import ServiceProcess
from tests.support.sim import SimServer
from tests.support.wait import eventually

QUICK: dict[str, Any] = {"retry_first_delay_s": 0.05, "retry_max_delay_s": 0.2}
"""Settings for tests that wait for retries."""


def generator_settings(nats_url: str, sim: SimServer, folder: Path, **changes: Any) -> GeneratorSettings:
    """Settings of a generator that uses the simulator and an embedded store."""
    values: dict[str, Any] = {
        "nats_url": nats_url,
        "store_url": f"sqlite:///{folder / 'posts.sqlite3'}",
        "openai_base_url": sim.base_url,
        "openai_api_key": "sk-simulator",
        "simulated": True,
        **QUICK,
        **changes,
    }
    return GeneratorSettings(**values)


@asynccontextmanager
async def running_generator(settings: GeneratorSettings) -> AsyncIterator[app.Running]:
    """A generator in this process; leaving the block stops it as SIGTERM would. A dead task fails the test."""
    supervisor = Supervisor()
    try:
        async with app.running(settings, supervisor) as service:
            yield service
            supervisor.request_stop("the test is over")
    finally:
        await supervisor.cancel_all()
    assert supervisor.failure is None, supervisor.failure


def generator_process(nats_url: str, sim: SimServer, folder: Path, name: str, **env: str) -> ServiceProcess:
    """A generator as a process of its own."""
    port = free_port()
    environment = {
        "INKWIRE_NATS_URL": nats_url,
        "INKWIRE_STORE_URL": f"sqlite:///{folder / 'posts.sqlite3'}",
        "INKWIRE_GENERATOR_HEALTH_PORT": str(port),
        "INKWIRE_GENERATOR_NAME": name,
        "INKWIRE_GENERATOR_RETRY_FIRST_DELAY_S": "0.05",
        "INKWIRE_SIMULATED": "true",
        **sim.environment(),
        **env,
    }
    argv = [sys.executable, "-m", "inkwire_generator.main"]
    return ServiceProcess(name, env=environment, ready_url=f"http://127.0.0.1:{port}/readyz", argv=argv)


async def commit_job(log: EventLog, job: Job) -> None:
    """What the api does at its commit point."""
    subject = subjects.job(job.request.pool, job.priority, job.owner)
    await log.jetstream.publish(subject, job.model_dump_json().encode(), {H_MSG_ID: job.msg_id})


async def commit_cancel(log: EventLog, job: Job) -> None:
    """What the api does to cancel a run: the intent, then the signal."""
    intent = CancelIntent(post=job.post, owner=job.owner, run=job.run, time=TIME)
    await log.jetstream.publish(subjects.cancel(job.owner, job.post, job.run), intent.model_dump_json().encode(), {})
    await log.jetstream.client.publish(subjects.cancel_signal(job.post), b"")


async def read_folded(log: EventLog, job: Job) -> tuple[Snapshot, list[StoredEvent]]:
    """The post's log and its fold."""
    stored = await read_now(log, job)
    snapshot = Snapshot(post=job.post)
    assert fold_all(snapshot, [one.event for one in stored]) == "applied"
    return snapshot, stored


async def until_final(log: EventLog, job: Job, *, timeout_s: float = 60.0) -> Snapshot:
    """Wait until the run has its terminal, and return the folded post."""

    async def final() -> Snapshot | None:
        newest = await log.newest(job.owner, job.post)
        if newest is None or newest.event.run < job.run:
            return None
        snapshot, _ = await read_folded(log, job)
        return snapshot if snapshot.is_final and snapshot.run == job.run else None

    return await eventually(final, what=f"post {job.post} ends", timeout_s=timeout_s)  # type: ignore[return-value]


async def until(log: EventLog, job: Job, what: str, holds: Callable[[Snapshot], bool]) -> Snapshot:
    """Wait until the folded post fits."""

    async def fits() -> Snapshot | None:
        snapshot, _ = await read_folded(log, job)
        return snapshot if holds(snapshot) else None

    return await eventually(fits, what=what, timeout_s=60.0)  # type: ignore[return-value]


async def until_idle(log: EventLog) -> None:
    """Wait until no job is left in the queue."""

    async def empty() -> bool:
        return int((await log.jetstream.stream_info("JOBS"))["state"]["messages"]) == 0

    await eventually(empty, what="the work queue is empty", timeout_s=60.0)


def assert_exact(snapshot: Snapshot, stored: list[StoredEvent]) -> None:
    """The log is contiguous, ends once, and its digest is that of the folded text."""
    assert [one.event.seq for one in stored] == list(range(1, len(stored) + 1))
    assert sum(one.event.type in {"published", "failed", "cancelled"} for one in stored) == 1
    text = document(snapshot)
    assert snapshot.status == "published"
    assert snapshot.sha256 == digest(text)
    assert text.endswith("\n") and not text.endswith("\n\n")
