"""Broker or store are away while posts are written and read: what goes on, what is refused, and what readiness says.

INKWIRE_OUTAGE_S sets how long the store is down in mid-stream; docs/reliability.md has the figures of 60 s.
"""

import asyncio
import os
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import pytest

from inkwire.client import Client, ClientError
from inkwire_chassis.clock import new_id
from inkwire_chassis.event_log import EventLog, StoredEvent
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_contracts.fold import Snapshot, digest, document, fold_all
from inkwire_contracts.topology import EVENTS, JOBS
from inkwire_stores import open_store
from tests.support.mongo_server import MongoServer
from tests.support.report import RunReport
from tests.support.report import Unavailable as ServerUnavailable
from tests.support.servers import MongoFactory
from tests.support.system import OWNER, SERVICES, System, running_system
from tests.support.wait import eventually

pytestmark = pytest.mark.nats

OUTAGE_S: Final = float(os.environ.get("INKWIRE_OUTAGE_S", "8"))
LATE_S: Final = 60.0
STORE_FILE: Final = "store/posts.sqlite3"
SHORT: Final = {"length": "short"}


@dataclass
class Reader:
    """Follows a post to its end; `kinds` are the updates other than events, as they came."""

    text: str = ""
    kinds: list[str] = field(default_factory=list)

    async def follow(self, client: Client, post: str) -> str:
        async for update in client.follow(post):
            self.text = document(update.snapshot)
            if update.kind != "event":
                self.kinds.append(update.kind)
        return self.text


async def log_of(system: System, post: str) -> list[StoredEvent]:
    async with connected(system.nats.url, "test") as connection:
        jetstream = JetStream(connection)
        await jetstream.start()
        return await EventLog(jetstream, new_id).read(OWNER, post)


async def until_stored(system: System, posts: list[str]) -> dict[str, str]:
    """Wait until the store has the end of every post; their Markdown."""
    async with open_store(system.store_url) as store:

        async def all_ended() -> dict[str, str] | None:
            stored = [await store.get(post) for post in posts]
            assert all(one is not None and one.snapshot.status == "published" and not one.corrupt for one in stored)
            return {one.snapshot.post: one.markdown or "" for one in stored if one is not None}

        return await eventually(all_ended, what="the store has caught up", timeout_s=OUTAGE_S + LATE_S)


async def assert_exact(system: System, readers: dict[str, Reader]) -> None:
    """Store = log = readers for each post, the digest is the text's, and nothing was skipped on the way."""
    stored = await until_stored(system, list(readers))
    for post, reader in readers.items():
        log = await log_of(system, post)
        assert [event.event.seq for event in log] == list(range(1, len(log) + 1))
        snapshot = Snapshot(post=post)
        fold_all(snapshot, [event.event for event in log])
        assert stored[post] == document(snapshot) == reader.text
        assert snapshot.sha256 == digest(reader.text)
    assert [system.metric(name) for name in ("lost_posts", "corrupt_posts", "dead_letters")] == [0, 0, 0]


async def says(system: System, name: str, dependency: str, word: str = "") -> None:
    """Wait until a service is not ready and names a dependency with a reason."""

    def named() -> bool:
        status, checks = system.readiness(name)
        assert status == 503 and checks.get(dependency, "ok") != "ok" and word in checks[dependency], checks
        return True

    await eventually(named, what=f"{name} says that {dependency} is away", timeout_s=LATE_S)


async def post_to_api(system: System, client: Client, key: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    """One POST /posts, without the client's own repeats."""
    headers = {"Authorization": f"Bearer {await client.sign_in()}", "Idempotency-Key": key}
    body = {"title": "Asked while it was away", "options": SHORT}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{system.api_url}/posts", json=body, headers=headers) as answer,
    ):
        return answer.status, dict(answer.headers), await answer.json(content_type=None)


