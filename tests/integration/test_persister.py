"""The persister as a process, on a real broker: what is in the store is what is in the log, whatever dies."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import BrokerError
from inkwire_chassis.provisioning import provision
from inkwire_contracts import events, subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.fold import Snapshot, digest, document, fold_all
from inkwire_contracts.subjects import post_event
from inkwire_contracts.topology import DLQ, EVENTS, JOBS, PERSISTER_DURABLE
from inkwire_stores import PostStore, StoredPost, open_store
from tests.support.log import SMALL, ScriptedWriter, make_job, open_log
from tests.support.nats_server import NatsServer, stream_names
from tests.support.ports import free_port
from tests.support.post_logs import SECTIONS, is_key, post_id, text_of
from tests.support.processes import ManagedProcess, ServiceProcess, http_status
from tests.support.servers import MongoFactory, NatsFactory
from tests.support.wait import eventually

pytestmark = pytest.mark.nats
Keep = Callable[[ManagedProcess], ManagedProcess]
LATE_S = 60
STARTED: list[ServiceProcess] = []


def persister(keep: Keep, nats_url: str, store_url: str, **settings: str) -> ServiceProcess:
    """A persister's process, not yet started."""
    port = free_port()
    env = {
        "INKWIRE_NATS_URL": nats_url,
        "INKWIRE_STORE_URL": store_url,
        "INKWIRE_PERSISTER_HEALTH_PORT": str(port),
        "INKWIRE_PERSISTER_LONGEST_RETRY_S": "1",
        "INKWIRE_LOG_FORMAT": "human",
        "INKWIRE_LOG_LEVEL": "debug",
        **settings,
    }
    process = ServiceProcess("persister", env=env, ready_url=f"http://127.0.0.1:{port}/readyz")
    keep(process)
    STARTED.append(process)
    return process


@pytest.fixture(autouse=True)
def no_crashed_fetch(keep: Keep) -> Iterator[None]:
    """No fetch may crash: FastStream would restart it and drop the batch in hand until its ack wait ends."""
    yield
    for process in STARTED:
        assert "raised an exception, retrying" not in process.log
    STARTED.clear()


def metric(process: ServiceProcess, name: str) -> int:
    """One of the persister's counters."""
    status, body = http_status(process.ready_url.replace("/readyz", "/metrics"))
    assert status == 200, body
    (line,) = [line for line in body.splitlines() if line.startswith(f"inkwire_persister_{name}_total ")]
    return int(line.rsplit(" ", 1)[1])


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store/posts.sqlite3"
    url, name = request.getfixturevalue("mongo_database")
    return f"{url.rstrip('/')}/{name}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store/posts.sqlite3"


async def write_section(writer: ScriptedWriter, name: str, text: str, *, chunk: int = 11) -> None:
    await writer.write(events.SectionStarted, section=name, title=name.title())
    for start in range(0, len(text), chunk):
        piece = text[start : start + chunk]
        await writer.write(events.ChunkProduced, section=name, start=start, end=start + len(piece), text=piece)
    await writer.write(events.SectionCompleted, section=name, text=text)


async def write_whole(writer: ScriptedWriter, sections: Any = SECTIONS, *, sha256: str | None = None) -> None:
    planned = [{"section": name, "title": name.title()} for name, _ in sections]
    await writer.write(events.Planned, sections=planned)
    for name, text in sections:
        await write_section(writer, name, text)
    text = text_of(sections)
    await writer.write(events.PostPublished, sha256=sha256 or digest(text), length=len(text))


async def expected(log: EventLog, writer: ScriptedWriter) -> StoredPost:
    """What must be stored: the fold of the log's key events."""
    stored = [s for s in await log.read(writer.job.owner, writer.job.post) if is_key(s.event)]
    snapshot = Snapshot(post=writer.job.post)
    fold_all(snapshot, [s.event for s in stored])
    markdown = document(snapshot) if snapshot.is_final else None
    return StoredPost(snapshot, stored[-1].stream_seq, await log.epoch(), markdown)


async def until_stored(store: PostStore, log: EventLog, writer: ScriptedWriter) -> StoredPost:
    """Wait until the store has what the log says, and give that."""
    want = await expected(log, writer)

    async def equal() -> bool:
        assert await store.get(writer.job.post) == want
        return True

    await eventually(equal, what=f"post {writer.job.post} is stored as the log says", timeout_s=LATE_S)
    return want


