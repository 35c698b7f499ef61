"""Retrying over HTTP: real api, real broker, real workers, a simulated model."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire.client import Client, ClientError
from inkwire.main import run
from inkwire_chassis.event_log import Fenced
from inkwire_chassis.lifecycle import spawn
from inkwire_contracts import events
from inkwire_contracts.commands import Job
from inkwire_contracts.events import TERMINAL_TYPES
from inkwire_contracts.fold import document
from inkwire_contracts.topology import JOBS
from tests.support.api import Answer, Api, open_api, token
from tests.support.generator import (
    generator_settings,
    read_folded,
    running_generator,
    until_final,
    until_idle,
)
from tests.support.log import ScriptedWriter, make_job
from tests.support.sim import SimServer

ROUNDS = 20


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path, max_open_posts=1_000) as opened:
        yield opened


async def retry(api: Api, post: str, **options: object) -> Answer:
    return await api.ask("POST", f"/posts/{post}/retry", **options)


async def failed(api: Api, title: str = "Ten tips") -> ScriptedWriter:
    """A post of ana's whose first run failed in its second section."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana", title=title))
    await writer.section("s1", "finished, ", "and kept. ")
    await writer.open("s2")
    await writer.chunk("half a sen")
    await writer.write(events.Failed, code="provider_auth", section="s2", text="half a sen")
    return writer


def next_run(job: Job, number: int = 2) -> Job:
    return make_job(job.owner, post=job.post, title=job.request.title, run=number)


async def kinds(api: Api, job: Job) -> list[str]:
    """All types in order; the log folds without a hole."""
    _, stored = await read_folded(api.log, job)
    assert [one.event.seq for one in stored] == list(range(1, len(stored) + 1))
    return [one.event.type for one in stored]


async def test_a_failed_post_gets_a_second_run(api: Api) -> None:
    """The job first, then its beginning in the log, then 202; the request is the first one's, word for word."""
    writer = await failed(api)
    answer = await retry(api, writer.job.post)
    assert (answer.status, answer.json) == (202, {"id": writer.job.post, "run": 2, "status": "queued"})
    message = await api.log.jetstream.leader_get(JOBS, 1)
    assert message is not None
    job = Job.model_validate_json(message.payload)
    assert (job.post, job.owner, job.run, job.request) == (writer.job.post, "ana", 2, writer.job.request)
    snapshot, stored = await read_folded(api.log, writer.job)
    begun = stored[-1].event
    assert isinstance(begun, events.GenerateRequested) and begun.data == writer.job.request
    assert (snapshot.run, snapshot.status, document(snapshot)) == (2, "queued", "finished, and kept. ")


async def test_only_unfinished_sections_are_paid_again(api: Api, nats_url: str, tmp_path: Path) -> None:
    """The provider refuses after the introduction: the second run asks for no section that is finished."""
    with SimServer() as sim:
        sim.add_fault("500", status=401, match="Points to cover")
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            answer = await api.create("Top 5 Laravel tips")
            job = make_job("ana", post=answer.json["id"])
            before = await until_final(api.log, job)
            done = {section.section: section.text for section in before.sections if section.status == "done"}
            asked = len(sim.requests())
            assert before.status == "failed" and "outline" in done and len(done) >= 2
            assert (await retry(api, job.post)).status == 202
            after = await until_final(api.log, next_run(job))
            await until_idle(api.log)
        again = len(sim.requests()) - asked
    assert (after.status, after.run) == ("published", 2)
    assert again == len(after.sections) - len(done)
    assert done.items() <= {section.section: section.text for section in after.sections}.items()