async def refusal(ask: Callable[[], Any]) -> tuple[str, int]:
    """Code and status with which something is refused."""
    with pytest.raises(ClientError) as caught:
        await ask()
    return caught.value.code, caught.value.status


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system over SQLite for the tests of this file."""
    folder = tmp_path_factory.mktemp("embedded")
    with running_system(folder, f"sqlite:///{folder}/{STORE_FILE}") as system:
        yield system


@dataclass
class OverMongo:
    """A system and the MongoDB server that is all its own."""

    system: System
    mongo: MongoServer


@pytest.fixture(scope="module")
def over_mongo(tmp_path_factory: pytest.TempPathFactory, run_report: RunReport) -> Iterator[OverMongo]:
    """One system over MongoDB's protocol for the tests of this file."""
    folder = tmp_path_factory.mktemp("over-mongo")
    try:
        factory = MongoFactory(folder, run_report)
    except ServerUnavailable as error:
        run_report.missing("mongo", str(error))
    mongo = factory()
    try:
        with running_system(folder, f"{mongo.url.rstrip('/')}/outages", tokens_per_s=300) as system:
            yield OverMongo(system, mongo)
    finally:
        factory.close()


@pytest.fixture
def system(embedded: System) -> System:
    return embedded


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
async def test_a_broker_that_comes_back_loses_nothing(kill: bool, system: System) -> None:
    """Everybody says so meanwhile, a request gets 503 and is safe to repeat, readers resume exactly where they were."""
    async with system.client() as client:
        post = (await client.create_post("Written through an outage", options=SHORT))["id"]
        reader = Reader()
        reading = asyncio.ensure_future(reader.follow(client, post))
        await eventually(lambda: len(reader.text) > 300, what="text is shown", timeout_s=LATE_S)
        system.nats.kill9() if kill else system.nats.stop()
        for name in SERVICES:
            await says(system, name, "nats")
        key = f"asked-{kill}"
        status, headers, body = await post_to_api(system, client, key)
        assert (status, body["code"]) == (503, "broker_unavailable") and int(headers["Retry-After"]) > 0
        system.nats.start()
        await system.ready()
        first, second = [await post_to_api(system, client, key) for _ in range(2)]
        assert first[0] == second[0] == 202 and first[2]["id"] == second[2]["id"]
        late = Reader()
        await asyncio.gather(reading, late.follow(client, first[2]["id"]))
        assert reader.kinds == ["replaced"], "the reader was sent the whole post anew"
        await assert_exact(system, {post: reader, first[2]["id"]: late})


@pytest.mark.mongo
async def test_a_store_that_is_down_for_long_stops_no_writing(
    over_mongo: OverMongo, capsys: pytest.CaptureFixture[str]
) -> None:
    """Posts are accepted, written and read live without MongoDB; it is told where it is missed, and caught up after."""
    system, mongo = over_mongo.system, over_mongo.mongo
    async with system.client() as client:
        first = (await client.create_post("Written through an outage"))["id"]
        readers = {first: Reader()}
        tasks = [asyncio.ensure_future(readers[first].follow(client, first))]
        await eventually(lambda: len(readers[first].text) > 300, what="text is shown", timeout_s=LATE_S)
        mongo.kill9()
        down_s = time.monotonic()
        shown = len(readers[first].text)
        for name in ("persister", "api", "gateway"):
            await says(system, name, "store")
        status, checks = system.readiness("generator")
        assert status == 200, checks
        second = (await _unkeyed(system, client))["id"]
        readers[second] = Reader()
        tasks.append(asyncio.ensure_future(readers[second].follow(client, second)))
        await asyncio.gather(*tasks)
        assert len(readers[first].text) > shown
        assert (await client.get_post(first))["status"] == "published"
        assert (await client.markdown(second)).decode() == readers[second].text
        assert await refusal(client.list_posts) == ("store_unavailable", 503)
        assert await refusal(lambda: client.get_post(new_id())) == ("store_unavailable", 503)
        await says(system, "persister", "writes", "MongoDB")
        await eventually(lambda: time.monotonic() - down_s >= OUTAGE_S, what="the outage ends", timeout_s=OUTAGE_S + 1)
        mongo.start()
        back_s = time.monotonic()
        await until_stored(system, list(readers))
        caught_up_s = time.monotonic() - back_s
        with capsys.disabled():
            print(f"\nstore away for {back_s - down_s:.1f} s; caught up {caught_up_s:.1f} s after its return")
        await system.ready()
        await assert_exact(system, readers)
        assert {item["id"] for item in (await client.list_posts())["items"]} >= set(readers)


