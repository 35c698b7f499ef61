"""Three servers, one of which is behind, cut off, or asleep: nobody who asks it is answered from the past."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from inkwire_chassis.event_log import EventLog, Fenced, Held
from inkwire_chassis.jetstream import BrokerError
from inkwire_contracts.commands import CancelIntent
from inkwire_contracts.events import Started
from inkwire_contracts.fold import document
from inkwire_contracts.topology import EVENTS
from tests.integration.gateway_support import Reader, reader, running_gateway, settings, token
from tests.support.log import TIME, ScriptedWriter, connect_log, make_job, open_log
from tests.support.nats_cluster import ELECTION_TIMEOUT_S, NatsCluster
from tests.support.nats_server import NatsServer
from tests.support.wait import eventually

T = TypeVar("T")


@pytest.fixture
def cluster(nats_cluster: NatsCluster, cluster_url: str) -> Iterator[NatsCluster]:
    """The run's three servers, whole again after each test."""
    yield nats_cluster
    nats_cluster.heal()
    for process in nats_cluster.processes:
        process.resume()


@asynccontextmanager
async def one_apart(cluster: NatsCluster) -> AsyncIterator[tuple[EventLog, EventLog, NatsServer]]:
    """A log on the two servers that stay together, one on the third, and the third, which leads nothing."""
    async with open_log(cluster.url):
        leaders = {await asyncio.to_thread(cluster.leader, EVENTS), await asyncio.to_thread(cluster.meta_leader)}
        apart = cluster.others(*leaders)[0]
        both = ",".join(node.url for node in cluster.others(apart))
        async with connect_log(both) as log, connect_log(apart.url) as behind:
            yield log, behind, apart


async def insisting(work: Callable[[], Awaitable[T]]) -> T:
    """Do it as often as an election makes it fail; it may be done more than once."""
    return await eventually(work, what="the servers agree", timeout_s=ELECTION_TIMEOUT_S, ignoring=(BrokerError,))


async def direct_seq(log: EventLog, writer: ScriptedWriter) -> int:
    """What the server that is asked says for itself."""
    newest = await log.newest(writer.job.owner, writer.job.post)
    return 0 if newest is None else newest.event.seq


async def test_a_zombie_on_a_server_that_was_cut_off_is_fenced(cluster: NatsCluster) -> None:
    """What it writes while it is alone is never stored; it is told so as soon as its server is back."""
    async with one_apart(cluster) as (log, behind, apart):
        zombie = await insisting(lambda: ScriptedWriter.begin(behind))
        await zombie.open("s1")
        await zombie.chunk("old ")
        cluster.isolate(apart)
        late = asyncio.ensure_future(zombie.chunk("late"))
        heir = await insisting(lambda: ScriptedWriter.begin(log, zombie.job, deliveries=2))
        await heir.section("s1", "new ", "text")
        await heir.publish()
        assert not late.done()
        cluster.heal()
        with pytest.raises(Fenced):
            await late
        history = await log.history(zombie.job.owner, zombie.job.post)
        assert document(history.snapshot) == "new text"
        assert history.snapshot.status == "published"


async def test_a_replica_that_lags_does_not_answer_a_worker(cluster: NatsCluster) -> None:
    """It has the past and says so to whom that will do; who has a claim waits until it has caught up."""
    async with one_apart(cluster) as (log, behind, apart):
        first = await insisting(lambda: ScriptedWriter.begin(log))
        await first.section("s1", "kept ")
        unknown = make_job()
        await eventually(lambda: _reached(behind, first), what="the third server has the beginning")
        cluster.isolate(apart)
        second = await insisting(lambda: ScriptedWriter.begin(log, first.job, deliveries=2))
        await second.section("s2", "more")
        new = await insisting(lambda: ScriptedWriter.begin(log, unknown))
        assert await direct_seq(behind, first) < second.snapshot.seq, "it should lag"
        asked = [
            asyncio.ensure_future(behind.history(each.job.owner, each.job.post, at_least=each.held.token))
            for each in (second, new)
        ]
        newest = asyncio.ensure_future(behind.newest(unknown.owner, unknown.post, at_least=new.held.token))
        with pytest.raises(BrokerError):
            await behind.newest_now(first.job.owner, first.job.post)
        assert not newest.done() and not any(answer.done() for answer in asked)
        cluster.heal()
        histories = await asyncio.gather(*asked)
        assert [history.snapshot for history in histories] == [second.snapshot, new.snapshot]
        found = await newest
        assert found is not None and found.event.seq == new.snapshot.seq


