"""Posts older than the log: purged once proven, then read, joined, retried and deleted from the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from inkwire_chassis.event_log import EventLog, Fenced, History
from inkwire_contracts import events
from inkwire_contracts.commands import Job
from inkwire_contracts.fold import Snapshot, digest, document
from inkwire_contracts.topology import EVENTS, topology
from inkwire_gateway.app import Running
from inkwire_persister.app import Persister
from inkwire_stores import PostStore, mongo_database
from tests.integration import gateway_support as clients
from tests.support.api import Answer, Api, open_api
from tests.support.generator import commit_job, generator_settings, running_generator, until_idle
from tests.support.log import ScriptedWriter, make_job, open_log
from tests.support.retention import held_by_log, running_persister, until_purged
from tests.support.sim import SimServer
from tests.support.wait import eventually

pytestmark = pytest.mark.nats


@dataclass
class Whole:
    """Api, gateway and persister in this loop, on one log and one store."""

    nats_url: str
    folder: Path
    api: Api
    gateway: Running
    persister: Persister

    @property
    def log(self) -> EventLog:
        return self.api.log

    @property
    def store(self) -> PostStore:
        return self.api.store

    async def purged(self, job: Job) -> None:
        await until_purged(self.log, self.store, job.owner, job.post)

    async def retry(self, post: str) -> Answer:
        return await self.api.ask("POST", f"/posts/{post}/retry")


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'posts.sqlite3'}"
    url, name = request.getfixturevalue("mongo_database")
    return f"{url.rstrip('/')}/{name}"


@asynccontextmanager
async def whole(nats_url: str, folder: Path, store_url: str) -> AsyncIterator[Whole]:
    chosen = clients.settings(nats_url, folder, store_url=store_url)
    async with (
        open_api(nats_url, folder, max_open_posts=1_000, store_url=store_url) as api,
        clients.running_gateway(chosen) as gateway,
        running_persister(nats_url, store_url) as persister,
    ):
        yield Whole(nats_url, folder, api, gateway, persister)


def on_sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'posts.sqlite3'}"


async def published(log: EventLog, owner: str = "ana") -> ScriptedWriter:
    writer = await ScriptedWriter.begin(log, make_job(owner))
    await writer.section("s1", "naïve ", "🗄️ text. ")
    await writer.section("s2", "the end.\n")
    await writer.publish()
    return writer


async def failed(log: EventLog, owner: str = "ana", *, title: str = "Ten tips") -> ScriptedWriter:
    """Its first section is finished, its second was being written."""
    writer = await ScriptedWriter.begin(log, make_job(owner, title=title))
    await writer.section("s1", "finished, ", "and kept. ")
    await writer.open("s2")
    await writer.chunk("half a sen")
    await writer.write(events.Failed, code="provider_auth", section="s2", text="half a sen")
    return writer


async def test_a_purged_post_is_read_listed_and_joined_from_the_store(
    nats_url: str, tmp_path: Path, store_url: str
) -> None:
    """Nothing of it is left in the log; page, download, list and channel give the same bytes, as the digest proves."""
    async with whole(nats_url, tmp_path, store_url) as w:
        writer = await published(w.log)
        post, text = writer.job.post, document(writer.snapshot)
        await w.purged(writer.job)
        detail = (await w.api.ask("GET", f"/posts/{post}")).json
        assert (detail["status"], detail["sha256"], detail["position"]["seq"]) == (
            "published",
            digest(text),
            writer.snapshot.seq,
        )
        assert "".join(section["text"] for section in detail["sections"]) == text
        assert (await w.api.ask("GET", f"/posts/{post}/markdown")).body.decode() == text
        assert [line["id"] for line in (await w.api.ask("GET", "/posts")).json["items"]] == [post]
        async with clients.reader(w.gateway.port, clients.token("ana")) as reader:
            await reader.follow(f"post:{post}")
            shown = reader.snapshots[f"post:{post}"]
        assert (document(shown), shown.status, shown.sha256) == (text, "published", digest(text))
        assert w.persister.counters.purge_refusals == 0


async def test_a_purged_post_that_failed_is_retried_from_the_store(
    nats_url: str, tmp_path: Path, store_url: str
) -> None:
    """Run 2 goes on in seq and attempts, pays for nothing finished; an open reader goes on; then it is purged again."""
    async with (
        whole(nats_url, tmp_path, store_url) as w,
        clients.reader(w.gateway.port, clients.token("ana")) as reader,
    ):
        with SimServer() as sim:
            sim.add_fault("500", status=401, match="Points to cover")
            chosen = generator_settings(nats_url, sim, tmp_path, store_url=store_url)
            async with running_generator(chosen):
                post = (await w.api.create("Top 5 Laravel tips")).json["id"]
                await reader.follow(f"post:{post}")
                before = (await until_purged(w.log, w.store, "ana", post)).snapshot
                done = {section.section: section.text for section in before.sections if section.status == "done"}
                asked = len(sim.requests())
                assert before.status == "failed" and len(done) >= 2
                answer = await w.retry(post)
                assert (answer.status, answer.json["run"]) == (202, 2)
                while (shown := await reader.read_to_end(f"post:{post}")).run < 2:
                    await reader.next()
                await until_idle(w.log)
            assert len(sim.requests()) - asked == len(shown.sections) - len(done)
        after = (await until_purged(w.log, w.store, "ana", post, after_seq=before.seq)).snapshot
        assert (after.status, after.run, after.sha256) == ("published", 2, digest(document(after)))
        assert reader.exact and document(shown) == document(after) and shown.seq == after.seq
        assert after.seq > before.seq and after.attempt > before.attempt
        assert done.items() <= {section.section: section.text for section in after.sections}.items()
        assert w.persister.counters.corrupt_posts == 0


async def test_a_reader_from_a_purged_past_resumes(nats_url: str, tmp_path: Path) -> None:
    """Who comes back with a position that only the store covers, at another gateway, is given the whole post."""
    async with whole(nats_url, tmp_path, on_sqlite(tmp_path)) as w:
        writer = await failed(w.log)
        channel = f"post:{writer.job.post}"
        await w.purged(writer.job)
        position = {"epoch": await w.log.epoch(), "seq": 3}
        async with clients.reader(w.gateway.port, clients.token("ana")) as reader:
            await reader.follow(channel, position)
            assert not reader.recovered[channel]
            assert document(reader.snapshots[channel]) == "finished, and kept. half a sen"


async def test_a_tail_upon_the_store_is_read_and_joined_while_it_grows(nats_url: str, tmp_path: Path) -> None:
    """The log holds run 2 alone, in the middle of a section; a new reader and the api have all of the post."""
    async with whole(nats_url, tmp_path, on_sqlite(tmp_path)) as w:
        writer = await failed(w.log)
        job, post = writer.job, writer.job.post
        await w.purged(job)
        assert (await w.retry(post)).status == 202
        claimed = await w.log.claim(post, run=2, deliveries=1, holder="script")
        again = ScriptedWriter(w.log, make_job("ana", post=post, run=2), claimed)
        again.snapshot = (await w.log.history("ana", post, base=await base_of(w, post))).snapshot
        assert again.snapshot.status == "queued" and again.held.attempt > writer.snapshot.attempt
        await again.write(events.Started)
        await again.open("s2")
        await again.chunk("a whole ")
        async with clients.reader(w.gateway.port, clients.token("ana")) as reader:
            await reader.follow(f"post:{post}")
            assert document(reader.snapshots[f"post:{post}"]) == "finished, and kept. a whole "
            detail = (await w.api.ask("GET", f"/posts/{post}")).json
            assert [section["text"] for section in detail["sections"]] == ["finished, and kept. ", "a whole "]
            await again.chunk("sentence.")
            await w.api.ask("POST", f"/posts/{post}/cancel")
            assert await w.log.cancel_intent("ana", post, 2) is not None
            await again.write(events.Cancelled, section="s2", text="a whole sentence.")
            shown = await reader.read_to_end(f"post:{post}")
            assert reader.exact and document(shown) == "finished, and kept. a whole sentence."
        stored = await until_purged(w.log, w.store, "ana", post, after_seq=writer.snapshot.seq)
        assert stored.markdown == "finished, and kept. a whole sentence."


async def base_of(w: Whole, post: str) -> History:
    stored = await w.store.get(post)
    assert stored is not None
    return History(stored.snapshot, stored.stream_seq)


async def test_a_purged_post_is_asked_for_again_by_its_key(nats_url: str, tmp_path: Path) -> None:
    """The same body is the same post, another body is refused, and nothing is written anew in the log."""
    async with whole(nats_url, tmp_path, on_sqlite(tmp_path)) as w:
        first = await w.api.create("A post", key="k-1")
        post = first.json["id"]
        await w.api.ask("POST", f"/posts/{post}/cancel")
        await until_purged(w.log, w.store, "ana", post)
        jobs = await w.api.jobs()
        again = await w.api.create("A post", key="k-1")
        assert (again.status, again.json["id"], again.headers["Idempotency-Replayed"]) == (202, post, "true")
        other = await w.api.create("Another post", key="k-1")
        assert (other.status, other.code) == (422, "idempotency_mismatch")
        assert (await w.api.jobs(), await held_by_log(w.log, "ana", post)) == (jobs, {})


async def test_a_purged_post_is_deleted(nats_url: str, tmp_path: Path, store_url: str) -> None:
    """204, then gone everywhere; of the log only `deleted` and its claim stay, and the attempts were counted on."""
    async with whole(nats_url, tmp_path, store_url) as w:
        writer = await published(w.log)
        post = writer.job.post
        await w.purged(writer.job)
        assert (await w.api.ask("DELETE", f"/posts/{post}")).status == 204
        stored = await until_purged(w.log, w.store, "ana", post, after_seq=writer.snapshot.seq)
        assert stored.snapshot.status == "deleted" and stored.snapshot.attempt > writer.snapshot.attempt
        assert (await w.api.ask("GET", f"/posts/{post}")).code == "gone"
        assert (await w.api.ask("POST", f"/posts/{post}/retry")).code == "gone"
        async with clients.reader(w.gateway.port, clients.token("ana")) as reader:
            await reader.send(type="subscribe", channel=f"post:{post}")
            assert (await reader.until("error"))["code"] == "gone"


async def test_a_zombie_is_refused_after_the_purge(nats_url: str, tmp_path: Path) -> None:
    """Its claim is gone, so its token is worth nothing: neither its next event nor a copy of an old one is stored."""
    async with open_log(nats_url) as log, running_persister(nats_url, on_sqlite(tmp_path)) as persister:
        writer = await failed(log)
        seen = (await log.read("ana", writer.job.post))[-1].event
        stale = writer.held
        await eventually(lambda: persister.counters.purged_posts == 1, what="the post is purged")
        late = seen.model_copy(update={"seq": seen.seq + 1})
        for event in (late, seen):
            with pytest.raises(Fenced):
                await log.append(event, stale)
        assert await log.read("ana", writer.job.post) == []


async def test_an_old_job_brings_nothing_back(nats_url: str, tmp_path: Path) -> None:
    """A job that is delivered again, after a copy of `requested` came late too, ends without an event or a claim."""
    async with whole(nats_url, tmp_path, on_sqlite(tmp_path)) as w:
        writer = await published(w.log)
        job = writer.job
        await w.purged(job)
        with SimServer() as sim:
            chosen = generator_settings(nats_url, sim, tmp_path)
            async with running_generator(chosen):
                await commit_job(w.log, job)
                await until_idle(w.log)
                assert await held_by_log(w.log, "ana", job.post) == {}
                late = make_job("ana", post=job.post, title="Another title, by somebody who slept")
                await w.log.ensure_requested(late)
                await commit_job(w.log, make_job("ana", post=job.post, run=1, title="once more"))
                await until_idle(w.log)
            assert sim.requests() == []
        detail = (await w.api.ask("GET", f"/posts/{job.post}")).json
        assert (detail["status"], detail["title"]) == ("published", "Ten tips")
        async with clients.reader(w.gateway.port, clients.token("ana")) as reader:
            await reader.follow(f"post:{job.post}")
            assert reader.snapshots[f"post:{job.post}"].status == "published"
        await until_purged(w.log, w.store, "ana", job.post)


async def test_a_gateway_that_missed_the_end_finds_it_in_the_store(nats_url: str, tmp_path: Path) -> None:
    """Neither the end nor the purge was told: the next tail check reads the post anew, and readers have all of it."""
    async with whole(nats_url, tmp_path, on_sqlite(tmp_path)) as w:
        writer = await ScriptedWriter.begin(w.log, make_job("ana"))
        channel = f"post:{writer.job.post}"
        async with clients.reader(w.gateway.port, clients.token("ana")) as reader:
            await reader.follow(channel)
            async with clients.without_republish(w.log):
                await writer.section("s1", "all of it")
                await writer.publish()
                await w.purged(writer.job)
            shown = await reader.read_to_end(channel)
            assert (document(shown), shown.status) == ("all of it", "published")


async def test_without_its_store_a_purged_post_is_unavailable_not_unknown(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 from the api and a code to try again at the gateway; never "not found", and never a part of the text."""
    async with whole(nats_url, tmp_path, on_sqlite(tmp_path)) as w:
        purged, tail = await published(w.log), await failed(w.log)
        await w.purged(purged.job)
        await w.purged(tail.job)
        assert (await w.retry(tail.job.post)).status == 202
    monkeypatch.setattr(mongo_database, "SELECT_TIMEOUT_MS", 100)
    nowhere = "mongodb://127.0.0.1:9/none"
    chosen = clients.settings(nats_url, tmp_path, store_url=nowhere, load_timeout_s=1.0)
    async with open_api(nats_url, tmp_path, store_url=nowhere) as api, clients.running_gateway(chosen) as gateway:
        for writer in (purged, tail):
            post = writer.job.post
            answers = await asyncio.gather(
                api.ask("GET", f"/posts/{post}"),
                api.ask("GET", f"/posts/{post}/markdown"),
                api.ask("POST", f"/posts/{post}/cancel"),
            )
            assert [(a.status, a.code) for a in answers] == [(503, "store_unavailable")] * 3
            async with clients.reader(gateway.port, clients.token("ana")) as reader:
                await reader.send(type="subscribe", channel=f"post:{post}")
                assert (await reader.until("error"))["code"] == "broker_unavailable"
                assert reader.snapshots == {}


