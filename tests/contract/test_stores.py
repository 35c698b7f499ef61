"""One suite for every adapter of PostStore, over real databases."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymongo
import pytest
import pytest_asyncio

from inkwire_contracts.events import Turn
from inkwire_contracts.fold import Snapshot, fold_all
from inkwire_contracts.views import summary
from inkwire_stores import PostStore, PostTooLarge, StoredPost, open_store
from inkwire_stores.mongo_post import to_document
from tests.support.memory_store import MemoryStore
from tests.support.mongo_server import MongoEndpoint
from tests.support.post_logs import SECTIONS, PostLog, post_id, text_of, whole_post
from tests.support.processes import ManagedProcess
from tests.support.wait import eventually


@dataclass(frozen=True)
class Backend:
    """A database of the test's own: how to open it once more, and whether writers may race on it."""

    name: str
    url: str
    against_races: str | None = None
    memory: MemoryStore | None = None
    """The fake that unit and property tests use: it must keep the same promises."""

    def open(self) -> AbstractAsyncContextManager[PostStore]:
        return contextlib.nullcontext(self.memory) if self.memory is not None else open_store(self.url)


@pytest.fixture(params=["memory", "sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "memory":
        return Backend("memory", "", memory=MemoryStore())
    if request.param == "sqlite":
        return Backend("sqlite", f"sqlite:///{tmp_path}/data/posts.sqlite3")
    url, name = request.getfixturevalue("mongo_database")
    server: MongoEndpoint = request.getfixturevalue("mongo_server")
    label = server.label.split(" (")[0]
    against = None if server.is_mongodb else f"{label}, which is not MongoDB, drops connections whose writes race"
    return Backend("mongo", f"{url.rstrip('/')}/{name}", against)


@pytest_asyncio.fixture
async def store(backend: Backend) -> AsyncIterator[PostStore]:
    async with backend.open() as opened:
        yield opened


def stored(
    number: int = 1, *, owner: str = "ana", created_at: str = "2026-11-21T09:00:00.000Z", **log: Any
) -> StoredPost:
    """A published post as the persister would store it."""
    written = whole_post(number, owner=owner, **log)
    snapshot = Snapshot(post=written.post)
    fold_all(snapshot, written.key_events)
    snapshot.created_at = created_at
    return StoredPost(snapshot, stream_seq=2**40 + number, epoch="2026-11-20T00:00:00Z", markdown=text_of())


def at_seq(post: StoredPost, seq: int) -> StoredPost:
    return replace(post, snapshot=post.snapshot.model_copy(update={"seq": seq}))


def with_status(post: StoredPost, status: str) -> StoredPost:
    return replace(post, snapshot=post.snapshot.model_copy(update={"status": status}))


async def test_what_was_stored_comes_back_equal(store: PostStore) -> None:
    """A post comes back with every field as it went in, keys with dots, dollars and huge integers included."""
    post = stored()
    assert await store.put(post, expected_seq=0)
    assert await store.get(post.snapshot.post) == post
    section = post.snapshot.sections[0]
    assert section.data == {"a.b": [1, {"$c": 2**70}]} and section.text == SECTIONS[0][1]


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_every_kind_of_end_comes_back_equal(store: PostStore, end: Any) -> None:
    """An error with its parameters and a missing Markdown survive the way through the store."""
    post = replace(stored(end=end), markdown=None)
    assert await store.put(post, expected_seq=0)
    assert await store.get(post.snapshot.post) == post


async def test_an_unknown_post_is_none(store: PostStore) -> None:
    """A post that was never stored is None, in a store that is quite new too."""
    assert await store.get(post_id(404)) is None


async def test_insert_once(store: PostStore) -> None:
    """Only the first of two writers that expect nothing there stores its post."""
    post = stored()
    assert await store.put(post, expected_seq=0)
    assert not await store.put(at_seq(post, 99), expected_seq=0)
    assert await store.get(post.snapshot.post) == post


async def test_compare_and_set_succeeds_on_the_expected_seq(store: PostStore) -> None:
    """A writer that knows the stored seq replaces the post."""
    post = stored()
    await store.put(post, expected_seq=0)
    newer = at_seq(post, post.snapshot.seq + 5)
    assert await store.put(newer, expected_seq=post.snapshot.seq)
    assert await store.get(post.snapshot.post) == newer


async def test_compare_and_set_refuses_any_other_seq(store: PostStore) -> None:
    """A writer whose knowledge is older or newer than the store, or of a missing post, changes nothing."""
    post = stored()
    assert not await store.put(post, expected_seq=7)
    assert await store.get(post.snapshot.post) is None
    await store.put(post, expected_seq=0)
    for wrong in (post.snapshot.seq - 1, post.snapshot.seq + 1):
        assert not await store.put(at_seq(post, 1_000), expected_seq=wrong)
    assert await store.get(post.snapshot.post) == post


async def test_of_many_concurrent_writers_one_wins_each_seq(store: PostStore, backend: Backend) -> None:
    """Eight writers race over fifteen versions: every version is written exactly once."""
    if backend.against_races:
        pytest.skip(backend.against_races)
    post = at_seq(stored(), 1)
    wins: list[int] = []

    async def race(writer: int) -> None:
        for seq in range(1, 16):
            if await store.put(replace(at_seq(post, seq), stream_seq=writer), expected_seq=seq - 1):
                wins.append(seq)

    await asyncio.gather(*(race(writer) for writer in range(8)))
    assert wins == list(range(1, len(wins) + 1)) and wins
    found = await store.get(post.snapshot.post)
    assert found is not None and found.snapshot.seq == wins[-1]


def as_reply(post: StoredPost) -> StoredPost:
    turn = Turn(conversation=post_id(900), message=post_id(901), reply=post_id(902))
    return replace(post, snapshot=post.snapshot.model_copy(update={"turn": turn}))


@pytest.mark.parametrize("status", [None, "published"])
async def test_replies_are_listed_only_if_asked_for(store: PostStore, status: str | None) -> None:
    """A conversation's answers are no articles: lists leave them out, page by page, unless they are wanted."""
    posts = [stored(n, created_at=f"2026-11-21T09:00:00.{n:03}Z") for n in range(8)]
    posts = [as_reply(post) if n % 2 else post for n, post in enumerate(posts)]
    for post in posts:
        await store.put(post, expected_seq=0)
    articles = [post.snapshot.post for post in reversed(posts[::2])]
    found = await store.list_posts("ana", limit=3, status=status)
    rest = await store.list_posts("ana", limit=3, status=status, before=(found[-1].created_at, found[-1].id))
    assert [line.id for line in found + rest] == articles
    every = await store.list_posts("ana", limit=20, status=status, replies=True)
    assert [line.id for line in every] == [post.snapshot.post for post in reversed(posts)]
    assert {line.conversation for line in every} == {None, post_id(900)}
    newer = at_seq(posts[1], 99)
    assert await store.put(newer, expected_seq=posts[1].snapshot.seq)
    assert len(await store.list_posts("ana", limit=20, status=status)) == 4


@pytest.mark.mongo
async def test_documents_of_before_there_were_conversations_are_no_replies(
    mongo_database: tuple[str, str], mongo_server: MongoEndpoint
) -> None:
    """A MongoDB that an older version filled: its posts stay in the lists."""
    url, name = mongo_database
    post = stored()
    old = {key: value for key, value in to_document(post).items() if key != "reply"}
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        client[name]["posts"].insert_one(old)
    async with open_store(f"{url.rstrip('/')}/{name}") as opened:
        assert await opened.list_posts("ana", limit=5) == [summary(post.snapshot)]
        assert await opened.list_posts("ana", limit=5, status="published") == [summary(post.snapshot)]
        assert await opened.put(at_seq(post, 99), expected_seq=post.snapshot.seq)
        assert len(await opened.list_posts("ana", limit=5)) == 1


async def test_list_is_newest_first_and_ties_are_ordered_by_id(store: PostStore) -> None:
    """Posts come by creation time and, within one millisecond, by id, both falling."""
    times = ["2026-11-21T09:00:00.001Z", "2026-11-21T09:00:00.000Z", "2026-11-21T09:00:00.001Z"] * 4
    posts = [stored(number, created_at=created_at) for number, created_at in enumerate(times)]
    for post in posts:
        await store.put(post, expected_seq=0)
    listed = await store.list_posts("ana", limit=50)
    want = sorted((summary(post.snapshot) for post in posts), key=lambda line: (line.created_at, line.id), reverse=True)
    assert listed == want


async def test_pages_lose_and_double_nothing_while_posts_arrive(store: PostStore) -> None:
    """Paging by the last line's place sees every earlier post once, whatever is stored meanwhile."""
    for number in range(23):
        await store.put(stored(number, created_at=f"2026-11-21T09:00:0{number % 3}.000Z"), expected_seq=0)
    first = {line.id for line in await store.list_posts("ana", limit=100)}
    seen: list[str] = []
    before: tuple[str, str] | None = None
    arriving = 100
    while page := await store.list_posts("ana", limit=4, before=before):
        assert len(page) <= 4
        seen += [line.id for line in page]
        before = (page[-1].created_at, page[-1].id)
        arriving += 1
        await store.put(stored(arriving, created_at="2026-11-21T10:00:00.000Z"), expected_seq=0)
    assert len(seen) == len(set(seen)) == 23
    assert set(seen) == first


async def test_status_filter_and_tombstones(store: PostStore) -> None:
    """A status gives only its posts; deleted ones appear only when they are asked for."""
    for number, status in enumerate(["published", "failed", "deleted", "generating", "failed"]):
        await store.put(with_status(stored(number), status), expected_seq=0)

    async def ids(status: str | None) -> set[str]:
        return {line.id for line in await store.list_posts("ana", limit=10, status=status)}

    assert await ids("failed") == {post_id(1), post_id(4)}
    assert await ids("deleted") == {post_id(2)}
    assert await ids("queued") == set()
    assert await ids(None) == {post_id(0), post_id(1), post_id(3), post_id(4)}
    assert await store.get(post_id(2)) is not None


async def test_status_filter_pages(store: PostStore) -> None:
    """The place of the last line works together with a status."""
    for number in range(6):
        status = "failed" if number % 2 else "published"
        await store.put(
            with_status(stored(number, created_at=f"2026-11-21T09:00:0{number}.000Z"), status), expected_seq=0
        )
    first = await store.list_posts("ana", limit=2, status="failed")
    assert [line.id for line in first] == [post_id(5), post_id(3)]
    rest = await store.list_posts("ana", limit=2, status="failed", before=(first[-1].created_at, first[-1].id))
    assert [line.id for line in rest] == [post_id(1)]


async def test_list_refuses_a_limit_out_of_range(store: PostStore) -> None:
    """A page of none or of very many is a mistake of the caller, not a silent other page."""
    for limit in (0, -1, 501):
        with pytest.raises(ValueError, match="limit must be 1 to 500"):
            await store.list_posts("ana", limit=limit)


async def test_count_active(store: PostStore) -> None:
    """Queued, generating, recovering and retrying posts count; ended and deleted ones and other owners' do not."""
    statuses = [
        "queued",
        "generating",
        "recovering",
        "retrying",
        "published",
        "failed",
        "cancelled",
        "paused",
        "deleted",
    ]
    for number, status in enumerate(statuses):
        await store.put(with_status(stored(number), status), expected_seq=0)
    await store.put(with_status(stored(50, owner="ben"), "queued"), expected_seq=0)
    assert await store.count_active("ana") == 4
    assert await store.count_active("ben") == 1
    assert await store.count_active("eve") == 0


async def test_active_posts_of_all_owners_are_listed_page_by_page(store: PostStore) -> None:
    """Whoever takes up unfinished posts sees each of them once, in the order of ids, and no ended one."""
    active = []
    for number, status in enumerate(
        ["queued", "published", "generating", "deleted", "recovering", "retrying", "failed"]
    ):
        post = with_status(stored(number, owner="ana" if number % 2 else "ben"), status)
        await store.put(post, expected_seq=0)
        if status in ("queued", "generating", "recovering", "retrying"):
            active.append(post.snapshot.post)
    seen: list[str] = []
    while page := await store.active_posts(limit=3, after=seen[-1] if seen else ""):
        seen += page
    assert seen == sorted(active)
    with pytest.raises(ValueError, match="limit must be 1 to 500"):
        await store.active_posts(limit=501)


async def test_owners_are_apart(store: PostStore) -> None:
    """A list holds its owner's posts only, and owners whose names begin alike are not mixed up."""
    for number, owner in enumerate(["ana", "ana-b", "an", "ana"]):
        await store.put(stored(number, owner=owner), expected_seq=0)
    assert {line.id for line in await store.list_posts("ana", limit=10)} == {post_id(0), post_id(3)}
    assert {line.id for line in await store.list_posts("an", limit=10)} == {post_id(2)}
    assert await store.list_posts("$ne", limit=10) == []


@pytest.mark.parametrize(
    "text",
    [
        "cafe\u0301 / café",
        "👩‍👩‍👧‍👦🏳️‍🌈 𝄞",
        "שָׁלוֹם\u200f — \u202e",
        "a\r\nb\u2028c\u0085\ttab",
        "\ufeff\ufffd\U0010ffff",
        "' \" \\ $ {x}",
    ],
)
async def test_text_is_kept_code_point_by_code_point(store: PostStore, text: str) -> None:
    """Nothing is normalised, stripped or translated: combining marks, emoji, controls and newlines stay."""
    sections = (("one", text), ("two", text[::-1]))
    post = replace(stored(sections=sections), markdown=text_of(sections))
    await store.put(post, expected_seq=0)
    found = await store.get(post.snapshot.post)
    assert found is not None
    assert [section.text for section in found.snapshot.sections] == [text, text[::-1]]
    assert found.markdown == text + text[::-1]


async def test_a_large_post_is_kept(store: PostStore) -> None:
    """A post of two MiB of text goes in, comes back and can be replaced."""
    sections = tuple((f"s{number}", f"{number} é " * 13_000) for number in range(34))
    assert len(text_of(sections).encode()) > 2 * 1024**2
    post = replace(stored(sections=sections), markdown=text_of(sections))
    assert await store.put(post, expected_seq=0)
    assert await store.put(at_seq(post, 500), expected_seq=post.snapshot.seq)
    assert await store.get(post.snapshot.post) == at_seq(post, 500)


async def test_a_post_beyond_the_bound_is_refused(store: PostStore) -> None:
    """A post that no document can hold is an error of its own, changes nothing, and harms no other post."""
    post = stored()
    await store.put(post, expected_seq=0)
    huge = replace(at_seq(post, 500), markdown="x" * (17 * 1024**2))
    with pytest.raises(PostTooLarge):
        await store.put(huge, expected_seq=post.snapshot.seq)
    assert await store.get(post.snapshot.post) == post


async def test_posts_persist_after_reopening(backend: Backend) -> None:
    """What was stored is there for the next process, and opening twice at once is fine."""
    async with backend.open() as first, backend.open() as second:
        assert await first.put(stored(1), expected_seq=0)
        assert await second.put(stored(2), expected_seq=0)
    async with backend.open() as third:
        assert await third.get(post_id(1)) == stored(1)
        assert len(await third.list_posts("ana", limit=10)) == 2


async def test_the_corrupt_flag_is_kept_and_can_be_set_in_place(store: PostStore) -> None:
    """A post is marked, and healed again, without changing its seq."""
    post = stored()
    seq = post.snapshot.seq
    await store.put(post, expected_seq=0)
    for corrupt in (True, False):
        assert await store.put(replace(post, corrupt=corrupt), expected_seq=seq)
        found = await store.get(post.snapshot.post)
        assert found is not None and found.corrupt is corrupt


def ended(number: int, updated_at: str, *, status: str = "published", epoch: str = "e1") -> StoredPost:
    post = with_status(stored(number), status)
    return replace(post, epoch=epoch, snapshot=post.snapshot.model_copy(update={"updated_at": updated_at}))


async def test_unpurged_posts_are_the_ended_ones_oldest_first_page_by_page(store: PostStore) -> None:
    """Of one log, ended before a time, neither corrupt nor purged; each comes once, equal times by id."""
    statuses = ["published", "failed", "cancelled", "paused", "deleted"]
    times = [f"2026-11-21T09:00:0{number % 3}.000Z" for number in range(5)]
    for number, status in enumerate(statuses):
        await store.put(ended(number, times[number], status=status), expected_seq=0)
    for number, status in enumerate(["queued", "generating", "recovering", "retrying"], start=10):
        await store.put(ended(number, "2026-11-21T09:00:00.000Z", status=status), expected_seq=0)
    await store.put(ended(20, "2026-11-21T09:00:00.000Z", epoch="e2"), expected_seq=0)
    await store.put(replace(ended(21, "2026-11-21T09:00:00.000Z"), corrupt=True), expected_seq=0)
    await store.put(ended(22, "2026-11-21T09:00:03.000Z"), expected_seq=0)
    seen: list[tuple[str, str]] = []
    before = "2026-11-21T09:00:03.000Z"
    while page := await store.unpurged_posts(epoch="e1", before=before, limit=2, after=seen[-1] if seen else None):
        seen += [(line.updated_at, line.post) for line in page]
    assert seen == sorted((times[number], post_id(number)) for number in range(5))
    (line,) = await store.unpurged_posts(epoch="e2", before=before, limit=5)
    assert (line.post, line.owner, line.status) == (post_id(20), "ana", "published")
    with pytest.raises(ValueError, match="limit must be 1 to 500"):
        await store.unpurged_posts(epoch="e1", before=before, limit=0)


async def test_a_purge_is_noted_at_its_seq_only(store: PostStore) -> None:
    """Who looks at an older or newer post, at a corrupt one or at none notes nothing; the rest stays as it was."""
    post, seq = stored(), stored().snapshot.seq
    await store.put(post, expected_seq=0)
    assert not await store.mark_purge(post.snapshot.post, seq=seq + 1, done=True)
    assert not await store.mark_purge(post_id(404), seq=seq, done=True)
    assert await store.get(post.snapshot.post) == post
    assert await store.mark_purge(post.snapshot.post, seq=seq, done=False)
    assert await store.get(post.snapshot.post) == replace(post, proven_seq=seq)
    assert await store.mark_purge(post.snapshot.post, seq=seq, done=True)
    assert await store.get(post.snapshot.post) == replace(post, proven_seq=seq, purged=True)
    assert await store.unpurged_posts(epoch=post.epoch, before="2027", limit=5) == []
    await store.put(replace(stored(2), corrupt=True), expected_seq=0)
    assert not await store.mark_purge(post_id(2), seq=stored(2).snapshot.seq, done=True)


async def test_a_later_event_ends_the_purged_state_and_keeps_what_was_proven(store: PostStore) -> None:
    """A writer that knows nothing of the purge changes no note of what the log has lost, and makes it due again."""
    post, seq = stored(), stored().snapshot.seq
    await store.put(post, expected_seq=0)
    await store.mark_purge(post.snapshot.post, seq=seq, done=True)
    assert await store.put(at_seq(post, seq + 3), expected_seq=seq)
    assert await store.get(post.snapshot.post) == replace(at_seq(post, seq + 3), proven_seq=seq)
    assert len(await store.unpurged_posts(epoch=post.epoch, before="2027", limit=5)) == 1


async def test_ping(store: PostStore) -> None:
    """A store that is there answers."""
    await store.ping()


_WRITER = """
import asyncio, sys
from inkwire_contracts.fold import Snapshot
from inkwire_stores import StoredPost, open_store

async def main(url, post, versions):
    async with open_store(url) as store:
        for seq in range(1, versions + 1):
            snapshot = Snapshot(post=post, owner="ana", seq=seq, status="generating", created_at="2026")
            stored = StoredPost(snapshot, seq, "epoch", markdown="x" * 20_000 + str(seq))
            assert await store.put(stored, expected_seq=seq - 1), seq

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def test_reading_while_another_process_writes(
    backend: Backend, keep: Callable[[ManagedProcess], ManagedProcess]
) -> None:
    """A reader sees whole versions only, never an older one after a newer, while another process writes."""
    if backend.memory is not None:
        pytest.skip("memory is not shared between processes")
    versions = 150
    async with backend.open() as store:
        writer = keep(ManagedProcess("writer", [sys.executable, "-c", _WRITER, backend.url, post_id(1), str(versions)]))
        writer.start()
        last = 0

        async def reached_the_end() -> bool:
            nonlocal last
            found = await store.get(post_id(1))
            if found is None:
                writer.assert_running()
                return False
            assert found.markdown == "x" * 20_000 + str(found.snapshot.seq)
            if found.snapshot.seq < last:
                raise RuntimeError(f"seq {found.snapshot.seq} after {last}")
            last = found.snapshot.seq
            return last == versions

        await eventually(reached_the_end, what="the reader sees the last version", timeout_s=60, interval_s=0.001)
        assert [line.seq for line in await store.list_posts("ana", limit=1)] == [versions]


async def test_a_half_written_post_can_be_stored(store: PostStore) -> None:
    """A post that was only requested, with nothing planned yet, is stored and listed."""
    log = PostLog()
    log.request("Short")
    snapshot = Snapshot(post=log.post)
    fold_all(snapshot, log.events)
    post = StoredPost(snapshot, 1, "epoch")
    assert await store.put(post, expected_seq=0)
    assert await store.get(log.post) == post
    assert [line.status for line in await store.list_posts("ana", limit=1)] == ["queued"]
