"""Joining a post before, while and after it is written: the reader's fold equals what was written."""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from inkwire_contracts.events import Cancelled, CancelledData, Deleted, GenerateRequested, RequestedData, Started
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold
from inkwire_contracts.topology import EVENTS
from inkwire_stores.ports import StoredPost
from tests.integration.gateway_support import Author, Reader, World, reader, token, without_republish, world
from tests.support.wait import eventually

pytestmark = pytest.mark.nats

JOINS = int(os.environ.get("INKWIRE_JOINS", "100"))
JOINERS = 10
RUNNING_POSTS = 6


async def test_join_before_anything_is_written(nats_url: str, tmp_path: Path) -> None:
    """A reader who is there from the request on sees every event once."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.write(GenerateRequested, RequestedData(title="A post", recipe="blog"))
        await r.follow(author.channel)
        assert r.snapshots[author.channel].status == "queued"
        await author.write(Started, {"worker": "w"})
        await author.open_section("s")
        await author.chunk("text")
        await author.complete()
        await author.publish()
        end = await r.read_to_end(author.channel)
        assert document(end) == "text" and digest("text") == end.sha256
        assert r.outcomes[Outcome.APPLIED] == author.truth.seq - 1 and r.exact


async def test_join_while_it_is_written(nats_url: str, tmp_path: Path) -> None:
    """Whoever joins in mid-section gets what is there and every later event once."""
    async with world(nats_url, tmp_path) as w:
        author = Author(w.log)
        await author.begin("one", "two")
        await author.open_section("one")
        await author.chunk("Hello ")
        async with reader(w.port, token()) as r:
            await r.follow(author.channel)
            assert document(r.snapshots[author.channel]) == "Hello "
            await author.chunk("wörld \U0001f600")
            await author.complete()
            await author.open_section("two")
            await author.chunk("Bye")
            await author.complete()
            await author.publish()
            end = await r.read_to_end(author.channel)
            assert document(end) == author.text == "Hello wörld \U0001f600Bye"
            assert end.sha256 == author.truth.sha256
            assert r.exact


async def test_join_after_the_end(nats_url: str, tmp_path: Path) -> None:
    """A finished post comes whole, from the log where the store has nothing yet."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.whole(sections=3, chunks=20)
        await r.follow(author.channel)
        found = r.snapshots[author.channel]
        assert found.status == "published" and document(found) == author.text
        assert digest(document(found)) == found.sha256


async def test_large_post_in_bounded_frames(nats_url: str, tmp_path: Path) -> None:
    """Long sections come in frames of at most 64 KiB, with offsets in code points."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        for _ in range(3):
            await author.chunk("\U0001f600漢a" * 4_000)
        await r.follow(author.channel)
        texts = [f for f in r.frames if f["type"] == "text"]
        assert len(texts) >= 3 and all(len(str(f["text"]).encode()) <= 64 * 1024 for f in texts)
        assert document(r.snapshots[author.channel]) == author.text


async def put_in_store(w: World, author: Author) -> None:
    """What the persister does at the end: the fold of the key events."""
    snapshot = Snapshot(post=author.post)
    events = await w.log.read(author.owner, author.post)
    for stored in events:
        if hasattr(stored.event, "prev"):
            assert fold(snapshot, stored.event) is Outcome.APPLIED
    stored_post = StoredPost(snapshot, events[-1].stream_seq, await w.log.epoch(), document(snapshot))
    assert await w.store.put(stored_post, expected_seq=0)


async def purge(w: World, author: Author) -> None:
    """What the janitor does to a stored post."""
    await w.log.jetstream.api(f"STREAM.PURGE.{EVENTS}", {"filter": f"posts.{author.owner}.{author.post}.>"})


async def test_join_after_the_log_forgot_it(nats_url: str, tmp_path: Path) -> None:
    """A post that only the store has is served from it, and a later run of it is followed."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        await author.chunk("kept")
        await author.write(Cancelled, CancelledData(section="s", text="kept"))
        await put_in_store(w, author)
        await purge(w, author)
        await r.follow(author.channel)
        assert r.snapshots[author.channel].status == "cancelled"
        assert document(r.snapshots[author.channel]) == "kept"
        await author.write(GenerateRequested, RequestedData(title="A post", recipe="blog"), run=2)
        await r.until("event", name="generate.requested")
        assert r.snapshots[author.channel].run == 2 and r.exact


