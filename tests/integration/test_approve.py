"""Reviewing an outline over HTTP: real api, real broker, real workers, a simulated model."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from inkwire_api import run_events
from inkwire_api.approving import approval
from inkwire_chassis.lifecycle import spawn
from inkwire_contracts import events
from inkwire_contracts.commands import Job
from inkwire_contracts.events import TERMINAL_TYPES
from inkwire_contracts.fold import Snapshot, document
from inkwire_contracts.topology import JOBS
from inkwire_recipes.blog import APPROVED, CLOSING, INTRODUCTION, OUTLINE
from inkwire_recipes.registry import load_recipes
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
from tests.support.log import TIME, ScriptedWriter, make_job
from tests.support.sim import SimServer
from tests.support.wait import eventually

PROPOSED: dict[str, Any] = {
    "title": "Ten tips",
    "description": "What to do.",
    "tags": ["one"],
    "sections": [{"title": "First", "target_words": 90, "points": ["why"]}],
    "closing": "Summary",
}
MINE: dict[str, Any] = {
    "title": "My own title",
    "description": "What my readers get.",
    "tags": ["gardens", "water"],
    "sections": [
        {"title": "Only this", "target_words": 60, "points": ["rain"]},
        {"title": "And that", "target_words": 0, "points": []},
    ],
    "closing": "Go and dig",
}

UNFIT: dict[str, dict[str, Any]] = {
    "#/outline/sections": {"sections": []},
    "#/outline/sections/0/title": {"sections": [{"title": " \n"}]},
    "#/outline/sections/1/target_words": {"sections": [{"title": "x"}, {"title": "x", "target_words": 2_001}]},
    "#/outline/sections/0/points": {"sections": [{"title": "x", "points": ["y"] * 9}]},
    "#/outline": {"sections": [{"title": "x", "target_words": 2_000}] * 6},
    "#/outline/tags/0": {"tags": ["x" * 41]},
    "#/outline/titel": {"titel": "x"},
}


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path, max_open_posts=1_000) as opened:
        yield opened


async def approve(api: Api, post: str, body: Any = None, *, run: int | None = None, **options: Any) -> Answer:
    query = "" if run is None else f"?run={run}"
    sent = {} if body is None else {"json": body}
    return await api.ask("POST", f"/posts/{post}/approve{query}", **sent, **options)


async def reviewed(api: Api) -> Job:
    """A post of ana's that is to be reviewed, as POST /posts accepts it."""
    answer = await api.create("Ten tips", body={"options": {"review": True, "length": "short"}})
    assert answer.status == 202
    return make_job("ana", post=answer.json["id"])


async def paused(api: Api) -> ScriptedWriter:
    """One that waits after its outline; no worker is there."""
    options = {"review": True, "outline": None, "length": "short"}
    writer = await ScriptedWriter.begin(api.log, make_job("ana", title="Ten tips", options=options))
    await writer.open(OUTLINE, title="Outline", in_document=False)
    await writer.write(events.SectionCompleted, section=OUTLINE, text="1. First", data=PROPOSED)
    await writer.write(events.Paused, reason="review")
    return writer


def later(job: Job, run: int) -> Job:
    return make_job(job.owner, post=job.post, run=run)


def sections(snapshot: Snapshot) -> list[tuple[str, int]]:
    return [(section.title, section.target_words) for section in snapshot.sections if section.in_document]


async def test_a_changed_outline_is_what_gets_written(api: Api, nats_url: str, tmp_path: Path) -> None:
    """The run waits after the outline; the next shows what was approved as a step, and writes exactly that."""
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await reviewed(api)
            waiting = await until_final(api.log, job)
            assert (waiting.status, [section.section for section in waiting.sections]) == ("paused", [OUTLINE])
            assert len(sim.requests()) == 1, "nothing but the outline was paid for"
            answer = await approve(api, job.post, {"outline": MINE})
            assert (answer.status, answer.json["run"]) == (202, 2)
            await until_final(api.log, later(job, 2))
            await until_idle(api.log)
        snapshot, stored = await read_folded(api.log, job)
        asked = [request["prompt_preview"] for request in sim.requests()]
    assert_exact(snapshot, stored)
    assert (snapshot.status, snapshot.options["outline"]) == ("published", MINE)
    step = snapshot.section(APPROVED)
    assert step is not None and step.data == MINE
    assert "1. Only this (60 words)\n    - rain" in step.text
    titles = [("Introduction", 50), ("Only this", 60), ("And that", 400), ("Go and dig", 50)]
    assert [title for title, _ in sections(snapshot)] == [title for title, _ in titles]
    assert sections(snapshot)[1] == ("Only this", 60) and sections(snapshot)[2][1] > 0
    assert snapshot.metadata["title"] == "My own title" and snapshot.metadata["tags"] == ["gardens", "water"]
    assert document(snapshot).startswith("# My own title\n") and "\n## And that\n" in document(snapshot)
    assert len(asked) == 1 + len(titles)
    assert [one.event.type for one in stored if one.event.type in TERMINAL_TYPES] == ["paused", "published"]