async def test_a_whole_post_is_stored_with_its_digest(nats_url: str, store_url: str, keep: Keep) -> None:
    """A published post is in the store with the Markdown whose SHA-256 the log's last event names."""
    async with open_log(nats_url) as log, open_store(store_url) as store:
        process = persister(keep, nats_url, store_url)
        await process.start().ready()
        writer = await ScriptedWriter.begin(log)
        await write_whole(writer)
        stored = await until_stored(store, log, writer)
        assert stored.markdown == text_of() and stored.snapshot.sha256 == digest(text_of())
        assert stored.snapshot.status == "published" and not stored.corrupt
        assert [line.id for line in await store.list_posts("local", limit=5)] == [writer.job.post]
        await asyncio.to_thread(process.assert_clean_exit)


async def test_killed_in_the_middle_it_catches_up(nats_url: str, store_url: str, keep: Keep) -> None:
    """A persister that is killed (-9) while a post is written, again and again, leaves no event out."""
    async with open_log(nats_url) as log, open_store(store_url) as store:
        process = persister(keep, nats_url, store_url)
        writer = await ScriptedWriter.begin(log)
        planned = [{"section": name, "title": name} for name, _ in SECTIONS]
        await writer.write(events.Planned, sections=planned)
        for name, text in SECTIONS:
            await process.start().ready()
            await write_section(writer, name, text)
            await eventually(lambda: store.get(writer.job.post), what="something of the post is stored")
            process.kill9()
        await writer.write(events.PostPublished, sha256=digest(text_of()), length=len(text_of()))
        await process.start().ready()
        stored = await until_stored(store, log, writer)
        assert stored.markdown == text_of()


async def test_two_persisters_store_each_post_once_and_whole(nats_url: str, store_url: str, keep: Keep) -> None:
    """Two processes on one consumer share the work of many posts; one may die."""
    async with open_log(nats_url) as log, open_store(store_url) as store:
        first, second = (persister(keep, nats_url, store_url, INKWIRE_PERSISTER_BATCH_MESSAGES="3") for _ in range(2))
        await asyncio.gather(first.start().ready(), second.start().ready())
        writers = [await ScriptedWriter.begin(log) for _ in range(6)]
        await asyncio.gather(*(write_whole(writer) for writer in writers))
        for writer in writers:
            await until_stored(store, log, writer)
        stored = [event for w in writers for event in await log.read("local", w.job.post)]
        count = len([event for event in stored if is_key(event.event)])

        def all_acknowledged() -> bool:
            return metric(first, "events_stored") + metric(second, "events_stored") >= count

        await eventually(all_acknowledged, what="every key event is acknowledged", timeout_s=LATE_S)
        first.kill9()
        last = await ScriptedWriter.begin(log)
        await write_whole(last)
        await until_stored(store, log, last)


@pytest.mark.mongo
async def test_nothing_is_skipped_while_the_store_is_away(
    nats_url: str, keep: Keep, mongo_factory: MongoFactory
) -> None:
    """Posts written while the database is stopped are stored, whole, once it is back; meanwhile it is not ready."""
    server = mongo_factory()
    url = f"{server.url}posts"
    async with open_log(nats_url) as log, open_store(url) as store:
        process = persister(keep, nats_url, url)
        await process.start().ready()
        half = await ScriptedWriter.begin(log)
        await until_stored(store, log, half)
        await asyncio.to_thread(server.stop)
        await write_whole(half)
        other = await ScriptedWriter.begin(log)
        await write_whole(other)
        await eventually(lambda: metric(process, "retries") >= 2, what="the store is missed", timeout_s=LATE_S)
        status, body = http_status(process.ready_url)
        assert status == 503 and '"nats": "ok"' in body and '"store": "ok"' not in body
        server.start()  # from this thread: the child dies with the one that starts it
        for writer in (half, other):
            assert (await until_stored(store, log, writer)).markdown == text_of()
        await process.ready()
        assert url.split("/")[2] not in process.log, "the log names the database's address"


async def test_nothing_is_skipped_while_the_file_is_locked(nats_url: str, sqlite_url: str, keep: Keep) -> None:
    """While another program holds SQLite's write lock events wait; afterwards the post is there, whole."""
    async with open_log(nats_url) as log, open_store(sqlite_url) as store:
        process = persister(keep, nats_url, sqlite_url)
        await process.start().ready()
        holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        writer = await ScriptedWriter.begin(log)
        await write_whole(writer)
        await eventually(lambda: metric(process, "retries"), what="the lock is felt", timeout_s=LATE_S)
        assert await store.get(writer.job.post) is None
        holder.execute("ROLLBACK")
        holder.close()
        await until_stored(store, log, writer)


