"""Dead letters over HTTP and from the command line: real api, real broker, real workers that die."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inkwire.client import Client, ClientError
from inkwire.main import run
from inkwire_api.dead_letters import REPLAY_LEAP
from inkwire_chassis.jetstream import H_MSG_ID
from inkwire_contracts import events, subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.dead_letters import header_fields
from inkwire_contracts.events import Started
from inkwire_contracts.topology import DLQ
from tests.support.api import KEYS, Answer, Api, open_api, token
from tests.support.generator import (
    assert_exact,
    generator_process,
    generator_settings,
    read_folded,
    running_generator,
    until,
    until_final,
    until_idle,
)
from tests.support.log import QUICK_LEASE, ScriptedWriter, make_job, open_log
from tests.support.processes import ManagedProcess
from tests.support.sim import SimServer

Keep = Callable[[ManagedProcess], ManagedProcess]
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")
NEVER_MS = 600_000.0
SECRET = "what nobody but its owner may read"


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path, max_open_posts=1) as opened:
        yield opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of an Inkwire with the keys of the test's api."""
    keys = tmp_path / "data" / "secrets" / "jwt_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text(KEYS)
    return tmp_path / "data"


async def ops(api: Api, method: str, path: str, **options: Any) -> Answer:
    headers = {"Authorization": f"Bearer {token('operator', scopes=('ops',))}"}
    return await api.ask(method, path, headers=headers, **options)


async def set_aside(api: Api, job: Job, reason: str = "poison") -> str:
    """What a worker does with a job; returns the letter's id."""
    subject = subjects.dead_job(subjects.job(job.request.pool, job.priority, job.owner))
    headers = {**header_fields(reason, deliveries=6, worker="w1"), H_MSG_ID: f"test.{job.msg_id}.{reason}"}
    return str((await api.log.jetstream.publish(subject, job.model_dump_json().encode(), headers)).seq)


async def failed(api: Api, owner: str = "ana") -> Job:
    """A post whose first run failed after a finished section."""
    job = make_job(owner)
    job = job.model_copy(update={"request": job.request.model_copy(update={"options": {"audience": SECRET}})})
    writer = await ScriptedWriter.begin(api.log, job)
    await writer.section("s1", "finished, ", "and kept. ")
    await writer.write(events.Failed, code="poison", params={"deliveries": 6})
    return job


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What a command wrote to stdout, without the log of the api in the same process."""
    lines = capsys.readouterr().out.splitlines(keepends=True)
    return "".join(line for line in lines if not LOG_LINE.match(line))


async def command(*arguments: str) -> int:
    return await asyncio.to_thread(run, list(arguments))


async def test_a_letter_is_listed_shown_and_replayed(api: Api) -> None:
    """An operator sees letters of all owners, never their text; a replay is the next run, and the letter is gone."""
    jobs = [await failed(api, owner) for owner in ("ana", "ben")]
    letters = [await set_aside(api, job) for job in jobs]
    listed = await ops(api, "GET", "/dead-letters")
    assert [item["id"] for item in listed.json["items"]] == letters[::-1]
    assert SECRET not in listed.body.decode() and listed.json["next_cursor"] is None
    shown = (await ops(api, "GET", f"/dead-letters/{letters[0]}")).json
    assert (shown["owner"], shown["title"], shown["reason"], shown["deliveries"]) == ("ana", "Ten tips", "poison", 6)
    answer = await ops(api, "POST", f"/dead-letters/{letters[0]}/replay")
    assert (answer.status, answer.json) == (202, {"post": jobs[0].post, "run": 2, "status": "queued"})
    assert answer.headers["Location"] == f"/posts/{jobs[0].post}"
    snapshot, _ = await read_folded(api.log, jobs[0])
    assert (snapshot.run, snapshot.status, len(snapshot.sections)) == (2, "queued", 1)
    assert (await ops(api, "POST", f"/dead-letters/{letters[0]}/replay")).code == "not_found"
    assert [item["id"] for item in (await ops(api, "GET", "/dead-letters")).json["items"]] == letters[1:]


async def test_two_letters_of_a_run_and_many_replays_are_one_run(api: Api) -> None:
    """Ten replays at once of two letters begin one run, and no owner's limit stands in the way."""
    job = await failed(api)
    letters = [await set_aside(api, job), await set_aside(api, job, "broken")]
    answers = await asyncio.gather(*(ops(api, "POST", f"/dead-letters/{letters[n % 2]}/replay") for n in range(10)))
    assert {(answer.status, answer.json.get("run")) for answer in answers} <= {(202, 2), (404, None)}
    assert any(answer.status == 202 for answer in answers)
    assert await api.jobs() == 1
    assert int((await api.log.jetstream.stream_info(DLQ))["state"]["messages"]) == 0