async def test_an_outline_that_stands_is_approved_with_one_word(api: Api, nats_url: str, tmp_path: Path) -> None:
    """No body: what was proposed is what is approved, and what is written."""
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await reviewed(api)
            proposed = (await until_final(api.log, job)).section(OUTLINE)
            assert (await approve(api, job.post)).status == 202
            snapshot = await until_final(api.log, later(job, 2))
            await until_idle(api.log)
    assert proposed is not None and proposed.data is not None
    assert snapshot.status == "published"
    wanted = ["Introduction", *(section["title"] for section in proposed.data["sections"]), proposed.data["closing"]]
    assert [title for title, _ in sections(snapshot)] == wanted


async def test_an_approved_post_that_is_cancelled_and_tried_again_keeps_its_outline(
    api: Api, nats_url: str, tmp_path: Path
) -> None:
    """Cancelled in the middle of the approved run; the retry writes the same outline, and asks for no new one."""
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await reviewed(api)
            await until_final(api.log, job)
            sim.set_speed(tokens_per_s=20, ttft_ms=5)
            assert (await approve(api, job.post, {"outline": MINE}, run=1)).status == 202
            await until(api.log, job, "text flows", lambda post: post.open_section == INTRODUCTION)
            assert (await api.ask("POST", f"/posts/{job.post}/cancel?run=2")).status == 202
            assert (await until_final(api.log, later(job, 2))).status == "cancelled"
            sim.set_speed(tokens_per_s=0, ttft_ms=0)
            assert (await api.ask("POST", f"/posts/{job.post}/retry?run=2")).status == 202
            snapshot = await until_final(api.log, later(job, 3))
            await until_idle(api.log)
    assert (snapshot.status, snapshot.run, snapshot.options["outline"]) == ("published", 3, MINE)
    assert [title for title, _ in sections(snapshot)] == ["Introduction", "Only this", "And that", "Go and dig"]
    assert [section.section for section in snapshot.sections if not section.in_document] == [OUTLINE, APPROVED]