async def test_a_forged_digest_is_never_published(nats_url: str, store_url: str, keep: Keep) -> None:
    """A published event that names the digest of another text ends as corrupt: marked, counted, logged, kept."""
    async with open_log(nats_url) as log, open_store(store_url) as store:
        process = persister(keep, nats_url, store_url)
        await process.start().ready()
        writer = await ScriptedWriter.begin(log)
        await write_whole(writer, sha256=digest("another text"))

        async def corrupt() -> StoredPost | None:
            stored = await store.get(writer.job.post)
            return stored if stored is not None and stored.corrupt else None

        stored = await eventually(corrupt, what="the post is marked", timeout_s=LATE_S)
        assert stored.markdown == text_of() and stored.snapshot.status == "failed"
        (line,) = await store.list_posts("local", limit=5)
        assert line.status == "failed" and "not proven" in line.message
        assert metric(process, "corrupt_posts") == 1 and metric(process, "refolds") >= 1
        assert "post is corrupt" in process.log


async def test_what_is_no_event_is_put_aside_alone(nats_url: str, sqlite_url: str, keep: Keep) -> None:
    """Garbage and a forged owner among a batch go to the dead letters; every real event is stored."""
    async with open_log(nats_url) as log, open_store(sqlite_url) as store:
        writer = await ScriptedWriter.begin(log)
        garbage = {post_event("local", post_id(1), "requested"): b"\xffno json"}
        stolen = (await log.read("local", writer.job.post))[0].raw
        garbage[post_event("eve", writer.job.post, "requested")] = stolen
        for subject, payload in garbage.items():
            await log.jetstream.publish(subject, payload, {})
        await write_whole(writer)
        process = persister(keep, nats_url, sqlite_url)
        await process.start().ready()
        await until_stored(store, log, writer)
        await eventually(lambda: metric(process, "dead_letters") == 2, what="both are put aside")
        for subject, payload in garbage.items():
            dead = await log.jetstream.leader_last(DLQ, f"dlq.events.{subject}")
            assert dead is not None and dead.payload == payload
        assert await store.list_posts("eve", limit=5) == []

        async def nothing_left() -> bool:
            info = await log.jetstream.api(f"CONSUMER.INFO.{EVENTS}.{PERSISTER_DURABLE}")
            return bool(info["num_ack_pending"] == 0 and info["num_pending"] == 0)

        await eventually(nothing_left, what="every message is answered")


async def test_a_broker_that_is_killed_loses_nothing(sqlite_url: str, keep: Keep, nats_factory: NatsFactory) -> None:
    """The persister goes on by itself after nats-server was killed and came back on its data."""
    server = nats_factory()
    async with open_log(server.url) as log, open_store(sqlite_url) as store:
        process = persister(keep, server.url, sqlite_url)
        await process.start().ready()
        writer = await ScriptedWriter.begin(log)
        await until_stored(store, log, writer)
        server.restart(kill=True)
        await write_whole(writer)
        await until_stored(store, log, writer)
        process.assert_running()


async def test_it_waits_for_a_broker_that_comes_late(tmp_path: Path, sqlite_url: str, keep: Keep) -> None:
    """Started before NATS, and before it is provisioned, it is alive, not ready, and then ready without a restart."""
    port = free_port()
    process = persister(keep, f"nats://127.0.0.1:{port}", sqlite_url)
    process.start()
    alive = process.ready_url.replace("/readyz", "/livez")
    await eventually(lambda: http_status(alive)[0] == 200, what="it is alive", timeout_s=LATE_S)
    server = LateNats(tmp_path / "nats", port)
    keep(server.process)
    server.start()
    await eventually(lambda: "waiting for the broker" in process.log, what="it finds no streams", timeout_s=LATE_S)
    status, body = http_status(process.ready_url)
    assert status == 503 and '"nats"' in body and '"store"' in body
    async with open_log(server.url):
        await process.ready()


