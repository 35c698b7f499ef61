"""Who may write a post, when workers die, stall, stop or wake up late. On a real broker, with real processes."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inkwire_chassis.event_log import EventLog, Fenced
from inkwire_contracts.commands import Job
from inkwire_contracts.events import TERMINAL_TYPES, Event, Started
from inkwire_contracts.fold import Snapshot, document
from inkwire_contracts.topology import DLQ
from inkwire_generator.adapters import jobs as jobs_adapter
from inkwire_generator.adapters import worker as worker_adapter
from inkwire_generator.adapters.jobs import JobQueue, TakenJob
from inkwire_stores import open_store
from inkwire_stores.ports import StoredPost, StoreUnavailable
from inkwire_stores.sqlite import SqlitePostStore
from tests.support.generator import (
    assert_exact,
    commit_job,
    generator_process,
    generator_settings,
    read_folded,
    running_generator,
    until,
    until_final,
    until_idle,
)
from tests.support.log import LONG_LEASE, QUICK_LEASE, ScriptedWriter, make_job, open_log
from tests.support.processes import ManagedProcess, ServiceProcess
from tests.support.sim import SimServer
from tests.support.wait import eventually

Keep = Callable[[ManagedProcess], ManagedProcess]
TITLE = "Top 5 Laravel tips"


def holders(stored: list[Any]) -> list[str]:
    """Who started, in order."""
    return [one.event.data.worker for one in stored if isinstance(one.event, Started)]


def last_of_first_attempt(stored: list[Any]) -> str:
    """The last event of the attempt that was killed, which may have been between two sections."""
    return [one.event.type for one in stored if one.event.attempt == 1 and one.event.type != "progress"][-1]


def writing(words: int) -> Callable[[Snapshot], bool]:
    """Whether a finished section and an open one hold this many words."""
    return lambda post: len(document(post).split()) > words and post.open_section is not None


def in_mid_section(sim: SimServer) -> None:
    """Write so slowly that what is done next meets an open section, however slow this machine is."""
    sim.set_speed(tokens_per_s=1)


def left_by_client(sim: SimServer) -> int:
    """How many answers of the model were given up before their end."""
    return sum(request["close_reason"] == "client_closed" for request in sim.requests())


def at_full_speed(sim: SimServer) -> None:
    """What matters has happened; write the rest quickly."""
    sim.set_speed(tokens_per_s=0, ttft_ms=0)


async def started(keep: Keep, process: ServiceProcess) -> ServiceProcess:
    """The process, ready, and killed after the test."""
    keep(process)
    process.start()
    return await process.ready()


async def test_a_killed_workers_post_is_finished_by_another(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """kill -9 in mid-section: another worker takes over when the lease ends; finished text stays, nothing doubles."""
    with SimServer(tokens_per_s=100, ttft_ms=5) as sim:
        sim.plan_at_once()
        async with open_log(nats_url, QUICK_LEASE) as log:
            first = await started(keep, generator_process(nats_url, sim, tmp_path, "first"))
            job = make_job(title=TITLE)
            await commit_job(log, job)
            await until(log, job, "sections are being written", writing(120))
            in_mid_section(sim)
            before = await until(log, job, "a section is open", writing(120))
            first.kill9()
            at_full_speed(sim)
            await started(keep, generator_process(nats_url, sim, tmp_path, "second"))
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
            await until_idle(log)
    assert_exact(snapshot, stored)
    last = last_of_first_attempt(stored)
    # A kill between two sections wastes nothing, and a heading alone is no answer (see test_accounting.py).
    assert snapshot.metrics is not None and (snapshot.metrics.tokens_wasted == 0 or last == "chunk")
    assert holders(stored) == ["first", "second"]
    for section in before.sections:
        if section.status == "done":
            kept = snapshot.section(section.section)
            assert kept is not None and kept.text == section.text
    begun = [one.event.data.section for one in stored if one.event.type == "section_started"]
    open_count = 0 if last == "section_completed" else 1
    assert len(begun) == len(set(begun)) + open_count, "only the section that was open is begun again"


async def test_a_stopped_worker_hands_its_posts_over_at_once(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """SIGTERM releases the job and rings: the next worker goes on though the lease would last two minutes more."""
    with SimServer(tokens_per_s=100, ttft_ms=5) as sim:
        sim.plan_at_once()
        async with open_log(nats_url, LONG_LEASE) as log:
            first = await started(keep, generator_process(nats_url, sim, tmp_path, "first"))
            job = make_job(title=TITLE)
            await commit_job(log, job)
            await until(log, job, "sections are being written", writing(60))
            in_mid_section(sim)
            await started(keep, generator_process(nats_url, sim, tmp_path, "second", INKWIRE_GENERATOR_POSTS="4"))
            await until(log, job, "a section is open", writing(60))
            assert await first.terminated() == 0
            await eventually(lambda: left_by_client(sim) == 1, what="the first's connection to the model is closed")
            at_full_speed(sim)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
            await until_idle(log)
        assert left_by_client(sim) == 1
    assert "Traceback" not in first.log
    assert_exact(snapshot, stored)
    assert holders(stored) == ["first", "second"]


async def test_a_frozen_worker_is_replaced_and_wakes_up_to_silence(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """A worker that hangs in mid-section loses its post; when it wakes up it writes nothing and takes new work."""
    with SimServer(tokens_per_s=100, ttft_ms=5) as sim:
        sim.plan_at_once()
        async with open_log(nats_url, QUICK_LEASE) as log:
            first = await started(keep, generator_process(nats_url, sim, tmp_path, "first"))
            job = make_job(title=TITLE)
            await commit_job(log, job)
            await until(log, job, "sections are being written", writing(60))
            first.pause()
            second = await started(keep, generator_process(nats_url, sim, tmp_path, "second"))
            await until(log, job, "the second took over", lambda post: post.attempt == 2)
            first.resume()
            await asyncio.to_thread(first.wait_line, "fenced")
            at_full_speed(sim)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
            assert_exact(snapshot, stored)
            assert holders(stored) == ["first", "second"]
            assert await second.terminated() == 0
            other = make_job(title=TITLE)
            await commit_job(log, other)
            assert (await until_final(log, other)).status == "published"
            await until_idle(log)
            assert len((await read_folded(log, job))[1]) == len(stored)


class StalledClaims:
    """Lets a worker claim and then holds it before its first event, until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.claimed = asyncio.Event()
        self.go_on = asyncio.Event()
        self.outcomes: list[str] = []
        self._append = EventLog.append

        async def append(log: EventLog, event: Any, held: Any, **_: Any) -> int:
            return await self._wait(log, event, held)

        monkeypatch.setattr(EventLog, "append", append)

    async def _wait(self, log: EventLog, event: Any, held: Any) -> int:
        if held.attempt == 1 and isinstance(event, Started):
            self.claimed.set()
            await self.go_on.wait()
            try:
                return await self._append(log, event, held)
            except Fenced:
                self.outcomes.append("fenced")
                raise
        return await self._append(log, event, held)


