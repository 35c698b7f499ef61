"""One Idempotency-Key, one post: deaths between the publishes, requests at once, restarts of the broker.

Each interleaving of docs/architecture.md that the api can be part of, on a real broker and a real store.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from faststream.nats import NatsBroker

from inkwire_api.adapters.log import JetStreamLog
from inkwire_api.adapters.publisher import FastStreamJobs
from inkwire_api.mentioning import Mentions
from inkwire_api.ports import Receipt
from inkwire_api.posts import Limits, Posts, Wish
from inkwire_api.rate_limit import RateLimiter
from inkwire_chassis.clock import SystemClock, new_id
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.lifecycle import spawn
from inkwire_chassis.nats_connection import connection_options
from inkwire_contracts.commands import Job
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import Deleted, GenerateRequested
from inkwire_contracts.ids import idempotent_post_id
from inkwire_contracts.topology import JOBS
from inkwire_recipes.registry import load_recipes
from tests.support.api import Answer, Api, open_api
from tests.support.documents import MemoryDocuments
from tests.support.log import ScriptedWriter
from tests.support.nats_server import NatsServer
from tests.support.servers import NatsFactory
from tests.support.wait import eventually

KEY = "order-4711"
POST = idempotent_post_id("ana", KEY)
WISH = Wish("Ten tips", "blog", {}, "normal")
OTHER = "Eleven tips"


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def server(nats_factory: NatsFactory) -> NatsServer:
    return nats_factory()


@pytest_asyncio.fixture
async def restartable(server: NatsServer, tmp_path: Path) -> AsyncIterator[Api]:
    """An api on a broker that the test may kill."""
    async with open_api(server.url, tmp_path, commit_timeout_s=30) as opened:
        yield opened


class Died(Exception):
    """The process is gone."""


class DyingLog(JetStreamLog):
    """An api that is killed after the job was acknowledged and before ``requested``."""

    async def ensure_requested(self, job: Job) -> None:
        raise Died


@asynccontextmanager
async def other_process(url: str, api: Api, **parts: Any) -> AsyncIterator[Posts]:
    """The orchestrator of another api process over real adapters, some of them replaced."""
    broker = NatsBroker(url, logger=None, **connection_options("other"))
    client = await broker.connect()
    try:
        jetstream = JetStream(client)
        await jetstream.start()
        clock = SystemClock()
        log = EventLog(jetstream, new_id)
        kept: dict[str, Any] = {"jobs": FastStreamJobs, "log": JetStreamLog, **parts}
        yield Posts(
            mentions=Mentions(MemoryDocuments()),
            jobs=kept["jobs"](broker),
            log=kept["log"](log, clock),
            store=api.store,
            recipes=load_recipes(),
            limiter=RateLimiter(per_s=100, burst=100),
            limits=Limits(max_open_posts=100, commit_timeout_s=30),
            clock=clock,
            new_id=new_id,
        )
    finally:
        await client.close()


async def die_between_the_publishes(url: str, api: Api) -> None:
    """Leave a job without its ``requested``."""
    async with other_process(url, api, log=DyingLog) as dying:
        with pytest.raises(Died):
            await dying.accept("ana", WISH, key=KEY)
    assert await api.jobs() == 1
    assert await api.log.read("ana", POST) == []


async def requested_title(api: Api) -> str:
    """Title of the one and only ``requested`` of the post."""
    [stored] = [s for s in await api.log.read("ana", POST) if isinstance(s.event, GenerateRequested)]
    assert isinstance(stored.event, GenerateRequested)
    return stored.event.data.title


async def finish_job(api: Api) -> None:
    """A worker writes the post's end and acknowledges the job, so that JOBS forgets it."""
    seq = int((await api.log.jetstream.stream_info(JOBS))["state"]["last_seq"])
    message = await api.log.jetstream.leader_get(JOBS, seq)
    assert message is not None
    writer = await ScriptedWriter.begin(api.log, Job.model_validate_json(message.payload))
    await writer.section("s1", "text")
    await writer.publish()
    await api.log.jetstream.api(f"STREAM.MSG.DELETE.{JOBS}", {"seq": seq})
    assert await api.jobs() == 0


def is_replay(answer: Answer) -> bool:
    """Whether it is the 202 of the post, marked as given before."""
    same = (answer.status, answer.json.get("id")) == (202, POST)
    return same and answer.headers.get("Idempotency-Replayed") == "true"


