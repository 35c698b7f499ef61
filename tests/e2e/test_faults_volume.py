"""The broker's volume is lost while posts are written and read: everybody is told, and goes on from what was saved."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from inkwire.client import Client, ClientError
from inkwire.following import Update
from inkwire_chassis.clock import new_id
from inkwire_chassis.event_log import EventLog, StoredEvent
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold
from inkwire_stores import PostStore, StoredPost, open_store
from tests.support.processes import http_status
from tests.support.stack import ROOT, Stack, running_stack
from tests.support.wait import eventually, scaled_s

SERVICES: Final = ("api", "gateway", "generator", "persister")
LATE_S: Final = 60.0
BEING_WRITTEN: Final = "A post that is being written"
SPEED: Final = ("--tokens-per-s", "150", "--generators", "2")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path / "up", *SPEED) as stack:
        yield stack


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack.url) as client:
        yield client


@dataclass
class Reader:
    """Follows a post to its end and keeps all that it was shown."""

    updates: list[tuple[str, int, str, bool]] = field(default_factory=list)
    """Epoch, seq, document, and whether it was told that the log was lost."""
    last: Snapshot | None = None

    async def follow(self, client: Client, post: str) -> None:
        async for update in client.follow(post):
            self._note(update)

    def _note(self, update: Update) -> None:
        if update.position is not None and update.kind != "lost":
            text = document(update.snapshot)
            self.updates.append((update.position.epoch, update.position.seq, text, update.log_lost))
        self.last = update.snapshot

    @property
    def text(self) -> str:
        return self.updates[-1][2] if self.updates else ""


def provision(stack: Stack) -> str:
    """What an operator runs."""
    argv = [sys.executable, "-m", "inkwire", "provision", "--data", str(stack.data)]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=scaled_s(60))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def readiness(stack: Stack) -> dict[str, tuple[int, dict[str, Any]]]:
    """Status and checks of each service's /readyz; /livez must be 200 all the while."""
    answers = {}
    for name in SERVICES:
        url = stack.readyz(name)
        status, body = http_status(url)
        assert http_status(url.replace("/readyz", "/livez"))[0] == 200, name
        answers[name] = (status, json.loads(body)["checks"])
    return answers


async def log_of(stack: Stack, post: str) -> tuple[list[StoredEvent], str]:
    """All that the log has of a post, and the log's epoch."""
    async with connected(stack.state["nats_url"], "test") as connection:
        jetstream = JetStream(connection)
        await jetstream.start()
        log = EventLog(jetstream, new_id)
        return await log.read("local", post), await log.epoch()


async def saved(store: PostStore, post: str, sections: int) -> StoredPost:
    """Wait until the store has so many finished sections of a post's document."""

    async def enough() -> StoredPost | None:
        stored = await store.get(post)
        done = [s for s in stored.snapshot.sections if s.in_document and s.status == "done"] if stored else []
        return stored if len(done) >= sections else None

    return await eventually(enough, what=f"{sections} sections are saved", timeout_s=LATE_S)


async def ended(client: Client, post: str, status: str) -> dict[str, Any]:
    async def is_ended() -> dict[str, Any] | None:
        answer = await client.get_post(post)
        return answer if answer["status"] == status else None

    return await eventually(is_ended, what=f"{post} is {status}", timeout_s=LATE_S)


def assert_never_mixed(reader: Reader, base: StoredPost, log: list[StoredEvent], epoch: str) -> None:
    """After the loss every text shown is the saved post with the new log's events upon it; before it, none is."""
    truth = base.snapshot.model_copy(deep=True)
    texts = {truth.seq: document(truth)}
    for stored in log:
        assert fold(truth, stored.event) is Outcome.APPLIED, stored.event
        texts[stored.event.seq] = document(truth)
    epochs = [shown[0] for shown in reader.updates]
    first = epochs.index(epoch)
    assert len(set(epochs[:first])) == 1 and set(epochs[first:]) == {epoch}
    assert [number for number, shown in enumerate(reader.updates) if shown[3]] == [first]
    for _, seq, text, _ in reader.updates[first:]:
        assert texts[seq] == text, seq
    assert digest(texts[truth.seq]) == truth.sha256


