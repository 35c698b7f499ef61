"""Servers that refuse structured output, each in its manner, are asked in the next form; nobody waits for that."""

from pathlib import Path

import pytest

from inkwire_contracts.commands import Job
from inkwire_contracts.events import RequestedData
from inkwire_contracts.fold import Snapshot
from tests.support.generator import (
    assert_exact,
    commit_job,
    generator_settings,
    read_folded,
    running_generator,
    until_final,
)
from tests.support.log import make_job, open_log
from tests.support.sim import SimServer

# What llama-cpp-python answers to a schema, with status 500.
REFUSED = "1 validation error: {'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text'\"}"
FORM_IN_WORDS = "fits this JSON Schema: {"


async def written(nats_url: str, sim: SimServer, folder: Path, *titles: str, recipe: str) -> list[Snapshot]:
    """These posts, one after another by the same generator."""
    snapshots = []
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, folder)):
        for title in titles:
            job: Job = make_job(title=title).model_copy(update={"request": RequestedData(title=title, recipe=recipe)})
            await log.ensure_requested(job)
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
            assert_exact(snapshot, stored)
            assert snapshot.metrics is not None and snapshot.metrics.retries == 0
            snapshots.append(snapshot)
    return snapshots


@pytest.mark.parametrize(("status", "message"), [(400, "no"), (422, "no"), (500, REFUSED)])
async def test_a_refused_schema_goes_on_in_json_mode(nats_url: str, tmp_path: Path, status: int, message: str) -> None:
    """The course is as it should be, without a retry; each of the four schemas is refused once and not sent again."""
    with SimServer() as sim:
        sim.add_fault("speed", count=None, match=FORM_IN_WORDS)
        sim.add_fault("500", count=None, format="json_schema", status=status, message=message)
        one, other = await written(nats_url, sim, tmp_path, "Security", "Bread", recipe="course")
        statuses = [request["status"] for request in sim.requests()]
        told = sim.faults()[0]["hits"]
    for snapshot in (one, other):
        assert all(section.data for section in snapshot.sections if section.in_document)
    assert statuses == [status, 200] * 4 + [200] * 4
    assert told == 8


async def test_a_server_that_refuses_both_is_asked_in_words(nats_url: str, tmp_path: Path) -> None:
    """Schema and JSON mode are refused once; the outline is asked for in words, which is all the next post tries."""
    with SimServer() as sim:
        sim.add_fault("speed", count=None, match=FORM_IN_WORDS)
        sim.add_fault("500", count=None, format="json_schema", status=422)
        sim.add_fault("500", count=None, format="json_object", status=422)
        await written(nats_url, sim, tmp_path, "Why small tests win", "Why big tests lose", recipe="blog")
        outlines = [request for request in sim.requests() if "closing (a heading)" in request["prompt_preview"]]
        told = sim.faults()[0]["hits"]
    assert [request["status"] for request in outlines] == [422, 422, 200, 200]
    assert told == 3
