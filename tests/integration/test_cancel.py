"""Cancelling over HTTP, at every moment of a run: real api, real broker, real workers, a simulated model."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire.main import run
from inkwire_chassis.jetstream import BrokerError
from inkwire_contracts import events, subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.events import TERMINAL_TYPES
from inkwire_contracts.fold import Snapshot, document
from inkwire_contracts.topology import EVENTS, JOBS
from tests.support.api import Answer, Api, open_api, token
from tests.support.generator import (
    assert_exact,
    commit_job,
    generator_settings,
    read_folded,
    running_generator,
    until,
    until_final,
    until_idle,
)
from tests.support.log import ScriptedWriter, make_job
from tests.support.sim import SimServer

SLOW = 40.0  # tokens a second: a post takes a minute, so that nothing ends by itself
ROUNDS = 25


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path, max_open_posts=1_000) as opened:
        yield opened


async def created(api: Api, title: str = "Ten tips") -> Job:
    """A post of ana's, accepted, as the job that stands for it."""
    answer = await api.create(title)
    assert answer.status == 202
    return make_job("ana", post=answer.json["id"], title=title)


async def cancel(api: Api, post: str, *, run: int | None = None, **options: object) -> Answer:
    return await api.ask("POST", f"/posts/{post}/cancel" + ("" if run is None else f"?run={run}"), **options)


async def intents(api: Api) -> int:
    """How many wishes to cancel are stored."""
    info = await api.log.jetstream.api(f"STREAM.INFO.{EVENTS}", {"subjects_filter": "cancels.>"})
    return sum((info["state"].get("subjects") or {}).values())


async def ends(api: Api, job: Job) -> list[str]:
    """The types of the terminal events, and that the log folds without a hole."""
    _, stored = await read_folded(api.log, job)
    assert [one.event.seq for one in stored] == list(range(1, len(stored) + 1))
    return [one.event.type for one in stored if one.event.type in TERMINAL_TYPES]


async def test_a_queued_post_is_cancelled_at_once(api: Api) -> None:
    """Before any worker the api claims the run and writes its end; the wish is in the log before that."""
    job = await created(api)
    answer = await cancel(api, job.post)
    assert (answer.status, answer.json) == (202, {"id": job.post, "run": 1, "status": "cancelled"})
    assert await ends(api, job) == ["cancelled"]
    claim, _ = await api.log.read_claim(job.post)
    assert claim is not None and (claim.run, claim.deliveries, claim.holder) == (1, 0, "api")
    intent = await api.log.cancel_intent("ana", job.post, 1)
    assert intent is not None and (intent.owner, intent.run, intent.by) == ("ana", 1, "ana")
    assert (await api.ask("GET", f"/posts/{job.post}")).json["status"] == "cancelled"


async def test_a_worker_that_comes_later_writes_nothing(api: Api, nats_url: str, tmp_path: Path) -> None:
    """The job of a cancelled run is acknowledged; no request reaches the model, no event follows."""
    job = await created(api)
    await cancel(api, job.post)
    before = len(await api.log.read("ana", job.post))
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            await until_idle(api.log)
        assert sim.requests() == []
    assert len(await api.log.read("ana", job.post)) == before


