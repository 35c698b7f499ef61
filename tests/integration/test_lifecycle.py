"""The two tables of docs/lifecycle.md are what happens: every letter is walked, and nothing else is seen.

Posts' transitions are taken from their logs, attempts' outcomes from the line that a worker writes about each.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from structlog.testing import capture_logs

from inkwire_chassis.event_log import EventLog
from inkwire_contracts import events
from inkwire_contracts.commands import Job
from inkwire_contracts.events import Event, Started
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_generator.settings import GeneratorSettings
from inkwire_stores.ports import StoredPost, StoreUnavailable
from inkwire_stores.sqlite import SqlitePostStore
from tests.support.api import Api, open_api
from tests.support.generator import (
    commit_cancel,
    commit_job,
    generator_process,
    generator_settings,
    running_generator,
    until,
    until_final,
)
from tests.support.log import QUICK_LEASE, ScriptedWriter, make_job, open_log
from tests.support.sim import SimServer
from tests.support.wait import eventually

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
TITLE = "Top 5 Laravel tips"
NOTHING = "–"


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of the first table under a heading, by letter."""
    _, _, part = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")
    lines = re.findall(r"^\| ([a-zA-Z]) \|(.*)\|$", part.partition("\n## ")[0], flags=re.MULTILINE)
    return {letter: [cell.strip() for cell in cells.split("|")] for letter, cells in lines}


@dataclass(frozen=True)
class Step:
    """One transition of a post."""

    before: str
    event: str
    after: str


POST = {
    letter: {
        Step(before, event, cells[2])
        for before in cells[0].replace(NOTHING, "unknown").split(", ")
        for event in re.findall(r"`(\w+)`", cells[1])
    }
    for letter, cells in rows("States of a post").items()
}
ATTEMPT = {
    letter: (cells[0], re.findall(r"`(\w+)`", cells[2])) for letter, cells in rows("States of an attempt").items()
}


def steps_of(post: str, log: list[Event]) -> list[Step]:
    """A post's transitions, one for each event."""
    snapshot, steps = Snapshot(post=post), []
    for event in log:
        before = snapshot.status
        assert fold(snapshot, event) is Outcome.APPLIED
        steps.append(Step(before, event.type, snapshot.status))
    return steps


