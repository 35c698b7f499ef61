"""The persister as a process, on a real broker: what is in the store is what is in the log, whatever dies."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inkwire_chassis.event_log import EventLog
from inkwire_contracts import events
from inkwire_contracts.fold import Snapshot, digest, document, fold_all
from inkwire_stores import PostStore, StoredPost, open_store
from tests.support.log import ScriptedWriter, open_log
from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.post_logs import SECTIONS, is_key, text_of
from tests.support.processes import ManagedProcess, ServiceProcess, http_status
from tests.support.servers import MongoFactory, NatsFactory
from tests.support.wait import eventually

pytestmark = pytest.mark.nats
Keep = Callable[[ManagedProcess], ManagedProcess]
LATE_S = 30


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
    return process


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