async def test_the_same_request_again_is_the_same_answer(api: Api) -> None:
    """202 with the same id and run, marked; one job, one ``requested``."""
    first, again = await api.create(key=KEY), await api.create(key=KEY)
    assert first.status == 202 and "Idempotency-Replayed" not in first.headers
    assert is_replay(again)
    for name in ("id", "run", "status", "status_url", "channel", "websocket_url"):
        assert first.json[name] == again.json[name]
    assert await api.stored() == (1, 1)


async def test_another_request_under_the_same_key_is_refused(api: Api) -> None:
    """422, and the post stays what it was: title, options and priority all count."""
    await api.create(key=KEY)
    for changed in ({"title": OTHER}, {"priority": "high"}, {"options": {"length": "short"}}):
        answer = await api.create(key=KEY, body=changed)
        assert (answer.status, answer.code) == (422, "idempotency_mismatch"), changed
    assert await api.stored() == (1, 1)
    assert await requested_title(api) == "Ten tips"


async def test_the_next_api_completes_what_a_dead_one_began(nats_url: str, api: Api) -> None:
    """The job is stored and ``requested`` is missing: the same request is answered 202 once both are there."""
    await die_between_the_publishes(nats_url, api)
    assert is_replay(await api.create(key=KEY))
    assert await api.jobs() == 1
    assert await requested_title(api) == "Ten tips"


async def test_another_body_does_not_take_over_what_a_dead_api_began(nats_url: str, api: Api) -> None:
    """The stored job decides, not the newer request: 422, nothing written, and the first body still completes."""
    await die_between_the_publishes(nats_url, api)
    answer = await api.create(OTHER, key=KEY)
    assert (answer.status, answer.code) == (422, "idempotency_mismatch")
    assert await api.stored() == (1, 0)
    assert is_replay(await api.create(key=KEY))


async def test_a_dead_apis_request_survives_a_restart_of_the_broker(server: NatsServer, restartable: Api) -> None:
    """The job alone, the broker killed: afterwards the same body completes it and another is refused."""
    await die_between_the_publishes(server.url, restartable)
    server.restart(kill=True)
    assert (await restartable.create(OTHER, key=KEY)).code == "idempotency_mismatch"
    assert is_replay(await restartable.create(key=KEY))
    assert await restartable.jobs() == 1


async def test_many_requests_at_once_are_one_post(api: Api) -> None:
    """Twenty at the same moment: all are told the same post, one job and one ``requested`` are stored."""
    answers = await asyncio.gather(*(api.create(key=KEY) for _ in range(20)))
    assert {(a.status, a.json["id"]) for a in answers} == {(202, POST)}
    assert await api.stored() == (1, 1)


async def test_of_two_bodies_at_once_one_wins_for_all(api: Api) -> None:
    """Twenty requests with two bodies: one body is accepted each time, the other refused each time."""
    titles = ["Ten tips", OTHER] * 10
    answers = await asyncio.gather(*(api.create(title, key=KEY) for title in titles))
    winner = await requested_title(api)
    for title, answer in zip(titles, answers, strict=True):
        expected = (202, None) if title == winner else (422, "idempotency_mismatch")
        assert (answer.status, answer.code) == expected
    assert await api.stored() == (1, 1)


async def test_keys_hold_after_a_restart_of_the_broker(server: NatsServer, restartable: Api) -> None:
    """Job and log were stored before the kill; afterwards the key still names that post and no other body."""
    await restartable.create(key=KEY)
    server.restart(kill=True)
    answers = await asyncio.gather(*(restartable.create(title, key=KEY) for title in ["Ten tips", OTHER] * 3))
    assert [a.status for a in answers] == [202, 422] * 3
    assert await restartable.stored() == (1, 1)


async def test_keys_hold_after_a_restart_that_forgets_the_job(server: NatsServer, restartable: Api) -> None:
    """A finished job leaves the duplicate window with the restart; the look-up by id is what holds the key."""
    await restartable.create(key=KEY)
    await finish_job(restartable)
    server.restart()
    assert is_replay(await restartable.create(key=KEY))
    assert (await restartable.create(OTHER, key=KEY)).code == "idempotency_mismatch"
    assert await restartable.jobs() == 0