async def test_without_the_scope_nothing_is_shown(api: Api) -> None:
    """403 for everybody else, an owner included whose job it is, and 401 without a token."""
    letter = await set_aside(api, await failed(api))
    for method, path in (
        ("GET", "/dead-letters"),
        ("GET", f"/dead-letters/{letter}"),
        ("POST", f"/dead-letters/{letter}/replay"),
        ("DELETE", f"/dead-letters/{letter}"),
    ):
        refused = await api.ask(method, path)
        assert (refused.status, refused.code, refused.json["scope"]) == (403, "forbidden", "ops")
        assert (await api.ask(method, path, subject=None)).status == 401
    assert (await ops(api, "DELETE", f"/dead-letters/{letter}")).status == 204
    assert (await ops(api, "DELETE", f"/dead-letters/{letter}")).code == "not_found"
    assert (await ops(api, "GET", "/posts")).code == "forbidden"


async def test_pages_over_a_stream_with_holes(api: Api) -> None:
    """Letters among wide gaps are found, newest first and each once, also by kind and reason."""
    job = make_job("ana")
    subject = subjects.job("general", "normal", "ana")
    for number in range(400):
        reason = "reject" if number % 50 == 7 else "poison"
        await api.log.jetstream.publish(
            subjects.dead_job(subject) if number != 300 else "dlq.events.posts.ana.x.planned",
            job.model_dump_json().encode(),
            {**header_fields(reason), H_MSG_ID: f"hole.{number}"},
        )
    left = {1, 2, 9, 58, 208, 301, 308, 400}  # the places of 0, 1, 8, 57, ...
    for seq in range(1, 401):
        if seq not in left:
            assert await api.log.jetstream.delete_message(DLQ, seq)
    found: list[int] = []
    path = "/dead-letters?limit=3"
    while True:
        page = (await ops(api, "GET", path)).json
        found += [int(item["id"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        path = f"/dead-letters?limit=3&cursor={page['next_cursor']}"
    assert found == sorted(left, reverse=True)
    rejected = (await ops(api, "GET", "/dead-letters?reason=reject&kind=job")).json["items"]
    assert [int(item["id"]) for item in rejected] == [308, 208, 58]
    an_event = (await ops(api, "GET", "/dead-letters?kind=event")).json["items"]
    assert [(int(item["id"]), item["replayable"]) for item in an_event] == [(301, False)]
    for wrong in ("limit=0", "kind=post", "reason=A%20b", "cursor=x"):
        assert (await ops(api, "GET", f"/dead-letters?{wrong}")).status in (400, 422)


async def test_a_run_that_was_given_up_goes_on(api: Api, nats_url: str, tmp_path: Path) -> None:
    """Two letters of a run in its middle are replayed while the claim knows of twenty deliveries: the first copy is
    taken at once, the second takes over for good, and the end is exact.
    """
    async with open_log(nats_url, QUICK_LEASE):
        pass
    job = make_job("ana", title="Top 5 Laravel tips")
    await api.log.ensure_requested(job)
    await api.log.claim(job.post, run=1, deliveries=20, holder="broke")
    letters = [await set_aside(api, job, "broken"), await set_aside(api, job, "reject")]
    with SimServer(tokens_per_s=60, ttft_ms=5) as sim:
        sim.plan_at_once()
        async with running_generator(generator_settings(nats_url, sim, tmp_path, posts=2)):
            answer = await ops(api, "POST", f"/dead-letters/{letters[0]}/replay")
            assert (answer.status, answer.json["run"]) == (202, 1)
            await until(api.log, job, "the first copy writes", lambda post: len(post.sections) > 1)
            assert (await ops(api, "POST", f"/dead-letters/{letters[1]}/replay")).json["run"] == 1
            await until(api.log, job, "the second has taken over", lambda post: post.attempt == 3)
            sim.set_speed(tokens_per_s=0, ttft_ms=0)
            await until_final(api.log, job)
            await until_idle(api.log)
    snapshot, stored = await read_folded(api.log, job)
    assert_exact(snapshot, stored)
    claim, _ = await api.log.read_claim(job.post)
    assert claim is not None and claim.deliveries == 2 * REPLAY_LEAP + 20 + 1 + 1


async def test_what_cannot_be_replayed_says_what_to_do(api: Api) -> None:
    """Published, deleted, unreadable: 409, and the letter stays until it is discarded."""
    published = await ScriptedWriter.begin(api.log, make_job("ana"))
    await published.section("s1", "text")
    await published.publish()
    gone = await failed(api)
    assert (await api.ask("DELETE", f"/posts/{gone.post}")).status == 204
    letters = [await set_aside(api, published.job), await set_aside(api, gone)]
    await api.log.jetstream.publish("dlq.jobs.general.high.3.ana", b"{}", header_fields("unreadable"))
    for letter in (*letters, "3"):
        answer = await ops(api, "POST", f"/dead-letters/{letter}/replay")
        assert (answer.status, answer.code) == (409, "not_replayable")
        assert "iscard" in answer.json["detail"]
    assert len((await ops(api, "GET", "/dead-letters")).json["items"]) == 3


async def test_poison_from_its_first_death_to_its_publication(
    api: Api, nats_url: str, tmp_path: Path, keep: Keep, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker that stops and two that are killed: only deaths count. The next ends the run, and an operator, once
    the model answers again, replays it from the command line to its publication.
    """
    async with open_log(nats_url, QUICK_LEASE):
        pass
    limit = {"INKWIRE_GENERATOR_POISON_ATTEMPTS_COUNT": "2"}
    with SimServer(ttft_ms=NEVER_MS) as sim:
        job = make_job("ana", post=(await api.create("Top 5 Laravel tips")).json["id"])
        async with running_generator(generator_settings(nats_url, sim, tmp_path, poison_attempts_count=2)):
            await until(api.log, job, "the first attempt", lambda post: post.attempt == 1)
        for attempt in (2, 3):
            worker = generator_process(nats_url, sim, tmp_path, f"worker {attempt}", **limit)
            keep(worker)
            worker.start()
            await until(api.log, job, f"attempt {attempt}", lambda post, attempt=attempt: post.attempt >= attempt)
            worker.kill9()
        settings = generator_settings(nats_url, sim, tmp_path, poison_attempts_count=2, name="the last")
        async with running_generator(settings):
            ended = await until_final(api.log, job)
            await until_idle(api.log)
            assert (ended.status, ended.error and ended.error.code) == ("failed", "poison")
            assert await command("dlq", "list", "--data", str(data), "--url", api.base_url, "--json") == 0
            letter = json.loads(printed(capsys))
            assert (letter["post"], letter["run"], letter["reason"]) == (job.post, 1, "poison")
            assert letter["worker"] == "the last" and letter["deliveries"] >= 3
            sim.set_speed(tokens_per_s=0, ttft_ms=0)
            await_replay = ("dlq", "replay", letter["id"], "--data", str(data), "--url", api.base_url)
            assert await command(*await_replay) == 0
            assert f"run 2 of {job.post}" in printed(capsys)
            second = make_job("ana", post=job.post, run=2)
            snapshot = await until_final(api.log, second)
            await until_idle(api.log)
    assert (snapshot.status, snapshot.run) == ("published", 2)
    _, stored = await read_folded(api.log, job)
    assert len([one for one in stored if isinstance(one.event, Started) and one.event.run == 1]) == 3
    assert (await ops(api, "GET", "/dead-letters")).json["items"] == []


async def test_the_commands(api: Api, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """List, show, replay all, discard, each with its exit code; a letter that is refused does not stop the others."""
    jobs = [await failed(api, owner) for owner in ("ana", "ben", "cem")]
    one, two, three = [await set_aside(api, job) for job in jobs]
    await api.ask("DELETE", f"/posts/{jobs[1].post}", subject="ben")
    where = ("--data", str(data), "--url", api.base_url)
    assert await command("dlq", "list", *where) == 0
    lines = printed(capsys).splitlines()
    assert lines[0].split() == ["ID", "TIME", "(UTC)", "REASON", "POST", "RUN", "OWNER", "TITLE"]
    assert [line.split()[0] for line in lines[1:]] == [three, two, one]
    assert await command("dlq", "list", "--limit", "1", *where) == 0
    assert "larger --limit" in capsys.readouterr().err
    assert await command("dlq", "show", one, *where) == 0
    shown = printed(capsys)
    assert "Worker after worker" in shown and f"inkwire dlq replay {one}" in shown and "worker:      w1" in shown
    assert await command("dlq", "replay", "--all", *where) == 64  # nobody to ask
    assert "--yes" in capsys.readouterr().err
    assert await command("dlq", "replay", "--all", "--yes", "--json", *where) == 1
    told = [json.loads(line) for line in printed(capsys).splitlines()]
    assert [line["id"] for line in told] == [one, two, three]
    assert (told[0]["run"], told[1]["error"]["code"], told[2]["run"]) == (2, "not_replayable", 2)
    assert await command("dlq", "replay", one, *where) == 1
    assert "replayed or discarded before" in capsys.readouterr().err
    assert await command("dlq", "discard", two, "--yes", *where) == 0
    assert await command("dlq", "replay", "--all", "--yes", *where) == 1
    assert await command("dlq", "list", *where) == 0
    assert "no dead letters" in printed(capsys)
    assert await command("dlq", "list", "--token", token("ana"), "--url", api.base_url) == 77
    assert "scope ops" in capsys.readouterr().err


async def test_posts_are_deleted_from_the_command_line(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """By client and command, twice is fine; nobody to ask is wrong use, and one that is not there is told."""
    first, second = await failed(api), await failed(api)
    where = ("--url", api.base_url, "--token", token("ana"))
    async with Client(api.base_url, token=token("ana")) as client:
        await client.delete_post(first.post)
        await client.delete_post(first.post)
        with pytest.raises(ClientError) as caught:
            await client.get_post(first.post)
        assert caught.value.code == "gone"
    assert await command("delete", second.post, *where) == 64
    assert "--yes" in capsys.readouterr().err
    assert await command("delete", second.post, make_job().post, "--yes", *where) == 1
    out, err = capsys.readouterr()
    assert f"{second.post} is deleted\n" in out and "not yours" in err
    assert (await api.ask("GET", f"/posts/{second.post}")).code == "gone"
