"""Three servers, killed or restarted while posts are written and read: nothing is lost, nothing stands still."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import H_MSG_ID, BrokerError
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.fold import Snapshot, document
from inkwire_contracts.topology import EVENTS, JOBS
from tests.integration.gateway_support import Reader, reader, running_gateway, settings, token
from tests.support.api import Api, open_api
from tests.support.log import ScriptedWriter, make_job, open_log, read_now
from tests.support.nats_cluster import ELECTION_TIMEOUT_S, NatsCluster
from tests.support.wait import eventually

T = TypeVar("T")

pytestmark = pytest.mark.slow

POSTS = 6
OUTAGE_TIMEOUT_S = 4 * ELECTION_TIMEOUT_S
"""Readers see nothing while a test takes servers away, looks at what is refused, and brings them back."""

SECTION_CHUNKS = 5


@pytest.fixture
def cluster(nats_cluster: NatsCluster, cluster_url: str) -> Iterator[NatsCluster]:
    """The run's three servers; all run again after each test."""
    yield nats_cluster
    for node in nats_cluster.nodes:
        if not node.process.running:
            node.start_process()


@dataclass
class Load:
    """Posts that are written, each followed by a reader, until somebody says that it is enough."""

    log: EventLog
    writers: list[ScriptedWriter]
    readers: list[Reader]
    enough: asyncio.Event

    @property
    def seqs(self) -> list[int]:
        """How far each post is."""
        return [writer.snapshot.seq for writer in self.writers]

    async def goes_on(self) -> None:
        """Wait until every post has got further."""
        before = self.seqs
        await eventually(
            lambda: all(now > then for now, then in zip(self.seqs, before, strict=True)),
            what="every post goes on",
            timeout_s=ELECTION_TIMEOUT_S,
        )


async def _write(writer: ScriptedWriter, enough: asyncio.Event) -> None:
    number = 0
    while not enough.is_set():
        number += 1
        await writer.section(f"s{number}", *(f"{number}.{word} åß\U0001f600 " for word in range(SECTION_CHUNKS)))
    await writer.publish()


@asynccontextmanager
async def under_load(cluster: NatsCluster, folder: Path) -> AsyncIterator[Load]:
    """Writers and readers for the length of a block; at its end what was written is stored, and was read."""
    async with open_log(cluster.url) as log, running_gateway(settings(cluster.url, folder)) as gateway:
        writers = [await ScriptedWriter.begin(log, make_job("ada")) for _ in range(POSTS)]
        sockets = [reader(gateway.port, token()) for _ in writers]
        readers = [await each.__aenter__() for each in sockets]
        for writer, client in zip(writers, readers, strict=True):
            await client.follow(f"post:{writer.job.post}")
        load = Load(log, writers, readers, asyncio.Event())
        writing = [asyncio.ensure_future(_write(writer, load.enough)) for writer in writers]
        reading = [
            asyncio.ensure_future(_read(writer, client)) for writer, client in zip(writers, readers, strict=True)
        ]
        try:
            await load.goes_on()
            yield load
            await load.goes_on()
            load.enough.set()
            await asyncio.gather(*writing)
            shown = await asyncio.gather(*reading)
            for writer, client, end in zip(writers, readers, shown, strict=True):
                await _is_exact(log, writer, client, end)
        finally:
            load.enough.set()
            for task in (*writing, *reading):
                task.cancel()
            for each in sockets:
                await each.__aexit__(None, None, None)


async def _read(writer: ScriptedWriter, client: Reader) -> Snapshot:
    """To the end, however long an outage and the elections after it keep it waiting.

    Who fell behind is shown the whole post anew: it has the end only once its texts have come, too.
    """
    channel = f"post:{writer.job.post}"
    while channel not in client.live or not client.snapshots[channel].is_final:
        await client.next(timeout_s=OUTAGE_TIMEOUT_S)
    return client.snapshots[channel]


