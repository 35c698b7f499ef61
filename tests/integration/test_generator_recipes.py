"""Recipes on a real broker with the simulated model: structured answers, repairs, steps, pauses, composed sections."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inkwire_chassis.event_log import EventLog
from inkwire_contracts.commands import Job
from inkwire_contracts.events import MAX_EVENT_BYTES, MAX_SECTION_BYTES, PlannedData, PlannedSection, RequestedData
from inkwire_contracts.fold import document
from inkwire_generator import app
from inkwire_recipes.course import SECTIONS
from inkwire_recipes.platforms import PLATFORMS, violations
from inkwire_recipes.recipe import BaseRecipe, Composed, Inputs, Prompt, Renderer, Step, Work
from inkwire_recipes.rendering import BodyRenderer
from tests.support.generator import (
    assert_exact,
    commit_job,
    generator_settings,
    read_folded,
    running_generator,
    until_final,
    until_idle,
)
from tests.support.log import TIME, make_job, open_log
from tests.support.sim import SimServer


async def commit(log: EventLog, recipe: str, *, run: int = 1, post: str | None = None, **options: Any) -> Job:
    """A committed job of a recipe."""
    request = RequestedData(title="Create security training", recipe=recipe, options=options)
    job = Job(post=post or make_job().post, owner="local", run=run, time=TIME, request=request)
    if run == 1:
        await log.ensure_requested(job)
    await commit_job(log, job)
    return job


async def test_a_course_is_structured_data_and_a_syllabus(nats_url: str, tmp_path: Path) -> None:
    """Four sections with the data that clients expect, and one exact document."""
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await commit(log, "course", modules=3)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    data = {section.section: section.data or {} for section in snapshot.sections}
    assert list(data) == list(SECTIONS)
    assert set(data["overview"]) == {"title", "description", "duration_estimate", "difficulty_level"}
    assert data["overview"]["difficulty_level"] in ("Beginner", "Intermediate", "Advanced")
    assert len(data["modules"]["modules"]) == 3
    assert set(data["modules"]["modules"][0]) == {"order", "title", "description", "duration", "topics"}
    assert {a["type"] for a in data["assessments"]["assessments"]} <= {"quiz", "assignment", "project"}
    assert document(snapshot).startswith(f"# {data['overview']['title']}\n")
    assert sum(one.event.type == "chunk" for one in stored) > len(SECTIONS), "it is streamed, not sent at once"


async def test_an_invalid_answer_is_repaired(nats_url: str, tmp_path: Path) -> None:
    """The model is shown its own broken answer and the reason, once, and the reader is told of the new beginning."""
    with SimServer() as sim:
        sim.add_fault("early_stop", after_chunks=12, match="objectives")
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await commit(log, "course")
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
        asked = [request["prompt_preview"] for request in sim.requests()]
    assert_exact(snapshot, stored)
    assert sum("cannot be used" in prompt for prompt in asked) == 1
    retries = [one.event for one in stored if one.event.type == "retrying"]
    assert [json.loads(e.model_dump_json())["data"]["code"] for e in retries] == ["provider_invalid_output"]


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_social_post_and_what_led_to_it(nats_url: str, tmp_path: Path, platform: str) -> None:
    """Every step is an artifact; the document is the last draft, and its check says whether the platform takes it."""
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await commit(log, "social", platform=platform.lower(), query="Make it reassuring")
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    metadata = snapshot.metadata
    assert metadata["platform"] == platform
    assert set(metadata["strategy"]) == {"angle", "tone", "key_messages", "call_to_action"}
    steps = [section for section in snapshot.sections if not section.in_document]
    assert [step.section for step in steps][:4] == ["keywords", "strategy", "content_generation", "compliance_check"]
    last = steps[-2]
    assert last.data is not None and document(snapshot).startswith(last.text)
    assert list(violations(last.data, PLATFORMS[platform])) == []
    assert metadata["compliance"]["status"] in ("passed", "failed")


class NoteInputs(Inputs):
    """Whether its author has approved the draft."""

    approved: bool = False


class Note(BaseRecipe):
    """Two drafts, the author's word, and a document that nobody has to be asked for."""

    name = "note"
    title = "Note"
    description = "For this test."
    inputs = NoteInputs

    def steps(self, work: Work) -> tuple[Step, ...]:
        first = Step("draft1", "First draft", in_document=False, progress="step")
        second = Step("draft2", "Second draft", in_document=False, progress="step")
        return (first, second) if "draft1" in work.texts else (first,)

    def pause(self, work: Work) -> str | None:
        return None if work.inputs.model_dump()["approved"] else "review"

    def plan(self, _work: Work) -> PlannedData:
        return PlannedData(sections=[PlannedSection(section="note", title="Note")])

    def prompt(self, work: Work, step: Step) -> Prompt | Composed:
        if step.section == "note":
            return Composed(f"# Note\n\n{work.texts['draft2']}\n", {"drafts": 2})
        return Prompt("You write notes.", f"Write about {work.title}, about 20 words.")

    def renderer(self, _work: Work, _step: Step) -> Renderer:
        return BodyRenderer("")


