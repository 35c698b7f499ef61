"""A worker with a memory limit, as a process: it hands over, ends, and is started again by the launcher."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from inkwire.launcher import Launcher, Program, base_environment
from inkwire.network import http_ready
from inkwire_chassis.event_log import EventLog
from inkwire_contracts.commands import Job
from inkwire_contracts.fold import Snapshot
from tests.support.generator import (
    assert_exact,
    commit_job,
    generator_process,
    read_folded,
    until,
    until_final,
    until_idle,
)
from tests.support.log import make_job, open_log
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess
from tests.support.sim import SimServer
from tests.support.terminal import Lines
from tests.support.wait import eventually

Keep = Callable[[ManagedProcess], ManagedProcess]
LIMIT_MIB = "4096"

# The real service; on SIGUSR1 its limit becomes what it uses at that moment.
LOWERS_ITS_LIMIT = """
import signal
from inkwire_generator.adapters import memory
from inkwire_generator.main import main
made = memory.MemoryWatch.__init__
def remembered(self, *args):
    made(self, *args)
    def lower(*_):
        self._limit_bytes = memory.resident_bytes()
    signal.signal(signal.SIGUSR1, lower)
memory.MemoryWatch.__init__ = remembered
raise SystemExit(main())
"""


@asynccontextmanager
async def launched(nats_url: str, sim: SimServer, folder: Path, terminal: Lines) -> AsyncIterator[Launcher]:
    """The limited worker under the product's own launcher."""
    port = free_port()
    template = generator_process(nats_url, sim, folder, "limited", INKWIRE_GENERATOR_MEMORY_LIMIT_MIB=LIMIT_MIB)
    environment = {**base_environment(), **template.environment, "INKWIRE_GENERATOR_HEALTH_PORT": str(port)}
    launcher = Launcher(terminal)
    async with aiohttp.ClientSession() as session:
        ready = http_ready(session, f"http://127.0.0.1:{port}/readyz")
        program = Program("limited", [sys.executable, "-c", LOWERS_ITS_LIMIT], ready, 0, environment)
        try:
            await launcher.start([program])
            yield launcher
        finally:
            await launcher.stop()


async def test_a_worker_at_its_memory_limit_hands_over_and_is_started_again(
    nats_url: str, tmp_path: Path, keep: Keep
) -> None:
    """Its posts are finished exactly by another, it ends with 75, its launcher starts it, and it takes jobs again."""
    terminal = Lines()
    with SimServer() as sim:
        sim.stall(count=4)
        async with open_log(nats_url) as log, launched(nats_url, sim, tmp_path, terminal) as launcher:
            jobs = [make_job(title=f"Top {number} tips") for number in range(2, 6)]
            for job in jobs:
                await commit_job(log, job)
            for job in jobs:
                await until(log, job, "it is being written", lambda post: post.open_section is not None)
            await sim.until_stalled(4)
            other = generator_process(nats_url, sim, tmp_path, "other")
            keep(other)
            other.start()
            await other.ready()
            before = launcher.pids()["limited"]
            os.kill(before, signal.SIGUSR1)
            await eventually(lambda: launcher.pids().get("limited", before) != before, what="another process")
            for job in jobs:
                await finished_by(log, job, "other")
            await other.terminated()
            last = make_job(title="Top 3 tips")
            await commit_job(log, last)
            await finished_by(log, last, "limited")
            await until_idle(log)
    assert any("limited ended (exit code 75)" in note for note in terminal.notes)


async def finished_by(log: EventLog, job: Job, worker: str) -> Snapshot:
    """The post is published, exactly, by that worker; and attempts that ended for want of memory count."""
    await until_final(log, job)
    snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    workers = [one.event.data.worker for one in stored if one.event.type == "started"]
    assert workers[-1] == worker
    _, token = await log.read_claim(job.post)
    assert await log.released_attempts(job.post, up_to=token) == frozenset()
    return snapshot


async def test_a_limit_below_what_the_start_needs_is_one_line(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Rather than end and start for ever, the worker names the setting and ends with the code for settings."""
    with SimServer() as sim:
        async with open_log(nats_url):
            process = generator_process(nats_url, sim, tmp_path, "tight", INKWIRE_GENERATOR_MEMORY_LIMIT_MIB="32")
            keep(process)
            process.start()
            await eventually(lambda: process.returncode is not None, what="it ends")
    process.kill9()
    assert process.returncode == 78
    told = [line for line in process.lines if "MEMORY_LIMIT" in line]
    assert len(told) == 1 and "32 is too low" in told[0]
    assert "Traceback" not in process.log