async def _is_exact(log: EventLog, writer: ScriptedWriter, client: Reader, shown: Snapshot) -> None:
    stored = await read_now(log, writer.job)
    assert [one.event.seq for one in stored] == list(range(1, writer.snapshot.seq + 1)), "stored once, in order"
    history = await log.history(writer.job.owner, writer.job.post)
    assert history.snapshot == writer.snapshot
    assert client.exact
    assert document(shown) == document(writer.snapshot)
    assert shown.sha256 == writer.snapshot.sha256


@pytest.mark.parametrize("stream", [EVENTS, JOBS])
async def test_the_leader_is_killed_while_posts_are_written(cluster: NatsCluster, tmp_path: Path, stream: str) -> None:
    """kill -9 of a stream's leader: no event and no job is lost or stored twice, readers go on without a wrong text."""
    async with under_load(cluster, tmp_path) as load:
        leader = await asyncio.to_thread(cluster.leader, stream)
        leader.kill9()
        job = make_job("ada")
        acks = [await _committed(load.log, job) for _ in range(2)]
        assert acks[0] == acks[1], "the same Msg-Id, the same place"
        await load.goes_on()
        leader.start_process()
        await asyncio.to_thread(cluster.wait_healthy)
        assert int((await _insisting(lambda: load.log.jetstream.stream_info(JOBS)))["state"]["messages"]) == 1


async def test_all_servers_are_restarted_one_by_one(cluster: NatsCluster, tmp_path: Path) -> None:
    """SIGTERM, start, healthy, the next: everything goes on meanwhile."""
    async with under_load(cluster, tmp_path) as load:
        for node in cluster.nodes:
            await asyncio.to_thread(node.stop)
            node.start_process()
            await asyncio.to_thread(cluster.wait_healthy)
            await load.goes_on()


async def test_without_a_quorum_nothing_is_accepted_and_nothing_is_lost(cluster: NatsCluster, tmp_path: Path) -> None:
    """Two servers down: posts answer 503, readiness is false, text waits. Back: all goes on, each request once."""
    async with open_api(cluster.url, tmp_path) as api:
        assert (await api.create(key="before")).status == 202
        async with under_load(cluster, tmp_path) as load:
            lost = cluster.nodes[1:]
            for node in lost:
                node.kill9()
            refused = await api.create(key="meanwhile")
            assert (refused.status, refused.code) == (503, "broker_unavailable")
            await eventually(lambda: _is_ready(api, False), what="the api is not ready", timeout_s=ELECTION_TIMEOUT_S)
            stood = load.seqs
            assert (await api.create(key="meanwhile")).status == 503
            assert load.seqs == stood
            for node in lost:
                node.start_process()
            await asyncio.to_thread(cluster.wait_healthy)
            accepted = await eventually(lambda: _accepted(api, "meanwhile"), what="202", timeout_s=ELECTION_TIMEOUT_S)
            assert await _accepted(api, "meanwhile") == accepted
            await eventually(lambda: _is_ready(api, True), what="the api is ready", timeout_s=ELECTION_TIMEOUT_S)
        assert await api.jobs() == 2


async def _committed(log: EventLog, job: Job) -> int:
    """The api's commit point, asked until it is acknowledged; where the job is stored."""
    subject, headers = subjects.job("general", "normal", job.owner), {H_MSG_ID: job.msg_id}
    ack = await _insisting(lambda: log.jetstream.publish(subject, job.model_dump_json().encode(), headers))
    return ack.seq


async def _insisting(work: Callable[[], Awaitable[T]]) -> T:
    return await eventually(work, what="an answer", timeout_s=ELECTION_TIMEOUT_S, ignoring=(BrokerError,))


async def _is_ready(api: Api, wanted: bool) -> bool:
    return ((await api.ask("GET", "/readyz", subject=None)).status == 200) is wanted


async def _accepted(api: Api, key: str) -> str | None:
    answer = await api.create(key=key)
    return str(answer.json["id"]) if answer.status == 202 else None