async def test_an_outline_of_ones_own_from_the_start(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Given with the request, no model is asked for one, and nobody is waited for."""
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            answer = await api.create("Ten tips", body={"options": {"review": True, "outline": MINE}})
            snapshot = await until_final(api.log, make_job("ana", post=answer.json["id"]))
            await until_idle(api.log)
        assert len(sim.requests()) == 4
    assert snapshot.status == "published" and snapshot.section(OUTLINE) is None
    assert snapshot.section(CLOSING) is not None


async def test_the_same_approval_never_begins_two_runs(api: Api) -> None:
    """Said ten times at once, and again later with the run that paused: one job, one beginning, the same answer."""
    writer = await paused(api)
    post = writer.job.post
    answers = await asyncio.gather(*(approve(api, post, {"outline": MINE}, run=1) for _ in range(10)))
    assert {(answer.status, answer.json["run"], answer.json["status"]) for answer in answers} == {(202, 2, "queued")}
    assert (await approve(api, post, {"outline": MINE}, run=1)).json["run"] == 2
    assert (await approve(api, post, {"outline": MINE})).json["run"] == 2
    _, stored = await read_folded(api.log, writer.job)
    assert [one.event.type for one in stored].count("requested") == 2
    assert await api.jobs() == 1


async def test_of_two_different_outlines_one_is_written_and_the_other_author_knows(api: Api) -> None:
    """Two windows approve at the same time: the log holds one outline, and whose it is not gets a conflict."""
    writer = await paused(api)
    other = {**MINE, "title": "Another title"}
    answers = await asyncio.gather(
        *(approve(api, writer.job.post, {"outline": one}, run=1) for one in (MINE, other, None))
    )
    assert sorted(answer.status for answer in answers) == [202, 409, 409]
    assert {answer.code for answer in answers} == {None, "approved_otherwise"}
    snapshot, _ = await read_folded(api.log, writer.job)
    [won] = [one for one, answer in zip((MINE, other, PROPOSED), answers, strict=True) if answer.status == 202]
    assert snapshot.run == 2 and snapshot.options["outline"] == won
    assert await api.jobs() == 1


async def test_a_worker_that_is_faster_writes_the_approved_beginning(api: Api) -> None:
    """The api has stored the job and is slow: the worker's `requested` has the outline, and the 202 waits for it."""
    writer = await paused(api)
    held = await api.log.claim(writer.job.post, run=2, deliveries=1, holder="script")
    asking = spawn("approve", approve(api, writer.job.post, {"outline": MINE}, run=1))

    async def stored() -> Job | None:
        message = await api.log.jetstream.leader_get(JOBS, 1)
        return None if message is None else Job.model_validate_json(message.payload)

    job: Job = await eventually(stored, what="the job is stored")
    assert (job.run, job.request.options["outline"]) == (2, MINE)
    worker = ScriptedWriter(api.log, job, held)
    worker.snapshot, _ = await read_folded(api.log, writer.job)
    await worker.write(events.GenerateRequested, **job.request.model_dump())
    answer = await asking
    assert (answer.status, answer.json["run"]) == (202, 2)
    snapshot, stored_events = await read_folded(api.log, writer.job)
    assert snapshot.options["outline"] == MINE
    assert [one.event.type for one in stored_events].count("requested") == 2


async def test_an_approval_survives_the_api_that_took_it(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Dead right after its commit point: the stored job has the outline, and a worker writes the run from it alone."""
    writer = await paused(api)
    snapshot, _ = await read_folded(api.log, writer.job)
    options = approval(load_recipes(), MINE)(snapshot)
    job = run_events.next_job(snapshot, TIME, None, options)
    await commit_job(api.log, job)
    with SimServer() as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            written = await until_final(api.log, job)
            await until_idle(api.log)
    assert (written.status, written.run, written.options["outline"]) == ("published", 2, MINE)
    assert [title for title, _ in sections(written)] == ["Introduction", "Only this", "And that", "Go and dig"]
    assert (await approve(api, job.post, {"outline": MINE}, run=1)).json["run"] == 2


async def test_what_cannot_be_approved(api: Api) -> None:
    """A post in any other state, somebody else's, one that is not there, or without the scope."""
    active = await ScriptedWriter.begin(api.log, make_job("ana"))
    refused = await approve(api, active.job.post)
    assert (refused.status, refused.code, refused.json["status"]) == (409, "not_approvable", 409)
    assert "The post is generating" in refused.json["detail"]
    await active.write(events.Cancelled)
    assert (await approve(api, active.job.post)).code == "not_approvable"
    writer = await paused(api)
    assert (await approve(api, writer.job.post, run=2)).code == "not_approvable"
    assert (await approve(api, writer.job.post, subject="ben")).code == "not_found"
    assert (await approve(api, make_job().post)).code == "not_found"
    reader = {"Authorization": f"Bearer {token('ana', scopes=['post:read'])}"}
    assert (await approve(api, writer.job.post, headers=reader)).json["scope"] == "post:write"
    assert (await api.ask("POST", f"/posts/{writer.job.post}/retry")).code == "not_retryable"
    assert await api.jobs() == 0


async def test_an_outline_that_does_not_fit_is_told_where(api: Api) -> None:
    """The fault names its place; nothing is stored, and a better outline is taken."""
    writer = await paused(api)
    for pointer, change in UNFIT.items():
        refused = await approve(api, writer.job.post, {"outline": {**MINE, **change}})
        told = (refused.status, refused.code, refused.json["errors"][0]["pointer"])
        assert told == (422, "invalid_request", pointer), change
    assert (await approve(api, writer.job.post, [])).code == "invalid_request"
    assert await api.jobs() == 0
    assert (await approve(api, writer.job.post, {"outline": MINE})).status == 202


async def test_a_paused_post_is_neither_stopped_nor_in_the_way(api: Api) -> None:
    """Cancelling one changes nothing; deleting one is done at once, and then there is nothing to approve."""
    writer = await paused(api)
    answer = await api.ask("POST", f"/posts/{writer.job.post}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "paused")
    assert (await api.ask("DELETE", f"/posts/{writer.job.post}")).status == 204
    assert (await approve(api, writer.job.post)).code == "gone"