async def test_join_while_the_log_holds_only_a_later_part(nats_url: str, tmp_path: Path) -> None:
    """A post whose beginning the log does not have is joined in mid-run, from the store and the rest of the log."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("s", "t")
        await author.open_section("s")
        await author.chunk("kept")
        await author.complete()
        await put_in_store(w, author)
        await purge(w, author)
        await author.open_section("t")
        await author.chunk(" and new")
        await r.follow(author.channel)
        assert document(r.snapshots[author.channel]) == "kept and new"
        assert r.positions[author.channel]["seq"] == author.truth.seq
        await author.chunk(", live")
        await r.until("event", name="chunk.produced")
        assert document(r.snapshots[author.channel]) == "kept and new, live" and r.exact


async def test_store_that_is_behind_is_not_believed(nats_url: str, tmp_path: Path) -> None:
    """While the store's document is not the latest run's end, the log is read."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("s")
        await author.write(Cancelled, CancelledData())
        await put_in_store(w, author)
        await author.write(GenerateRequested, RequestedData(title="A post", recipe="blog"), run=2)
        await author.write(Started, {"worker": "w"})
        await author.open_section("s")
        await author.chunk("second run")
        await author.complete()
        await author.publish()
        await r.follow(author.channel)
        assert document(r.snapshots[author.channel]) == "second run"
        assert r.snapshots[author.channel].status == "published"


async def test_unknown_and_foreign_posts_are_not_found(nats_url: str, tmp_path: Path) -> None:
    """Nobody learns whether a post of somebody else exists, whether the log or the store has it."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token("eve")) as r:
        in_log, in_store = Author(w.log), Author(w.log)
        await in_log.whole()
        await in_store.whole()
        await put_in_store(w, in_store)
        await purge(w, in_store)
        answers = []
        for number, channel in enumerate((in_log.channel, in_store.channel, "post:" + "z" * 26)):
            await r.send(type="subscribe", channel=channel, id=number)
            frame = await r.until("error", id=number)
            answers.append({k: v for k, v in frame.items() if k not in ("id", "channel")})
        assert [a["code"] for a in answers] == ["not_found"] * 3
        assert answers[0] == answers[1] == answers[2]
        await r.send(type="subscribe", channel=in_log.channel, id=9)
        await r.until("error", id=9, code="not_found")  # refused again, not "already subscribed"


async def test_deleted_post(nats_url: str, tmp_path: Path) -> None:
    """Readers see the deletion; who comes later is told that it is gone."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.whole()
        await r.follow(author.channel)
        await author.write(Deleted, {})
        await r.until("event", name="post.deleted")
        assert document(r.snapshots[author.channel]) == ""
        async with reader(w.port, token()) as late:
            await late.send(type="subscribe", channel=author.channel)
            await late.until("error", code="gone")