async def test_a_replica_that_lags_hides_no_wish_to_cancel(cluster: NatsCluster) -> None:
    """Whoever asks for all posts' wishes by it gets no answer, until that has each wish that was stored before."""
    async with one_apart(cluster) as (log, behind, apart):
        writer = await insisting(lambda: ScriptedWriter.begin(log))
        job = writer.job
        await eventually(lambda: _reached(behind, writer), what="the third server has the beginning")

        async def first_answer(asked: EventLog) -> tuple[set[str]]:
            return (await asked.cancel_intents([job]),)  # an empty one is an answer, too

        assert await insisting(lambda: first_answer(behind)) == (set(),)
        cluster.isolate(apart)
        intent = CancelIntent(post=job.post, owner=job.owner, run=1, time=TIME)

        async def stored() -> bool:
            await log.store_cancel_intent(intent)
            return True

        await insisting(stored)
        with pytest.raises(BrokerError):
            await behind.cancel_intents([job])
        asked = asyncio.ensure_future(insisting(lambda: first_answer(behind)))
        cluster.heal()
        assert await asked == ({job.post},)


async def _reached(log: EventLog, writer: ScriptedWriter) -> bool:
    return await direct_seq(log, writer) == writer.snapshot.seq


async def test_a_reader_is_not_sent_back_by_a_gateway_whose_server_lags(cluster: NatsCluster, tmp_path: Path) -> None:
    """A reader who comes from a gateway that knew more waits until the server has caught up, and goes on from there."""
    async with one_apart(cluster) as (log, behind, apart):
        writer = await insisting(lambda: ScriptedWriter.begin(log, make_job("ada")))
        await writer.open("s1")
        await writer.chunk("Hello")
        channel = f"post:{writer.job.post}"
        chosen = settings(apart.url, tmp_path)
        async with running_gateway(chosen) as gateway, reader(gateway.port, token()) as there:
            await eventually(lambda: _reached(behind, writer), what="the third server has the beginning")
            await there.follow(channel)
            epoch = await insisting(log.epoch)
            cluster.isolate(apart)
            for text in (" more", " and", " more"):
                await writer.chunk(text)
            assert await direct_seq(behind, writer) < writer.snapshot.seq, "it should lag"
            position = {"epoch": epoch, "seq": writer.snapshot.seq}
            async with reader(gateway.port, token()) as moved:
                moved.snapshots[channel] = writer.snapshot.model_copy(deep=True)
                moved.positions[channel] = position
                following = asyncio.ensure_future(_come_back(moved, channel, position))
                await writer.close()
                await writer.publish()
                cluster.heal()
                await following
                end = await there.read_to_end(channel)
    assert document(end) == "Hello more and more" and there.exact and moved.exact
    seen = [frame for frame in moved.frames if frame["type"] in ("snapshot", "live")]
    places = [frame["position"] if frame["type"] == "live" else frame["snapshot"] for frame in seen]
    assert all(place["seq"] >= position["seq"] for place in places)


async def _come_back(client: Reader, channel: str, position: dict[str, object]) -> None:
    """Follow a post from a place, as often as the gateway says that it cannot tell yet."""
    await client.send(type="subscribe", channel=channel, position=position)
    while True:
        frame = await client.next()
        if frame["type"] == "error":
            assert frame["code"] == "broker_unavailable"
            await client.send(type="subscribe", channel=channel, position=position)
        elif frame["type"] == "live":
            return


async def claim_late(log: EventLog, writer: ScriptedWriter) -> Held:
    """The claim of a worker that got the job once more."""
    return await insisting(lambda: log.claim(writer.job.post, run=1, deliveries=3, holder="late"))


@pytest.mark.slow
async def test_a_leader_that_slept_does_not_mislead_a_worker(cluster: NatsCluster) -> None:
    """A leader that wakes up may believe for a moment that it still leads: a claim or a history is none on its word."""
    async with one_apart(cluster) as (log, _, _):
        old = await insisting(lambda: ScriptedWriter.begin(log))
        await old.section("s1", "kept ")
        leader = await asyncio.to_thread(cluster.leader, EVENTS)
        rest = cluster.others(leader)
        async with connect_log(leader.url) as woken, connect_log(",".join(node.url for node in rest)) as awake:
            leader.process.pause()
            heir = await insisting(lambda: ScriptedWriter.begin(awake, old.job, deliveries=2))
            await heir.section("s2", "new")
            claiming = asyncio.ensure_future(claim_late(woken, old))
            reading = asyncio.ensure_future(
                insisting(lambda: woken.history(old.job.owner, old.job.post, at_least=heir.held.token))
            )
            await asyncio.sleep(0)  # both are on their way to the sleeper
            leader.process.resume()
            held, history = await claiming, await reading
            assert history.snapshot.seq >= heir.snapshot.seq
            assert held.token > heir.held.token and held.attempt > heir.held.attempt
            late = Started(
                post=old.job.post, owner=old.job.owner, run=1, attempt=heir.held.attempt, seq=heir.snapshot.seq + 1,
                prev=heir.snapshot.key_seq, time=TIME,
            )  # fmt: skip
            with pytest.raises(Fenced):
                await awake.append(late, heir.held)