async def test_a_run_that_a_worker_has_claimed_is_left_to_it(api: Api) -> None:
    """The api stores the wish and writes no event: the answer names the state as it is."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    answer = await cancel(api, writer.job.post)
    assert (answer.status, answer.json["status"]) == (202, "generating")
    assert await ends(api, writer.job) == []
    assert await api.log.cancel_intent("ana", writer.job.post, 1) is not None
    await writer.write(events.Cancelled)  # its claim still holds
    assert await ends(api, writer.job) == ["cancelled"]


async def test_a_cancel_while_writing_closes_the_providers_socket(api: Api, nats_url: str, tmp_path: Path) -> None:
    """The text so far and its cost are kept, the simulator saw its client go, and no other request followed."""
    with SimServer() as sim:
        sim.stall()
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await created(api, "Top 10 Laravel tips")
            before = await until(api.log, job, "the introduction grows", lambda post: len(document(post)) > 60)
            await sim.until_stalled()
            assert (await cancel(api, job.post)).status == 202
            snapshot = await until_final(api.log, job)
            await until_idle(api.log)
        await sim.until_left()
    assert await ends(api, job) == ["cancelled"]
    assert document(snapshot).startswith(document(before))
    assert snapshot.metrics is not None and snapshot.metrics.tokens_out > 0
    shown = await api.ask("GET", f"/posts/{job.post}/markdown")
    assert (shown.status, shown.body.decode()) == (200, document(snapshot))


async def test_a_cancel_while_the_first_token_is_awaited(api: Api, nats_url: str, tmp_path: Path) -> None:
    """A silent model does not keep a run alive."""
    with SimServer() as sim:
        sim.add_fault("hang", seconds=600)
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await created(api)
            await until(api.log, job, "the model is asked", lambda post: post.open_section is not None)
            assert (await cancel(api, job.post)).status == 202
            await until_final(api.log, job)
            await until_idle(api.log)
        assert [request["close_reason"] for request in sim.requests()] == ["client_closed"]
    assert await ends(api, job) == ["cancelled"]


async def test_cancels_race_the_claims_of_workers(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Whoever is faster, each run ends as cancelled, exactly once, with a log that has no hole."""
    with SimServer(tokens_per_s=SLOW) as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path, posts=8)):
            jobs = [await _create_and_cancel(api, n) for n in range(ROUNDS)]
            for job in jobs:
                assert (await until_final(api.log, job)).status == "cancelled"
            await until_idle(api.log)
    holders = [claim.holder for claim, _ in [await api.log.read_claim(job.post) for job in jobs] if claim]
    for job in jobs:
        assert await ends(api, job) == ["cancelled"]
    assert len(holders) == ROUNDS


async def _create_and_cancel(api: Api, number: int) -> Job:
    """The cancel comes a little later each time, measured in turns of the loop, not in time."""
    job = await created(api, f"Post {number}")
    for _ in range(number * 3):
        await asyncio.sleep(0)
    assert (await cancel(api, job.post)).status == 202
    return job


async def test_many_cancels_at_once_end_a_run_once(api: Api) -> None:
    """Ten requests for one run: one wish, one end, and every answer promises or tells the same."""
    job = await created(api)
    answers = await asyncio.gather(*(cancel(api, job.post) for _ in range(10)))
    assert {answer.status for answer in answers} <= {200, 202}
    assert await ends(api, job) == ["cancelled"]
    assert await intents(api) == 1
    again = await cancel(api, job.post)
    assert (again.status, again.json["status"]) == (200, "cancelled")


async def test_a_cancel_after_the_end_changes_nothing(api: Api) -> None:
    """A published post stays published; the answer says so, and nothing is stored."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "text")
    await writer.publish()
    before = await api.stored()
    answer = await cancel(api, writer.job.post)
    assert (answer.status, answer.json) == (200, {"id": writer.job.post, "run": 1, "status": "published"})
    assert await api.stored() == before


async def test_a_cancel_races_the_last_event(api: Api, nats_url: str, tmp_path: Path) -> None:
    """At full speed, cancelled near the end: published or cancelled, never both, and a published text is exact."""
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path, posts=4)):
            for round_number in range(8):
                job = await created(api, f"Post {round_number}")
                await until(api.log, job, "nearly done", lambda post: post.progress.percent >= 80 or post.is_final)
                answer = await cancel(api, job.post)
                assert answer.status in (200, 202)
                snapshot = await until_final(api.log, job)
                assert await ends(api, job) == [snapshot.status]
                if snapshot.status == "published":
                    assert_exact(*await read_folded(api.log, job))
            await until_idle(api.log)


async def test_a_cancel_of_a_run_never_touches_the_next(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Run 1 was cancelled; run 2, though the wish for run 1 is still in the log, is written to its end."""
    first = await created(api)
    assert (await cancel(api, first.post)).status == 202
    second = make_job("ana", post=first.post, run=2)
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            sim.add_fault("speed", tokens_per_s=SLOW, ttft_ms=0)
            await commit_job(api.log, second)
            await until(api.log, second, "run 2 is on", lambda post: post.run == 2 and post.open_section is not None)
            for late in (b"1", b"", b"one", b"9" * 50):
                await api.log.jetstream.client.publish(subjects.cancel_signal(first.post), late)
            sim.set_speed()
            sim.clear_faults()
            snapshot = await until_final(api.log, second)
            await until_idle(api.log)
    assert (snapshot.status, snapshot.run) == ("published", 2)
    assert await ends(api, second) == ["cancelled", "published"]