async def test_a_cancelled_post_is_tried_again_by_a_worker(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Cancelled before anybody began: the first run's job does no harm, the second writes the post."""
    post = (await api.create()).json["id"]
    job = make_job("ana", post=post)
    assert (await api.ask("POST", f"/posts/{post}/cancel")).json["status"] == "cancelled"
    assert (await retry(api, post)).status == 202
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            snapshot = await until_final(api.log, next_run(job))
            await until_idle(api.log)
    assert (snapshot.status, snapshot.run) == ("published", 2)
    assert [kind for kind in await kinds(api, job) if kind in TERMINAL_TYPES] == ["cancelled", "published"]


async def test_many_retries_at_once_begin_one_run(api: Api) -> None:
    """Ten requests for what follows run 1: one job, one beginning, ten times the same answer."""
    writer = await failed(api)
    answers = await asyncio.gather(*(retry(api, f"{writer.job.post}") for _ in range(10)))
    assert {(answer.status, answer.json["run"]) for answer in answers} == {(202, 2)}
    assert (await kinds(api, writer.job)).count("requested") == 2
    assert await api.jobs() == 1


async def test_the_same_request_never_begins_two_runs(api: Api) -> None:
    """Said again after run 2 has failed too, `run=1` is answered with run 2; `run=2` begins the third."""
    writer = await failed(api)
    path = f"/posts/{writer.job.post}/retry"
    assert (await api.ask("POST", f"{path}?run=1")).json["run"] == 2
    second = ScriptedWriter(
        api.log,
        next_run(writer.job),
        await api.log.claim(writer.job.post, run=2, deliveries=1, holder="script"),
    )
    second.snapshot, _ = await read_folded(api.log, writer.job)
    await second.write(events.Failed, code="provider_auth")
    again = await api.ask("POST", f"{path}?run=1")
    assert (again.status, again.json) == (202, {"id": writer.job.post, "run": 2, "status": "failed"})
    assert (await api.ask("POST", f"{path}?run=7")).code == "not_retryable"
    assert (await api.ask("POST", f"{path}?run=2")).json["run"] == 3
    assert (await kinds(api, writer.job)).count("requested") == 3


async def test_retries_race_a_worker(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Whoever writes the beginning, it is there when the 202 comes, once, and every run ends once."""
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path, posts=8)):
            for number in range(ROUNDS):
                writer = await ScriptedWriter.begin(api.log, make_job("ana", title=f"Post {number}"))
                await writer.write(events.Failed, code="provider_auth")
                answer = await retry(api, writer.job.post)
                assert (answer.status, answer.json["run"]) == (202, 2)
                newest = await api.log.newest_now("ana", writer.job.post)
                assert newest is not None and newest.event.run == 2
                after = await until_final(api.log, next_run(writer.job))
                assert after.status == "published"
                types = await kinds(api, writer.job)
                assert types.count("requested") == 2
                assert [kind for kind in types if kind in TERMINAL_TYPES] == ["failed", "published"]
            await until_idle(api.log)


async def test_a_worker_that_is_faster_writes_the_beginning(api: Api) -> None:
    """The api's claim of a run that a worker has claimed is refused; its 202 waits for the worker's event."""
    writer = await failed(api)
    held = await api.log.claim(writer.job.post, run=2, deliveries=1, holder="script")
    with pytest.raises(Fenced):
        await api.log.claim(writer.job.post, run=2, deliveries=0, holder="api")
    asking = spawn("retry", retry(api, writer.job.post))
    worker = ScriptedWriter(api.log, next_run(writer.job), held)
    worker.snapshot, _ = await read_folded(api.log, writer.job)
    await worker.write(events.GenerateRequested, **writer.job.request.model_dump())
    answer = await asking
    assert (answer.status, answer.json["run"]) == (202, 2)
    assert (await kinds(api, writer.job)).count("requested") == 2


async def test_a_cancel_right_after_a_retry_finds_its_run(api: Api) -> None:
    """The 202 of the retry means that the run is in the log."""
    writer = await failed(api)
    await retry(api, writer.job.post)
    answer = await api.ask("POST", f"/posts/{writer.job.post}/cancel")
    assert answer.json == {"id": writer.job.post, "run": 2, "status": "cancelled"}


async def test_what_cannot_be_tried_again(api: Api) -> None:
    """A post that is being written or published, another's, or one that never was; and the scope."""
    active = await ScriptedWriter.begin(api.log, make_job("ana"))
    refused = await retry(api, active.job.post)
    assert (refused.status, refused.code) == (409, "not_retryable")
    assert "The post is generating" in refused.json["detail"]
    await active.section("s1", "text")
    await active.publish()
    assert (await retry(api, active.job.post)).code == "not_retryable"
    assert (await retry(api, make_job().post)).code == "not_found"
    writer = await failed(api)
    assert (await retry(api, writer.job.post, subject="ben")).code == "not_found"
    reader = {"Authorization": f"Bearer {token('ana', scopes=('post:read', 'post:cancel'))}"}
    assert (await retry(api, writer.job.post, headers=reader)).json["scope"] == "post:write"
    assert (await api.ask("POST", f"/posts/{writer.job.post}/retry?run=x")).code == "invalid_request"
    assert await api.jobs() == 0


async def test_client_and_command_try_again(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """The client names the run that ended by itself; the command tells how to follow."""
    writer = await failed(api)
    async with Client(api.base_url, token=token("ana")) as client:
        assert (await client.retry_post(writer.job.post))["run"] == 2
        with pytest.raises(ClientError) as caught:
            await client.retry_post(writer.job.post)
        assert caught.value.code == "not_retryable"
    other = await failed(api)
    options = ["--url", api.base_url, "--token", token("ana")]
    assert await asyncio.to_thread(run, ["retry", other.job.post, *options]) == 0
    assert "goes on as run 2" in capsys.readouterr().out