async def test_a_worker_stalled_before_its_first_event(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that claims and stalls is replaced; its late first event is refused and its late ack never comes."""
    stalled = StalledClaims(monkeypatch)
    acks: list[tuple[str, int]] = []
    ack = TakenJob.ack

    async def counted(self: TakenJob) -> None:
        acks.append((self.job.post, self.deliveries))
        await ack(self)

    monkeypatch.setattr(TakenJob, "ack", counted)
    with SimServer() as sim:
        async with open_log(nats_url, QUICK_LEASE) as log:
            zombie = generator_settings(nats_url, sim, tmp_path, name="zombie", posts=1)
            heir = generator_settings(nats_url, sim, tmp_path, name="heir")
            monkeypatch.setattr(TakenJob, "beat", without_beats(TakenJob.beat, deliveries=1))
            async with running_generator(zombie):
                job = make_job(title=TITLE)
                await commit_job(log, job)
                await eventually(stalled.claimed.is_set, what="the zombie has claimed")
                async with running_generator(heir):
                    await until_final(log, job)
                    snapshot, stored = await read_folded(log, job)
                    stalled.go_on.set()
                    await eventually(lambda: stalled.outcomes, what="the zombie has tried to write")
                    await until_idle(log)
                    assert_exact(snapshot, stored)
                    assert holders(stored) == ["heir"]
                    assert len((await read_folded(log, job))[1]) == len(stored)
                    assert acks == [(job.post, 2)]


def without_beats(beat: Callable[[TakenJob], Any], *, deliveries: int) -> Callable[[TakenJob], Any]:
    """Heartbeats of that delivery are lost, so that its lease ends."""

    async def lossy(self: TakenJob) -> None:
        if self.deliveries != deliveries:
            await beat(self)

    return lossy


async def test_a_zombies_late_ack_of_a_running_post_changes_nothing(nats_url: str, tmp_path: Path) -> None:
    """Even an ack that takes the job out of the queue leaves the run to its holder, who ends it exactly."""
    with SimServer(tokens_per_s=100, ttft_ms=5) as sim:
        sim.plan_at_once()
        async with open_log(nats_url, QUICK_LEASE) as log:
            job = make_job(title=TITLE)
            await commit_job(log, job)
            queue = JobQueue(log.jetstream, ["general"])
            await queue.start()
            zombie = await eventually(queue.take, what="the zombie has the job")
            assert zombie is not None
            zombie_writer = await ScriptedWriter.begin(log, job, deliveries=zombie.deliveries)
            async with running_generator(generator_settings(nats_url, sim, tmp_path, name="heir")):
                await until(log, job, "the heir writes", lambda post: post.attempt >= 2 and writing(30)(post))
                await zombie.ack()
                at_full_speed(sim)
                with pytest.raises(Fenced):
                    await zombie_writer.open("s1")
                await until_final(log, job)
                snapshot, stored = await read_folded(log, job)
                await until_idle(log)
    assert_exact(snapshot, stored)
    assert holders(stored)[-1] == "heir"


async def test_a_lost_ack_of_the_terminal_writes_nothing_twice(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job of a published post comes back when its ack is lost; it is acknowledged again and the log stays."""
    lost: list[int] = []
    settle = jobs_adapter._settle

    async def lossy(jetstream: Any, msg: Any, verb: bytes, tries: int = 3) -> None:
        if verb == b"+ACK" and not lost:
            lost.append(msg.metadata.num_delivered)
            return
        await settle(jetstream, msg, verb, tries)

    monkeypatch.setattr(jobs_adapter, "_settle", lossy)
    with SimServer() as sim:
        async with (
            open_log(nats_url, QUICK_LEASE) as log,
            running_generator(generator_settings(nats_url, sim, tmp_path)),
        ):
            job = make_job(title=TITLE)
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
            requests = len(sim.requests())
            await until_idle(log)
            assert lost == [1]
            assert_exact(snapshot, stored)
            assert len((await read_folded(log, job))[1]) == len(stored)
            assert len(sim.requests()) == requests


async def test_a_hanging_post_in_a_living_process_is_given_up(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A post's task that makes no step any more loses its lease to another worker, heartbeats or not."""
    stalled = StalledClaims(monkeypatch)
    with SimServer() as sim:
        async with open_log(nats_url, QUICK_LEASE) as log:
            settings = generator_settings(nats_url, sim, tmp_path, name="hangs", stall_timeout_s=3.0)
            async with running_generator(settings):
                job = make_job(title=TITLE)
                await commit_job(log, job)
                await until_final(log, job)
                snapshot, stored = await read_folded(log, job)
                await until_idle(log)
    assert stalled.claimed.is_set() and not stalled.go_on.is_set()
    assert_exact(snapshot, stored)
    assert [one.event.attempt for one in stored if isinstance(one.event, Started)] == [2]


async def test_a_post_that_no_worker_can_write_fails_in_the_end(nats_url: str, tmp_path: Path) -> None:
    """After five claims without a word the sixth writes the end, and the job lies among the dead letters."""
    with SimServer() as sim:
        async with open_log(nats_url) as log:
            job = make_job(title=TITLE)
            await log.ensure_requested(job)
            for deliveries in range(1, 6):
                await log.claim(job.post, run=1, deliveries=deliveries, holder="crashes")
            await commit_job(log, job)
            # The claims above were of deliveries 1 to 5, so the job must have been delivered as often.
            await redeliver(log, job, times=5)
            async with running_generator(generator_settings(nats_url, sim, tmp_path)):
                snapshot = await until_final(log, job)
                await until_idle(log)
            assert int((await log.jetstream.stream_info(DLQ))["state"]["messages"]) == 1
        assert sim.requests() == []
    assert snapshot.status == "failed"
    assert snapshot.error is not None and snapshot.error.code == "poison"
    assert "5 times" in snapshot.error.message


async def test_workers_that_stop_are_no_sign_of_poison(nats_url: str, tmp_path: Path) -> None:
    """Six workers are told to stop while the model is silent; the seventh writes the post as if nothing had been."""
    with SimServer() as sim:
        sim.add_fault("hang", seconds=600, count=6)
        async with open_log(nats_url, LONG_LEASE) as log:
            job = make_job(title=TITLE)
            await commit_job(log, job)
            for number in range(1, 7):
                async with running_generator(generator_settings(nats_url, sim, tmp_path)):
                    await eventually(lambda asked=number: len(sim.requests()) == asked, what="the model is asked")
            async with running_generator(generator_settings(nats_url, sim, tmp_path)):
                await until_final(log, job)
                snapshot, stored = await read_folded(log, job)
                await until_idle(log)
    assert_exact(snapshot, stored)
    assert snapshot.attempt == 7


async def test_a_store_that_is_away_is_no_sign_of_poison(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A post that waited in the queue is asked for again and again while the store is down, and is written after."""
    get, asked = SqlitePostStore.get, [0]

    async def late(store: SqlitePostStore, post: str) -> StoredPost | None:
        asked[0] += 1
        if asked[0] <= 7:
            raise StoreUnavailable("down")
        return await get(store, post)

    monkeypatch.setattr(SqlitePostStore, "get", late)
    monkeypatch.setattr(worker_adapter, "AWAY_MAX_S", 0.05)
    with SimServer() as sim:
        async with open_log(nats_url) as log:
            job = make_job(title=TITLE)  # of long ago: so the store is asked whether it was purged meanwhile
            await log.ensure_requested(job)
            await commit_job(log, job)
            async with running_generator(generator_settings(nats_url, sim, tmp_path)):
                await until_final(log, job)
                snapshot, stored = await read_folded(log, job)
                await until_idle(log)
    assert asked[0] > 7
    assert_exact(snapshot, stored)
    assert snapshot.attempt == 1, "nobody claims what cannot be read"


async def test_attempts_of_a_log_that_was_lost_are_no_sign_of_poison(nats_url: str, tmp_path: Path) -> None:
    """A post of many take-overs is all that the store kept of a lost log; the next worker goes on and publishes it."""
    job = make_job(title=TITLE)
    settings = {name: getattr(job.request, name) for name in ("title", "recipe", "fingerprint")}
    saved = Snapshot(
        post=job.post, owner=job.owner, run=1, attempt=8, status="generating", seq=30, key_seq=30, **settings
    )
    with SimServer() as sim:
        async with open_log(nats_url) as log:
            config = generator_settings(nats_url, sim, tmp_path)
            async with open_store(config.store_url) as store:
                assert await store.put(StoredPost(saved, 999, "1999-01-01T00:00:00Z"), expected_seq=0)
            await commit_job(log, job)
            async with running_generator(config):
                newest = await eventually(lambda: ended(log, job), what="the run ends", timeout_s=30.0)
                await until_idle(log)
    assert (newest.type, newest.attempt) == ("published", 9)


async def ended(log: EventLog, job: Job) -> Event | None:
    """The last event of a run, once it is there."""
    newest = await log.newest(job.owner, job.post)
    return newest.event if newest is not None and newest.event.type in TERMINAL_TYPES else None


async def redeliver(log: EventLog, job: Job, *, times: int) -> None:
    """Take and give back the job that often."""
    queue = JobQueue(log.jetstream, [job.request.pool])
    await queue.start()
    for _ in range(times):
        taken = await eventually(take_one(queue), what="the job is delivered")
        await taken.release()


def take_one(queue: JobQueue) -> Callable[[], Any]:
    """Look into all lanes."""

    async def take() -> TakenJob | None:
        queue._order.ring_all()
        return await queue.take()

    return take


async def test_a_worker_starts_before_its_broker_is_provisioned(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Any start order works: the worker waits, and is ready once the streams are there."""
    with SimServer() as sim:
        process = generator_process(nats_url, sim, tmp_path, "early")
        keep(process)
        process.start()
        await asyncio.to_thread(process.wait_line, "waiting for the broker")
        async with open_log(nats_url) as log:
            await process.ready()
            job = make_job(title=TITLE)
            await commit_job(log, job)
            assert (await until_final(log, job)).status == "published"
        os.kill(process.pid, signal.SIGTERM)
        await process.terminated()
        assert process.returncode == 0