class LateNats(NatsServer):
    """A server on a port chosen before it starts."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self._port = port
        self._monitoring_port = free_port()


async def test_without_provisioning_it_ends_with_one_line(nats_url: str, sqlite_url: str, keep: Keep) -> None:
    """When streams stay missing it says what to run, exits with the code for configuration, and creates nothing."""
    process = persister(keep, nats_url, sqlite_url, INKWIRE_PERSISTER_PROVISION_TIMEOUT_S="0.5")
    process.start()
    await eventually(lambda: not process.running, what="it gives up", timeout_s=LATE_S)
    assert process.returncode == 78
    assert any("is missing: run `inkwire provision`" in line for line in process.lines)
    assert "Traceback" not in process.log
    assert stream_names(nats_url) == []


async def test_a_consumer_that_disappears_is_waited_for(nats_url: str, sqlite_url: str, keep: Keep) -> None:
    """It makes none of its own, says what to run at /readyz, and goes on by itself once that was done."""
    async with open_log(nats_url) as log, open_store(sqlite_url) as store:
        process = persister(keep, nats_url, sqlite_url)
        await process.start().ready()
        path = f"{EVENTS}.{PERSISTER_DURABLE}"
        await log.jetstream.api(f"CONSUMER.DELETE.{path}")
        status, body = http_status(process.ready_url)
        assert status == 503 and json.loads(body)["checks"]["streams"] == (
            "consumer persister is missing: run `inkwire provision`"
        )
        await eventually(lambda: "nothing is stored: run" in process.log, what="it is told", timeout_s=LATE_S)
        with pytest.raises(BrokerError):
            await log.jetstream.api(f"CONSUMER.INFO.{path}")
        writer = await ScriptedWriter.begin(log)
        await write_whole(writer)
        await provision(log.jetstream, SMALL)
        await until_stored(store, log, writer)
        await process.ready()
        assert process.log.count("nothing is stored: run") == 1 and process.running


async def waiting_jobs(log: EventLog) -> list[Job]:
    """What is in the queue."""
    found: list[Job] = []
    after = 0
    while (stored := await log.jetstream.leader_next(JOBS, "jobs.>", after + 1)) is not None:
        after = stored.seq
        found.append(Job.model_validate_json(stored.payload))
    return found


async def publish_job(log: EventLog, job: Job) -> None:
    """As the api commits it."""
    subject = subjects.job(job.request.pool, job.priority, job.owner)
    await log.jetstream.publish(subject, job.model_dump_json().encode(), {"Nats-Msg-Id": job.msg_id})


@pytest.mark.parametrize("lost", ["both", "events", "jobs"])
async def test_an_unfinished_post_that_lost_its_job_is_taken_up_again(
    lost: str, nats_url: str, sqlite_url: str, keep: Keep
) -> None:
    """Whichever stream is lost: once, with what was asked for, and none that has its job, its end or its letter."""
    async with open_log(nats_url) as log, open_store(sqlite_url) as store:
        process = persister(keep, nats_url, sqlite_url)
        await process.start().ready()
        writers = [await ScriptedWriter.begin(log, make_job(title=f"Post {n}")) for n in range(4)]
        open_post, queued, ended, aside = writers
        letter = aside.job
        dead = subjects.dead_job(subjects.job(letter.request.pool, letter.priority, letter.owner))
        await log.jetstream.publish(dead, letter.model_dump_json().encode(), {"Nats-Msg-Id": letter.msg_id})
        await publish_job(log, open_post.job)
        await publish_job(log, queued.job)
        await open_post.section("s1", "kept")
        await write_whole(ended)
        for writer in writers:
            await until_stored(store, log, writer)
        if lost != "jobs":
            await log.jetstream.api(f"STREAM.DELETE.{EVENTS}")
        if lost != "events":
            await log.jetstream.api(f"STREAM.DELETE.{JOBS}")
        await provision(log.jetstream, SMALL)
        if lost == "jobs":
            await publish_job(log, queued.job)
        wanted = {open_post.job.post, queued.job.post}

        async def all_there() -> bool:
            return {job.post for job in await waiting_jobs(log)} == wanted

        await eventually(all_there, what="both posts have a job", timeout_s=LATE_S)
        again = persister(keep, nats_url, sqlite_url)  # another one, and a later one: still one job for each
        await again.start().ready()
        await eventually(lambda: "persister takes events" in again.log, what="it works", timeout_s=LATE_S)
        await asyncio.to_thread(again.term)
        jobs = await waiting_jobs(log)
        assert sorted(job.post for job in jobs) == sorted(wanted)
        (job,) = [job for job in jobs if job.post == open_post.job.post]
        assert (job.run, job.request) == (open_post.job.run, open_post.job.request)
        assert job.delivered == (1 if lost == "jobs" else 0)
        assert metric(process, "taken_up_runs") == {"both": 2, "events": 0, "jobs": 1}[lost]