async def fill_up(log: EventLog) -> None:
    """Finished posts until hardly anything fits."""
    for size_chars in (60_000, 1_000):
        while await room_bytes(log) > 2 * size_chars + 6_000:
            writer = await ScriptedWriter.begin(log, make_job("ana"))
            await writer.section("s1", "x" * size_chars)
            await writer.publish()


async def room_bytes(log: EventLog) -> int:
    info = await log.jetstream.stream_info(EVENTS)
    return int(info["config"]["max_bytes"]) - int(info["state"]["bytes"])


async def ended(store: PostStore, job: Job) -> Snapshot | None:
    stored = await store.get(job.post)
    return stored.snapshot if stored is not None and stored.snapshot.is_final else None


async def test_a_full_log_lets_writers_wait_and_loses_nothing(nats_url: str, tmp_path: Path) -> None:
    """New posts and retries are refused, ends are not; writers go on when the janitor has made room, all exact."""
    tiny = topology(events_max_bytes=1024**2, conversations_max_bytes=1024**2)
    store_url = on_sqlite(tmp_path)
    async with (
        open_api(nats_url, tmp_path, plan=tiny, max_open_posts=1_000) as api,
        running_persister(nats_url, store_url, purge_enabled=False),
    ):
        old = await failed(api.log)
        await fill_up(api.log)
        jobs = [make_job("ana", title=f"Post {n}") for n in range(3)]
        with SimServer() as sim:
            async with running_generator(generator_settings(nats_url, sim, tmp_path)) as worker:
                for job in jobs:
                    await commit_job(api.log, job)
                await eventually(lambda: worker.worker.active_count == 3, what="the workers have the posts")
                refused = [await api.create("One more"), await api.ask("POST", f"/posts/{old.job.post}/retry")]
                assert [(a.status, a.code) for a in refused] == [(503, "log_full")] * 2
                assert all(int(a.headers["Retry-After"]) > 0 for a in refused)
                assert (await api.ask("POST", f"/posts/{old.job.post}/cancel")).status == 200
                ready = await api.ask("GET", "/readyz", subject=None)
                assert ready.status == 200 and "new posts are refused" in ready.json["checks"]["log"]
                assert [await ended(api.store, job) for job in jobs] == [None] * 3
                async with running_persister(nats_url, store_url, purge_after_s=3600.0, purge_pressed_after_s=0.0):
                    for job in jobs:
                        end = await eventually(partial(ended, api.store, job), what="it ends", timeout_s=40.0)
                        assert (end.status, end.sha256) == ("published", digest(document(end)))
                        assert end.attempt == 1

                    async def accepted() -> bool:
                        return (await api.create("One more")).status == 202

                    await eventually(accepted, what="new posts are accepted again")