@pytest.fixture
def note(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The generator knows the recipe, as if its package were installed."""
    monkeypatch.setattr(app, "load_recipes", lambda: {"note": Note()})
    yield


@pytest.mark.usefixtures("note")
async def test_a_run_pauses_for_its_author_and_the_next_goes_on(nats_url: str, tmp_path: Path) -> None:
    """The steps are kept, paid for once; the approved run composes the document from them without the model."""
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await commit(log, "note")
            paused = await until_final(log, job)
            assert paused.status == "paused"
            assert [section.section for section in paused.sections] == ["draft1", "draft2"]
            assert document(paused) == ""
            second = await commit(log, "note", run=2, post=job.post, approved=True)
            await until_final(log, second)
            snapshot, stored = await read_folded(log, job)
            await until_idle(log)
        assert len(sim.requests()) == 2
    assert snapshot.status == "published"
    draft = snapshot.section("draft2")
    assert draft is not None and document(snapshot) == f"# Note\n\n{draft.text}\n"
    told = [json.loads(one.raw)["data"] for one in stored if one.event.type == "progress"]
    assert [data["message"] for data in told[:2]] == ["Working on: First draft", "Working on: Second draft"]


class Heavy(Note):
    """A document that no event can hold, for its text or for its data."""

    def __init__(self, text: str, data: str) -> None:
        self.composed = Composed(text, {"filler": data})

    def pause(self, _work: Work) -> str | None:
        return None

    def prompt(self, work: Work, step: Step) -> Prompt | Composed:
        if step.section == "note":
            return self.composed
        return super().prompt(work, step)


@pytest.mark.parametrize(
    ("text", "data"), [("# Note\n", "x" * MAX_EVENT_BYTES), ("x" * MAX_EVENT_BYTES, "")], ids=("data", "text")
)
async def test_a_section_that_no_event_can_hold_ends_the_run(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, data: str
) -> None:
    """It fails at once and says why, rather than be written, and paid for, again and again."""
    monkeypatch.setattr(app, "load_recipes", lambda: {"note": Heavy(text, data)})
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await commit(log, "note")
            snapshot = await until_final(log, job)
            await until_idle(log)
    assert snapshot.error is not None and snapshot.error.code == "section_too_long"
    assert snapshot.attempt == 1


class Lines(Note):
    """A document as long as it may be, of nothing but line ends, which JSON writes as two characters."""

    def pause(self, _work: Work) -> str | None:
        return None

    def plan(self, _work: Work) -> PlannedData:
        return PlannedData(sections=[PlannedSection(section="lines", title="Lines")])

    def renderer(self, work: Work, step: Step) -> Renderer:
        return BodyRenderer("\n" * (MAX_SECTION_BYTES - 1)) if step.section == "lines" else super().renderer(work, step)


async def test_a_text_that_json_doubles_ends_the_run_too(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the run, which carries the open text, fits into the log whatever that text is."""
    monkeypatch.setattr(app, "load_recipes", lambda: {"note": Lines()})
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = await commit(log, "note")
            snapshot = await until_final(log, job)
            await until_idle(log)
    assert snapshot.error is not None and snapshot.error.code == "section_too_long"
    assert snapshot.attempt == 1