async def _unkeyed(system: System, client: Client) -> dict[str, Any]:
    """A request without an Idempotency-Key: with one the store must be asked who used it before."""
    headers = {"Authorization": f"Bearer {await client.sign_in()}"}
    body = {"title": "Asked while the store was away", "options": SHORT}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{system.api_url}/posts", json=body, headers=headers) as answer,
    ):
        assert answer.status == 202, await answer.text()
        accepted: dict[str, Any] = await answer.json()
        return accepted


@pytest.mark.mongo
async def test_a_store_that_restarts_costs_nothing(over_mongo: OverMongo) -> None:
    """MongoDB killed and started again in mid-stream: readers notice nothing, the store ends with the same bytes."""
    system, mongo = over_mongo.system, over_mongo.mongo
    async with system.client() as client:
        post = (await client.create_post("Written through a restart", options=SHORT))["id"]
        reader = Reader()
        reading = asyncio.ensure_future(reader.follow(client, post))
        await eventually(lambda: len(reader.text) > 300, what="text is shown", timeout_s=LATE_S)
        mongo.kill9()
        await says(system, "persister", "store")
        mongo.start()
        await reading
        assert reader.kinds == ["replaced"]
        await system.ready()
        await assert_exact(system, {post: reader})


async def _lock(system: System) -> Callable[[], None]:
    path = system.store_url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")

    def release() -> None:
        connection.execute("ROLLBACK")
        connection.close()

    return release


async def _fill_disk(system: System) -> Callable[[], None]:
    """The persister may not write a byte beyond what its files have: as on a full disk."""
    pid = system.services["persister"].pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))

    def release() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    return release


@pytest.mark.parametrize("spoil", [_lock, _fill_disk], ids=["locked", "full"])
async def test_a_file_that_takes_no_writes_is_told_and_caught_up(spoil: Any, system: System) -> None:
    """SQLite locked by somebody else, or its disk full: writing and reading go on, and nothing is skipped."""
    async with system.client() as client:
        post = (await client.create_post("Written past a full disk", options=SHORT))["id"]
        reader = Reader()
        reading = asyncio.ensure_future(reader.follow(client, post))
        await eventually(lambda: len(reader.text) > 300, what="text is shown", timeout_s=LATE_S)
        release = await spoil(system)
        try:
            await says(system, "persister", "writes", "SQLite")
            await reading
        finally:
            release()
        await system.ready()
        await assert_exact(system, {post: reader})


async def _no_broker(system: System) -> None:
    system.nats.stop()


async def _no_streams(system: System) -> None:
    async with connected(system.nats.url, "test") as connection:
        jetstream = JetStream(connection)
        await jetstream.start()
        for stream in (EVENTS, JOBS):
            await jetstream.api(f"STREAM.DELETE.{stream}")


WITHOUT: Final[dict[str, tuple[str, str]]] = {
    "api": ("nats", "streams"),
    "gateway": ("nats", "streams"),
    "generator": ("nats", "topology"),
    "persister": ("nats", "streams"),
}
"""By service: what it names when the broker is away, and when it is there without its streams."""


@pytest.mark.mongo
async def test_readiness_names_what_is_missing(over_mongo: OverMongo) -> None:
    """Each service without each of its dependencies: 503 with its name and a reason, alive all the while, then 200."""
    system, mongo = over_mongo.system, over_mongo.mongo
    for name in SERVICES:
        status, checks = system.readiness(name)
        assert status == 200 and set(checks.values()) == {"ok"}, checks
    await _no_streams(system)
    for name, (_, streams) in WITHOUT.items():
        await says(system, name, streams, "run `inkwire provision`")
    system.provision()
    await system.ready()
    await _no_broker(system)
    for name, (broker, _) in WITHOUT.items():
        await says(system, name, broker)
    system.nats.start()
    await system.ready()
    mongo.kill9()
    for name in ("api", "gateway", "persister"):
        await says(system, name, "store")
    assert system.readiness("generator")[0] == 200, "it writes without the store"
    mongo.start()
    await system.ready()