@dataclass
class World:
    """One broker, one api, one model, and what was seen."""

    api: Api
    nats_url: str
    sim: SimServer
    folder: Path
    lines: list[Any]
    jobs: list[Job] = field(default_factory=list)

    @property
    def log(self) -> EventLog:
        return self.api.log

    def settings(self, **changes: Any) -> GeneratorSettings:
        return generator_settings(self.nats_url, self.sim, self.folder, **changes)

    async def job(self, *, commit: bool = True) -> Job:
        """A new post of ana's; committed as the api does it."""
        job = make_job("ana", title=TITLE)
        self.jobs.append(job)
        if commit:
            await self.log.ensure_requested(job)
            await commit_job(self.log, job)
        return job

    async def next_run(self, job: Job, run: int) -> Job:
        later = make_job("ana", post=job.post, title=TITLE, run=run)
        await commit_job(self.log, later)
        return later

    async def written(self, post: str) -> list[str]:
        """Types of a post's events."""
        return [one.event.type for one in await self.log.read("ana", post)]

    async def outcome(self, post: str, attempt: int | None) -> str:
        """What the worker's line says of an attempt, once it is there."""

        def said() -> str | None:
            found = [line for line in self.lines if line["event"] == "attempt over" and line["post"] == post]
            return next((str(line["outcome"]) for line in found if line["attempt"] == attempt), None)

        return str(await eventually(said, what=f"attempt {attempt} of {post} is over", timeout_s=30.0))

    async def ask(self, method: str, path: str) -> int:
        return (await self.api.ask(method, path)).status

    def fast(self) -> None:
        self.sim.set_speed(tokens_per_s=0, ttft_ms=0)

    def slow(self) -> None:
        self.sim.set_speed(tokens_per_s=60, ttft_ms=5)


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What the product logs, whatever a test before made of the logs."""
    before = structlog.get_config()
    structlog.reset_defaults()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars])
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured
    structlog.configure(**before)


@pytest_asyncio.fixture
async def world(nats_url: str, tmp_path: Path, lines: list[Any]) -> AsyncIterator[World]:
    with SimServer() as sim:
        async with open_log(nats_url, QUICK_LEASE), open_api(nats_url, tmp_path, max_open_posts=1_000) as api:
            yield World(api, nats_url, sim, tmp_path, lines)


@asynccontextmanager
async def working(world: World, **changes: Any) -> AsyncIterator[None]:
    """A worker for the length of a block."""
    async with running_generator(world.settings(**changes)):
        yield


# -- walks: each returns the letters of attempts that it has seen ----------------------------------------------


async def written_to_its_end(world: World) -> str:
    """With an outline, and one failed answer on the way; then deleted."""
    world.fast()
    world.sim.add_fault("500", status=503)
    job = await world.job()
    async with working(world):
        assert (await until_final(world.log, job)).status == "published"
        assert await world.outcome(job.post, 1) == "ack"
    assert await world.ask("DELETE", f"/posts/{job.post}") == 204
    return "ahi"


async def cancelled_before_its_start(world: World) -> str:
    """By the api; a worker that comes later finds the run ended."""
    job = await world.job()
    assert await world.ask("POST", f"/posts/{job.post}/cancel") == 202
    async with working(world):
        assert await world.outcome(job.post, 2) == "ack"
    assert await world.written(job.post) == ["requested", "cancelled"]
    return "c"


async def cancelled_by_a_wish(world: World) -> str:
    """Stored before the worker claimed: it writes the end, and asks nobody. The next run is cancelled in mid-text."""
    job = await world.job()
    await commit_cancel(world.log, job)
    async with working(world):
        await until_final(world.log, job)
        assert await world.outcome(job.post, 1) == "ack"
        assert await world.written(job.post) == ["requested", "cancelled"]
        world.slow()
        second = await world.next_run(job, 2)
        await until(world.log, job, "text flows", lambda post: post.run == 2 and post.open_section is not None)
        await commit_cancel(world.log, second)
        await until_final(world.log, second)
        assert await world.outcome(job.post, 2) == "ack"
    assert (await world.written(job.post))[-1] == "cancelled"
    return "dj"


async def poisoned(world: World) -> str:
    """Five claims without a word; the sixth ends the run."""
    job = await world.job(commit=False)
    await world.log.ensure_requested(job)
    for _ in range(5):
        await world.log.claim(job.post, run=1, deliveries=0, holder="dies")
    await commit_job(world.log, job)
    async with working(world):
        assert (await until_final(world.log, job)).status == "failed"
        assert await world.outcome(job.post, 6) == "poison"
    return "e"


async def out_of_turn(world: World) -> str:
    """A run whose predecessor is under way waits, and one that cannot follow is set aside."""
    writer = await ScriptedWriter.begin(world.log, await world.job(commit=False))
    await world.next_run(writer.job, 2)
    async with working(world):
        assert await world.outcome(writer.job.post, None) == "later"
    await writer.section("s1", "its worker goes on")
    await writer.publish()
    ended = await ScriptedWriter.begin(world.log, await world.job(commit=False))
    await ended.section("s1", "text")
    await ended.publish()
    await world.next_run(ended.job, 3)
    async with working(world):
        assert await world.outcome(ended.job.post, 2) == "reject"
    return "fg"


async def paused_and_gone_on_with(world: World) -> str:
    """The next run leaves a paused one; a paused or failed post can be deleted."""
    writer = await ScriptedWriter.begin(world.log, await world.job(commit=False))
    await writer.section("outline", "1. Tips")
    await writer.write(events.Paused, reason="review")
    world.fast()
    async with working(world):
        second = await world.next_run(writer.job, 2)
        await until_final(world.log, second)
    return ""


async def dead_before_the_last_event(world: World) -> str:
    """All text is there: the worker that takes over writes the end, and nothing else."""
    writer = await ScriptedWriter.begin(world.log, await world.job(commit=False))
    await writer.write(events.Planned, sections=[{"section": "s1", "title": "Tips"}])
    await writer.section("s1", "## Tips\n")
    await commit_job(world.log, writer.job)
    async with working(world):
        assert (await until_final(world.log, writer.job)).status == "published"
    return ""


async def fenced(world: World) -> str:
    """Another attempt claims in the middle: the worker's next event is refused, and a claim before it too."""
    world.slow()
    job = await world.job()
    async with working(world):
        await until(world.log, job, "text flows", lambda post: post.open_section is not None)
        await world.log.claim(job.post, run=1, deliveries=50, holder="other")
        assert await world.outcome(job.post, 1) == "silent"
        assert await world.outcome(job.post, None) == "silent"
    return "bk"