async def test_requests_at_once_over_a_restart_are_one_post(server: NatsServer, restartable: Api) -> None:
    """Sent while the broker is down, with two bodies: they wait for it, one body wins, one job is stored."""
    server.kill9()
    titles = ["Ten tips", OTHER] * 4
    tasks = [spawn("request", restartable.create(title, key=KEY)) for title in titles]
    await eventually(lambda: not restartable.log.jetstream.client.is_connected, what="the loss is noticed")
    assert not any(task.done() for task in tasks)
    server.start()
    answers = await asyncio.gather(*tasks)
    winner = await requested_title(restartable)
    assert [a.status for a in answers] == [202 if title == winner else 422 for title in titles]
    assert await restartable.stored() == (1, 1)


async def test_a_duplicate_ack_is_answered_from_the_stored_job(nats_url: str, api: Api) -> None:
    """The look-up saw nothing, the publish is a duplicate: the winner's body is the answer, never one's own."""

    class Overtaken(FastStreamJobs):
        """Between look-up and publish another api stores its job, and dies."""

        async def publish(self, job: Job) -> Receipt:
            if not await api.jobs():
                await die_between_the_publishes(nats_url, api)
            receipt = await super().publish(job)
            assert receipt.duplicate
            return receipt

    async with other_process(nats_url, api, jobs=Overtaken) as posts:
        with pytest.raises(InkwireError, match="another request"):
            await posts.accept("ana", Wish(OTHER, "blog", {}, "normal"), key=KEY)
        assert await api.stored() == (1, 0)
        accepted = await posts.accept("ana", WISH, key=KEY)
    assert (accepted.post, accepted.replayed) == (POST, True)
    assert await requested_title(api) == "Ten tips"


async def test_a_duplicate_ack_of_a_finished_job_is_answered_from_the_log(nats_url: str, api: Api) -> None:
    """The winner's post was even written to its end meanwhile: its log decides."""

    class OvertakenByAll(FastStreamJobs):
        """Between look-up and publish the other request is accepted, written and finished."""

        async def publish(self, job: Job) -> Receipt:
            if await api.log.newest("ana", POST) is None:
                assert (await api.create(key=KEY)).status == 202
                await finish_job(api)
            return await super().publish(job)

    async with other_process(nats_url, api, jobs=OvertakenByAll) as posts:
        accepted = await posts.accept("ana", WISH, key=KEY)
        with pytest.raises(InkwireError, match="another request"):
            await posts.accept("ana", Wish(OTHER, "blog", {}, "normal"), key=KEY)
    assert accepted.replayed
    assert await api.jobs() == 0


async def test_a_forgotten_job_does_not_let_another_body_in(server: NatsServer, restartable: Api) -> None:
    """Overtaken, finished and the window lost in a restart, all between look-up and publish: still the log's body."""

    class OvertakenAndForgotten(FastStreamJobs):
        async def publish(self, job: Job) -> Receipt:
            if await restartable.log.newest("ana", POST) is None:
                assert (await restartable.create(key=KEY)).status == 202
                await finish_job(restartable)
                server.restart()
            receipt = await super().publish(job)
            assert not receipt.duplicate, "the window was not forgotten, so this shows nothing"
            return receipt

    async with other_process(server.url, restartable, jobs=OvertakenAndForgotten) as posts:
        with pytest.raises(InkwireError, match="another request"):
            await posts.accept("ana", Wish(OTHER, "blog", {}, "normal"), key=KEY)
    assert await requested_title(restartable) == "Ten tips"


async def test_a_deleted_posts_key_is_gone(api: Api) -> None:
    """410 for the same body and for another, and nothing comes back to life."""
    await api.create(key=KEY)
    message = await api.log.jetstream.leader_get(JOBS, 1)
    assert message is not None
    writer = await ScriptedWriter.begin(api.log, Job.model_validate_json(message.payload))
    await writer.section("s1", "text")
    await writer.publish()
    await writer.write(Deleted)
    before = await api.stored()
    assert (await api.create(key=KEY)).status == 410
    assert (await api.create(OTHER, key=KEY)).code == "gone"
    assert await api.stored() == before


async def test_without_the_broker_nothing_is_promised(server: NatsServer, tmp_path: Path) -> None:
    """503 with Retry-After after a bounded time; the same key succeeds once the broker is back, with one job."""
    async with open_api(server.url, tmp_path, commit_timeout_s=0.5) as api:
        server.kill9()
        answer = await api.create(key=KEY)
        assert (answer.status, answer.code) == (503, "broker_unavailable")
        assert answer.headers["Retry-After"] == "2"
        server.start()

        async def accepted() -> bool:
            return (await api.create(key=KEY)).status == 202

        await eventually(accepted, what="accepted after the restart")
        assert await api.stored() == (1, 1)
