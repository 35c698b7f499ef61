"""Deleting over HTTP: nothing comes back to life. Real api, broker, workers and persister, a simulated model."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire_contracts import events
from inkwire_contracts.commands import Job
from inkwire_contracts.fold import document
from tests.support.api import Answer, Api, open_api, token
from tests.support.generator import (
    commit_job,
    generator_settings,
    read_folded,
    running_generator,
    until,
    until_idle,
)
from tests.support.log import ScriptedWriter, make_job
from tests.support.ports import free_port
from tests.support.processes import ServiceProcess
from tests.support.sim import SimServer
from tests.support.wait import eventually

SLOW = 40.0  # tokens a second
ROUNDS = 15


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path, max_open_posts=1_000, commit_timeout_s=5.0) as opened:
        yield opened


async def delete(api: Api, post: str, **options: object) -> Answer:
    return await api.ask("DELETE", f"/posts/{post}", **options)


async def published(api: Api) -> ScriptedWriter:
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "a secret")
    await writer.publish()
    return writer


async def kinds(api: Api, job: Job) -> list[str]:
    """All types in order; the log folds without a hole."""
    _, stored = await read_folded(api.log, job)
    assert [one.event.seq for one in stored] == list(range(1, len(stored) + 1))
    return [one.event.type for one in stored]


async def test_a_finished_post_is_deleted(api: Api) -> None:
    """204, then every way to read or steer it says that it is gone; the log ends with `deleted`."""
    writer = await published(api)
    post = writer.job.post
    answer = await delete(api, post)
    assert (answer.status, answer.body) == (204, b"")
    assert (await kinds(api, writer.job))[-1] == "deleted"
    for method, path in (
        ("GET", f"/posts/{post}"),
        ("GET", f"/posts/{post}/markdown"),
        ("POST", f"/posts/{post}/cancel"),
        ("POST", f"/posts/{post}/retry"),
    ):
        refused = await api.ask(method, path)
        assert (refused.status, refused.code) == (410, "gone")
    before = await api.stored()
    assert (await delete(api, post)).status == 204
    assert await api.stored() == before


async def test_a_queued_post_is_stopped_and_deleted(api: Api) -> None:
    """The run gets its end before the post gets its own; the wish to cancel is stored as for any other."""
    post = (await api.create()).json["id"]
    assert (await delete(api, post)).status == 204
    assert await kinds(api, make_job("ana", post=post)) == ["requested", "cancelled", "deleted"]
    assert await api.log.cancel_intent("ana", post, 1) is not None


async def test_a_post_being_written_is_stopped_and_deleted(api: Api, nats_url: str, tmp_path: Path) -> None:
    """The worker closes the model's stream and ends the run; what follows is `deleted`, and nothing else ever."""
    with SimServer() as sim:
        sim.stall()
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job("ana", post=(await api.create("Top 10 Laravel tips")).json["id"])
            await until(api.log, job, "the introduction grows", lambda post: len(document(post)) > 60)
            await sim.until_stalled()
            assert (await delete(api, job.post)).status == 204
            await until_idle(api.log)
        await sim.until_left()
    assert (await kinds(api, job))[-2:] == ["cancelled", "deleted"]


async def test_a_writer_that_does_not_let_go_is_waited_for(nats_url: str, tmp_path: Path) -> None:
    """503 says so, and the wish to stop stays; once the writer has ended the run, the same request deletes."""
    async with open_api(nats_url, tmp_path, commit_timeout_s=3.0) as api:
        writer = await ScriptedWriter.begin(api.log, make_job("ana"))
        refused = await delete(api, writer.job.post)
        assert (refused.status, refused.code) == (503, "still_stopping")
        await writer.write(events.Cancelled)
        assert (await delete(api, writer.job.post)).status == 204
        assert await kinds(api, writer.job) == ["requested", "started", "cancelled", "deleted"]