async def released_and_killed(world: World) -> str:
    """A worker that stops hands over, one that dies is waited for; the third writes to the end."""
    world.slow()
    job = await world.job()
    async with working(world):
        await until(
            world.log, job, "the first writes", lambda post: post.attempt == 1 and post.open_section is not None
        )
    assert await world.outcome(job.post, 1) == "released"
    victim = generator_process(world.nats_url, world.sim, world.folder, "victim")
    victim.start()
    try:
        await until(world.log, job, "it writes", lambda post: post.attempt == 2 and post.status == "generating")
    finally:
        victim.kill9()
    world.fast()
    async with working(world):
        await until_final(world.log, job)
        assert await world.outcome(job.post, 3) == "ack"
    return "ln"


async def hung(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """A post's task that makes no step loses its job while its process lives."""
    append = EventLog.append

    async def never(log: EventLog, event: Event, held: Any, **more: Any) -> int:
        if held.attempt == 1 and isinstance(event, Started):
            await asyncio.Event().wait()
        return await append(log, event, held, **more)

    world.fast()
    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "append", never)
        job = await world.job()
        async with working(world, stall_timeout_s=3.0):
            assert await world.outcome(job.post, 1) == "hung"
            await until_final(world.log, job)
    return "m"


async def away_and_broken(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that does not answer is waited for; a post that neither log nor store knows is nothing to wait for."""
    answers = [StoreUnavailable("locked")]
    get = SqlitePostStore.get

    async def sometimes(store: SqlitePostStore, post: str) -> StoredPost | None:
        if answers:
            raise answers.pop()
        return await get(store, post)

    with monkeypatch.context() as patch:
        patch.setattr(SqlitePostStore, "get", sometimes)
        lost = make_job("ana", title=TITLE, run=2)
        await commit_job(world.log, lost)
        async with working(world):
            assert await world.outcome(lost.post, None) == "away"
            assert await world.outcome(lost.post, 1) == "broken"
    return "op"


@pytest.mark.nats
async def test_every_letter_is_walked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happened to all posts is what the first table lists, all of it; each attempt ended as the second says."""
    walked = ""
    walked += await written_to_its_end(world)
    walked += await cancelled_before_its_start(world)
    walked += await cancelled_by_a_wish(world)
    walked += await poisoned(world)
    walked += await paused_and_gone_on_with(world)
    walked += await dead_before_the_last_event(world)
    walked += await hung(world, monkeypatch)
    walked += await released_and_killed(world)
    walked += await fenced(world)
    walked += await out_of_turn(world)
    walked += await away_and_broken(world, monkeypatch)

    seen: set[Step] = set()
    for job in world.jobs:
        seen.update(steps_of(job.post, [one.event for one in await world.log.read("ana", job.post)]))
    listed = set[Step]().union(*POST.values())
    assert seen <= listed, "seen, and not in the table"
    assert [letter for letter, steps in POST.items() if not steps & seen] == [], "in the table, and never seen"

    assert set(walked) == set(ATTEMPT), "each letter of an attempt has its walk"
    outcomes = {line["outcome"] for line in world.lines if line["event"] == "attempt over"}
    assert outcomes == {outcome for _, named in ATTEMPT.values() for outcome in named}