@pytest.mark.nats
async def test_everybody_goes_on_from_what_was_saved(stack: Stack, client: Client, page: Page) -> None:
    """Killed broker, empty folder: readiness says so, provisioning is enough, and no reader sees a mix."""
    short = {"length": "short"}
    stack.sim.add_fault("speed", match=BEING_WRITTEN, count=None, tokens_per_s=30)
    finished = (await client.create_post("A finished post", options=short))["id"]
    stopped = (await client.create_post("A stopped post", options=short))["id"]
    post = (await client.create_post(BEING_WRITTEN))["id"]
    await page.goto(f"{stack.url}/p/{post}")
    reader, waiting = Reader(), Reader()
    following = asyncio.ensure_future(reader.follow(client, post))
    async with open_store(stack.state["store_url"]) as store:
        await saved(store, stopped, 1)
        await client.cancel_post(stopped)
        await ended(client, finished, "published")
        markdown = await client.markdown(finished)
        await saved(store, stopped, 1)
        await eventually(lambda: _is(store, stopped, "cancelled"), what="the stop is saved", timeout_s=LATE_S)
        await eventually(lambda: _is(store, finished, "published"), what="the end is saved", timeout_s=LATE_S)
        before = await saved(store, post, 1)
        await eventually(lambda: len(reader.text) > len(document(before.snapshot)) + 20, what="more is shown")
        pids = {name: stack.pid_of(f"inkwire_{name}.main") for name in SERVICES}
        lost, losing = await accepted_unsaved(stack, client)
        stack.lose_broker_volume()
        os.kill(pids["persister"], signal.SIGCONT)

        def all_say_so() -> bool:
            answers = readiness(stack)
            assert all("inkwire provision" in str(checks) for _, checks in answers.values()), answers
            return all(status == 503 for status, _ in answers.values())

        await eventually(all_say_so, what="every service says what is missing", timeout_s=LATE_S)
        base = await store.get(post)
        assert base is not None and not base.snapshot.is_final
        stack.sim.clear_faults()
        assert "created stream EVENTS" in provision(stack)
        await asyncio.wait_for(following, scaled_s(LATE_S))
        await waiting.follow(client, post)
        with pytest.raises(ClientError) as told:
            await asyncio.wait_for(losing, scaled_s(LATE_S))
        assert told.value.code == "not_found" and await store.get(lost) is None

    log, epoch = await log_of(stack, post)
    assert_never_mixed(reader, base, log, epoch)
    assert {shown[0] for shown in waiting.updates} == {epoch}
    stored = (await client.markdown(post)).decode()
    assert stored == reader.text == waiting.text
    await expect(page.locator("#notice")).to_contain_text("The broker's log was lost")
    await eventually(lambda: _shows(page, stored), what="the page has the whole text", timeout_s=LATE_S)
    await expect(page.get_by_test_id("post-list")).not_to_contain_text("A post that nobody saved")
    await expect(page.get_by_test_id("digest")).to_have_attribute("data-state", "verified")

    def all_ready() -> bool:
        answers = readiness(stack)
        assert all(status == 200 for status, _ in answers.values()), answers
        return True

    await eventually(all_ready, what="every service is ready again", timeout_s=LATE_S)
    assert pids == {name: stack.pid_of(f"inkwire_{name}.main") for name in SERVICES}, "a service was started again"

    assert await client.markdown(finished) == markdown
    again = await client.retry_post(stopped)
    assert again["run"] == 2
    await ended(client, stopped, "published")


async def accepted_unsaved(stack: Stack, client: Client) -> tuple[str, asyncio.Future[None]]:
    """A post that is being read and that the store has not heard of: the persister stands still. And its reader."""
    os.kill(stack.pid_of("inkwire_persister.main"), signal.SIGSTOP)
    post = (await client.create_post("A post that nobody saved"))["id"]
    reader = Reader()
    following = asyncio.ensure_future(reader.follow(client, post))
    await eventually(lambda: reader.last is not None, what="it is read", timeout_s=LATE_S)
    return post, following


async def _is(store: PostStore, post: str, status: str) -> bool:
    stored = await store.get(post)
    return stored is not None and stored.snapshot.status == status


async def _shows(page: Page, text: str) -> bool:
    return bool(await page.evaluate("window.inkwire.text") == text)