async def test_the_latest_run_is_the_one_that_is_cancelled(api: Api) -> None:
    """After a second request the wish names run 2, and the claim of run 1's worker does not stand in its way."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "kept")
    await writer.write(events.Failed, code="provider_auth")
    later = make_job("ana", post=writer.job.post, run=2)
    writer.job = later
    await writer.write(events.GenerateRequested, **later.request.model_dump())
    answer = await cancel(api, later.post)
    assert (answer.status, answer.json) == (202, {"id": later.post, "run": 2, "status": "cancelled"})
    snapshot, _ = await read_folded(api.log, later)
    assert document(snapshot) == "kept"
    assert snapshot.metrics is not None and snapshot.metrics.words == 1


async def test_a_cancel_that_names_a_run_leaves_the_next_alone(api: Api) -> None:
    """Said for run 1 while run 2 is written it changes nothing; for run 2 it stops that; for a run to come, nothing."""
    first = await created(api)
    assert (await cancel(api, first.post, run=1)).json["status"] == "cancelled"
    assert (await api.ask("POST", f"/posts/{first.post}/retry")).status == 202
    before = await intents(api)
    late = await cancel(api, first.post, run=1)
    assert (late.status, late.json) == (200, {"id": first.post, "run": 2, "status": "queued"})
    early = await cancel(api, first.post, run=3)
    assert (early.status, early.code) == (404, "not_found")
    assert await intents(api) == before and await ends(api, first) == ["cancelled"]
    meant = await cancel(api, first.post, run=2)
    assert (meant.status, meant.json["status"]) == (202, "cancelled")
    assert (await cancel(api, first.post, run=0)).code == "invalid_request"


async def test_who_may_not_cancel(api: Api) -> None:
    """Another owner's post is not found, like one that never was; a token without scope or channel is refused."""
    job = await created(api)
    assert (await cancel(api, job.post, subject="ben")).code == "not_found"
    assert (await cancel(api, make_job().post)).code == "not_found"
    assert (await cancel(api, "short")).code == "not_found"
    reader = {"Authorization": f"Bearer {token('ana', scopes=('post:read', 'post:write'))}"}
    refused = await cancel(api, job.post, headers=reader)
    assert (refused.code, refused.json["scope"]) == ("forbidden", "post:cancel")
    elsewhere = {"Authorization": f"Bearer {token('ana', channels=(f'post:{make_job().post}',))}"}
    assert (await cancel(api, job.post, headers=elsewhere)).code == "forbidden_channel"
    assert await ends(api, job) == [] and await intents(api) == 0


async def test_a_wish_whose_end_could_not_be_written_is_read_by_a_worker(
    api: Api, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The api dies, as it were, after the 202's wish: a worker that claims later ends the run without a request."""

    async def refused(*_: object, **__: object) -> None:
        raise BrokerError("no answer")

    job = await created(api)
    monkeypatch.setattr("inkwire_chassis.event_log.EventLog.claim", refused)
    answer = await cancel(api, job.post)
    assert (answer.status, answer.json["status"]) == (202, "queued")
    monkeypatch.undo()
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            snapshot: Snapshot = await until_final(api.log, job)
            await until_idle(api.log)
        assert sim.requests() == []
    assert snapshot.status == "cancelled"
    assert await ends(api, job) == ["cancelled"]
    assert (await api.log.jetstream.stream_info(JOBS))["state"]["messages"] == 0


async def test_the_command_line_cancels(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stdout says what became of it, twice the same; a post that is not there is an error."""
    job = await created(api)
    options = ["--url", api.base_url, "--token", token("ana")]
    for _ in range(2):
        assert await asyncio.to_thread(run, ["cancel", job.post, *options]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"{job.post} is cancelled"
    working = await ScriptedWriter.begin(api.log, make_job("ana"))
    assert await asyncio.to_thread(run, ["cancel", working.job.post, *options]) == 0
    assert "is being stopped" in capsys.readouterr().out
    assert await asyncio.to_thread(run, ["cancel", make_job().post, *options]) == 1
    assert "nothing under this address" in capsys.readouterr().err
