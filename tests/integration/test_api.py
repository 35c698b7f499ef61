"""The api on a real broker and a real store: accepting, reading, listing, tokens, the page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from inkwire_contracts import events
from inkwire_contracts.commands import Job
from inkwire_contracts.topology import JOBS
from tests.support.api import Api, open_api


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path) as opened:
        yield opened


async def test_a_post_is_accepted_once_job_and_request_are_stored(api: Api) -> None:
    """202 names the post; the job waits in JOBS and ``requested`` is in the log, both as the client sent them."""
    answer = await api.create("  Top 10 Laravel tips  ", body={"priority": "high"})
    assert answer.status == 202
    post = answer.json["id"]
    assert answer.headers["Location"] == f"/posts/{post}"
    assert answer.json["status_url"] == f"http://127.0.0.1:8080/posts/{post}"
    assert answer.json["websocket_url"] == "ws://127.0.0.1:8080/ws"
    assert answer.json["channel"] == f"post:{post}"
    [stored] = await api.log.read("ana", post)
    assert isinstance(stored.event, events.GenerateRequested)
    assert stored.event.data.title == "Top 10 Laravel tips"
    message = await api.log.jetstream.leader_get(JOBS, 1)
    assert message is not None
    job = Job.model_validate_json(message.payload)
    assert (job.post, job.priority, job.request) == (post, "high", stored.event.data)
    assert message.subject.startswith("jobs.general.high.") and message.subject.endswith(".ana")


async def test_a_post_can_be_read_at_once_by_its_own_token(api: Api) -> None:
    """The token of the 202 reads that post, from the log alone where the store has nothing yet, and no other."""
    one, other = (await api.create()).json, (await api.create()).json
    own = {"Authorization": f"Bearer {one['token']}"}
    answer = await api.ask("GET", f"/posts/{one['id']}", headers=own)
    assert (answer.status, answer.json["status"], answer.json["position"]["seq"]) == (200, "queued", 1)
    assert (await api.ask("GET", f"/posts/{other['id']}", headers=own)).code == "forbidden_channel"
    assert (await api.ask("GET", "/posts", headers=own)).code == "forbidden_channel"
    refused = await api.ask("POST", "/posts", headers=own, json={"title": "More"})
    assert (refused.code, refused.json["scope"]) == ("forbidden", "post:write")