async def test_a_worker_that_comes_later_brings_nothing_back(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Leftover jobs of the deleted run, and of a run after it, are acknowledged without an event or a request."""
    job = make_job("ana", post=(await api.create()).json["id"])
    assert (await delete(api, job.post)).status == 204
    before = await kinds(api, job)
    await commit_job(api.log, make_job("ana", post=job.post, run=2))
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            await until_idle(api.log)
        assert sim.requests() == []
    assert await kinds(api, job) == before == ["requested", "cancelled", "deleted"]


async def test_a_retry_and_a_delete_at_once(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Whoever is first, in the end the post is deleted, its log whole, and every run that began has its end."""
    with SimServer(tokens_per_s=SLOW) as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path, posts=8)):
            for _ in range(ROUNDS):
                writer = await ScriptedWriter.begin(api.log, make_job("ana"))
                await writer.write(events.Failed, code="provider_auth")
                path = f"/posts/{writer.job.post}"
                retried, deleted = await asyncio.gather(api.ask("POST", f"{path}/retry"), api.ask("DELETE", path))
                assert deleted.status == 204
                assert retried.status == 202 or retried.code == "gone"
                types = await kinds(api, writer.job)
                assert types[-1] == "deleted" and types.count("deleted") == 1
                assert types.count("requested") == types.count("failed") + types.count("cancelled")
            await until_idle(api.log)


async def test_the_store_keeps_a_tombstone(api: Api, nats_url: str, tmp_path: Path) -> None:
    """A persister that still had the text drops it; lists leave the post out; its Idempotency-Key is gone for good."""
    port = free_port()
    environment = {
        "INKWIRE_NATS_URL": nats_url,
        "INKWIRE_STORE_URL": f"sqlite:///{tmp_path / 'posts.sqlite3'}",
        "INKWIRE_PERSISTER_HEALTH_PORT": str(port),
    }
    process = ServiceProcess(
        "persister",
        env=environment,
        ready_url=f"http://127.0.0.1:{port}/readyz",
        argv=[sys.executable, "-m", "inkwire_persister.main"],
    )
    process.start()
    try:
        await process.ready()
        post = (await api.create("A secret title", key="once")).json["id"]

        async def status() -> str | None:
            stored = await api.store.get(post)
            return None if stored is None else stored.snapshot.status

        await eventually(status, what="the store has the post")
        assert (await delete(api, post)).status == 204

        async def is_tombstone() -> bool:
            return await status() == "deleted"

        await eventually(is_tombstone, what="the store has the tombstone")
    finally:
        await process.terminated()
    stored = await api.store.get(post)
    assert stored is not None and stored.markdown is None
    assert (stored.snapshot.title, stored.snapshot.sections) == ("", [])
    assert (await api.ask("GET", "/posts")).json["items"] == []
    again = await api.create("A secret title", key="once")
    assert (again.status, again.code) == (410, "gone")


async def test_who_may_not_delete(api: Api) -> None:
    """Another's post is not found; a token without the scope, or for another channel, is refused."""
    writer = await published(api)
    post = writer.job.post
    assert (await delete(api, post, subject="ben")).code == "not_found"
    assert (await delete(api, make_job().post)).code == "not_found"
    reader = {"Authorization": f"Bearer {token('ana', scopes=('post:read', 'post:cancel'))}"}
    assert (await delete(api, post, headers=reader)).json["scope"] == "post:write"
    elsewhere = {"Authorization": f"Bearer {token('ana', channels=(f'post:{make_job().post}',))}"}
    assert (await delete(api, post, headers=elsewhere)).code == "forbidden_channel"
    assert (await kinds(api, writer.job))[-1] == "published"


@pytest.mark.parametrize("number", [2, 10])
async def test_many_deletes_at_once_write_one_end(api: Api, number: int) -> None:
    """Every request is answered 204, and the log has one `deleted`."""
    writer = await published(api)
    answers = await asyncio.gather(*(delete(api, writer.job.post) for _ in range(number)))
    assert {answer.status for answer in answers} == {204}
    assert (await kinds(api, writer.job)).count("deleted") == 1