async def test_later_run_on_the_same_channel(nats_url: str, tmp_path: Path) -> None:
    """After an end the channel goes on; finished sections of the run before stay."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("a", "b")
        await author.open_section("a")
        await author.chunk("A")
        await author.complete()
        await author.write(Cancelled, CancelledData())
        await r.follow(author.channel)
        await author.write(GenerateRequested, RequestedData(title="A post", recipe="blog"), run=2)
        await author.write(Started, {"worker": "w"})
        await author.open_section("b")
        await author.chunk("B")
        await author.complete()
        await author.publish()
        while r.snapshots[author.channel].status != "published":
            await r.next()
        assert document(r.snapshots[author.channel]) == "AB" and r.exact


async def test_resume_from_memory_and_from_the_log(nats_url: str, tmp_path: Path) -> None:
    """A position is resumed by events alone: in this gateway, and in one that has just started."""
    async with world(nats_url, tmp_path) as w:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        await author.chunk("one ")
        async with reader(w.port, token()) as r:
            await r.follow(author.channel)
            place, state = r.positions[author.channel], r.snapshots[author.channel]
        await author.chunk("two ")
        await author.chunk("three ")
        await resume(w, author, place, state.model_copy(deep=True))
        async with world(nats_url, tmp_path) as other:
            await resume(other, author, place, state)


async def resume(w: World, author: Author, place: dict[str, object], state: Snapshot) -> None:
    """Come back to a place and be brought to the head without a snapshot."""
    async with reader(w.port, token()) as r:
        r.snapshots[author.channel] = state
        await r.follow(author.channel, place)
        assert r.recovered[author.channel] and "snapshot" not in [f["type"] for f in r.frames]
        while state.seq < author.truth.seq:  # the last republish may still be on its way
            await r.next()
        assert document(state) == author.text and r.exact
        assert r.positions[author.channel]["seq"] == author.truth.seq


async def test_resume_under_another_epoch(nats_url: str, tmp_path: Path) -> None:
    """A place in another log means nothing: a snapshot comes."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.whole()
        await r.follow(author.channel, {"epoch": "1999-12-31T23:59:59Z", "seq": 3})
        assert not r.recovered[author.channel]
        assert document(r.snapshots[author.channel]) == author.text


async def test_resume_with_less_than_the_ring(nats_url: str, tmp_path: Path) -> None:
    """A place that memory does not reach back to gives a snapshot, never a gap."""
    async with world(nats_url, tmp_path, ring_events=5) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.whole(chunks=10)
        await r.follow(author.channel, {"epoch": await w.log.epoch(), "seq": 4})
        assert not r.recovered[author.channel]
        assert document(r.snapshots[author.channel]) == author.text


async def test_lost_republish_before_silence(nats_url: str, tmp_path: Path) -> None:
    """The last event before a silence was stored but never republished: the tail check finds it."""
    async with world(nats_url, tmp_path, silence_s=0.3) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        await author.chunk("seen ")
        await r.follow(author.channel)
        async with without_republish(w.log):
            await author.chunk("lost ")
            await author.complete()
            await author.publish()
        end = await r.read_to_end(author.channel)
        assert document(end) == "seen lost " and r.exact
        assert w.gateway.hub.counters.gaps == 0, "found by looking, not by a later event"


async def test_lost_republish_before_another_event(nats_url: str, tmp_path: Path) -> None:
    """An event that was never republished is missed by the next one, and read from the log."""
    async with world(nats_url, tmp_path, silence_s=30.0) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        await r.follow(author.channel)
        async with without_republish(w.log):
            await author.chunk("lost ")
        await author.chunk("found ")
        await author.complete()
        await author.publish()
        end = await r.read_to_end(author.channel)
        assert document(end) == "lost found " and r.exact
        assert w.gateway.hub.counters.gaps >= 1


async def test_many_readers_of_one_post_share_the_broker(nats_url: str, tmp_path: Path) -> None:
    """The first reader costs a read of the log, the others none."""
    async with world(nats_url, tmp_path) as w:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        async with reader(w.port, token()) as first:
            await first.follow(author.channel)
            for _ in range(5):
                async with reader(w.port, token()) as r:
                    await r.follow(author.channel)
            assert w.gateway.hub.counters.joins_from_memory == 5
            assert w.gateway.hub.counters.joins_loaded == 1


async def test_memory_is_released(nats_url: str, tmp_path: Path) -> None:
    """Some time after the last reader left, nothing of the post is held here, and it can be joined anew."""
    async with world(nats_url, tmp_path, linger_s=0.0) as w:
        author = Author(w.log)
        await author.begin("s")
        async with reader(w.port, token()) as r:
            await r.follow(author.channel)
            assert len(w.gateway.hub.channels) == 1
        await eventually(lambda: not w.gateway.hub.channels, what="the channel is released")
        async with reader(w.port, token()) as r:
            await r.follow(author.channel)


# -- joins under fire --------------------------------------------------------------------------------------------------


async def keep_writing(w: World, authors: list[Author], place: int, stop: asyncio.Event) -> None:
    """Posts one after the other, with every kind of event, as fast as the broker stores them."""
    chance = random.Random(place)
    while not stop.is_set():
        author = authors[place] = Author(w.log)
        await author.begin("s0", "s1", "s2")
        for name in ("s0", "s1", "s2"):
            await author.open_section(name)
            for _ in range(chance.randint(5, 60)):
                await author.chunk(chance.choice(["a", "wörd ", "漢字", "\U0001f468‍\U0001f469 ", "x" * 300]))
                if chance.random() < 0.1:
                    await author.progress(chance.randint(0, 100))
            if chance.random() < 0.2:
                await author.write(Started, {"worker": "other"})  # a take-over begins the section anew
                await author.open_section(name)
                await author.chunk("again ")
            await author.complete()
        await author.publish()


async def join_once(w: World, author: Author, chance: random.Random, gaps: Counter[Outcome]) -> int:
    """Join, follow a while, sometimes resume on a new connection, and compare with what was written at that place."""
    async with reader(w.port, token()) as r:
        await r.follow(author.channel)
        joined_at = r.snapshots[author.channel].seq
        await follow_some(r, author, chance.randint(0, 30))
        state, place = r.snapshots[author.channel], r.positions[author.channel]
        gaps.update(r.outcomes)
    if chance.random() < 0.3:
        async with reader(w.port, token()) as again:
            again.snapshots[author.channel] = state
            await again.follow(author.channel, place)
            await follow_some(again, author, chance.randint(0, 10))
            state = again.snapshots[author.channel]
            gaps.update(again.outcomes)
    assert digest(document(state)) == author.digests[state.seq], f"{author.post} at {state.seq}"
    return joined_at


async def follow_some(r: Reader, author: Author, events: int) -> None:
    """Some more frames, unless the post has ended."""
    for _ in range(events):
        if r.snapshots[author.channel].is_final:
            return
        await r.next()


async def test_joins_at_random_moments(nats_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whenever somebody joins a running post: no gap, no double, the text as it was written at that place."""
    outcomes: Counter[Outcome] = Counter()
    moments: list[int] = []
    # Lingering not at all makes most joins load from the log again.
    async with world(nats_url, tmp_path, linger_s=0.0, frames_per_s=1000) as w:
        stop = asyncio.Event()
        authors: list[Author] = [Author(w.log) for _ in range(RUNNING_POSTS)]
        writers = [asyncio.create_task(keep_writing(w, authors, n, stop)) for n in range(RUNNING_POSTS)]
        await eventually(lambda: all(a.truth.seq > 0 for a in authors), what="every post is begun")

        async def joiner(number: int) -> None:
            chance = random.Random(1_000 + number)
            for _ in range(number, JOINS, JOINERS):
                running = [a for a in authors if a.truth.seq > 0]
                moments.append(await join_once(w, chance.choice(running), chance, outcomes))

        await asyncio.gather(*(joiner(n) for n in range(JOINERS)))
        stop.set()
        await asyncio.gather(*writers)
        counters = w.gateway.hub.counters
    with capsys.disabled():
        gaps, doubles = outcomes[Outcome.GAP] + outcomes[Outcome.INVALID], outcomes[Outcome.DUPLICATE]
        print(
            f"\n{len(moments)} joins at {len(set(moments))} different places: {gaps} gaps, {doubles} doubles, "
            f"{outcomes[Outcome.APPLIED]} frames of events, {counters.joins_loaded} loads, {counters.recovered} resumes"
        )
    assert len(moments) == JOINS and len(set(moments)) > min(JOINS, 100) / 10
    assert set(outcomes) == {Outcome.APPLIED}
