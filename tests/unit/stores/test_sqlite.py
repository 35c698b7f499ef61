"""What only the SQLite adapter can show."""

import asyncio
import itertools
import sqlite3
from pathlib import Path

import pytest

from inkwire_contracts.events import Metrics
from inkwire_contracts.fold import FINAL, Snapshot
from inkwire_contracts.views import summary
from inkwire_stores import StoredPost, StoreUnavailable, open_store, sqlite_conversations, sqlite_file
from inkwire_stores import sqlite as adapter
from inkwire_stores.conversation_ports import StoredConversation
from inkwire_stores.sqlite import SqlitePostStore, open_sqlite
from tests.support.conversation_logs import chat
from tests.support.post_logs import post_id

STORED = StoredPost(Snapshot(post=post_id(1), owner="ana", seq=1, status="queued", created_at="2026"), 1, "epoch")


async def test_the_folder_is_made_and_the_file_is_in_wal_mode(tmp_path: Path) -> None:
    """A relative folder that is missing is made; readers and a writer do not block each other."""
    path = tmp_path / "a" / "b" / "posts.sqlite3"
    async with open_store(f"sqlite:///{path}") as store:
        assert await store.put(STORED, expected_seq=0)
        other = sqlite3.connect(path)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.close()


async def test_the_writer_syncs_fully(tmp_path: Path) -> None:
    """What is acknowledged is on disk: synchronous is FULL on our connections."""
    async with open_sqlite(tmp_path / "posts.sqlite3") as store:
        await store.put(STORED, expected_seq=0)
        await store.get(STORED.snapshot.post)
        levels = [connection.execute("PRAGMA synchronous").fetchone()[0] for connection in store._opened]
        assert levels and set(levels) == {2}


async def test_lists_use_their_indexes(tmp_path: Path) -> None:
    """No form of the list sorts or scans the table."""
    async with open_sqlite(tmp_path / "posts.sqlite3") as store:
        await store.ping()
        connection = store._opened[0]
        for status, created_at, replies in itertools.product((None, "failed"), (None, "2026"), (False, True)):
            query = {"owner": "ana", "status": status, "created_at": created_at, "post": "x", "limit": 5}
            statement = adapter._list_statement(query, replies)
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", query).fetchall()
            steps = " ".join(step[3] for step in plan)
            assert ("posts_of_owner" if replies else "posts_listed") in steps, steps
            assert "SCAN" not in steps and "TEMP B-TREE" not in steps, steps


async def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its posts stay, what the janitor looks for is filled in, and two openers at once disturb nothing."""
    path = tmp_path / "posts.sqlite3"
    first = sqlite3.connect(path, isolation_level=None)
    for statement in adapter._VERSION_1:
        first.execute(statement)
    first.execute("PRAGMA user_version = 1")
    ended = STORED.snapshot.model_copy(update={"status": "failed", "updated_at": "2026-01-01T00:00:00.000Z"})
    values = (
        ended.owner,
        1,
        "failed",
        "2026",
        0,
        7,
        "epoch",
        summary(ended).model_dump_json(),
        ended.model_dump_json(),
    )
    first.execute("INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", (ended.post, *values))
    first.close()
    async with open_sqlite(path) as store, open_sqlite(path) as other:
        assert await other.get(ended.post) == StoredPost(ended, 7, "epoch")
        (line,) = await store.unpurged_posts(epoch="epoch", before="2027", limit=5)
        assert (line.post, line.updated_at) == (ended.post, ended.updated_at)
        assert await store.mark_purge(ended.post, seq=1, done=True)


async def test_posts_of_the_third_version_are_no_replies(tmp_path: Path) -> None:
    """A file from before there were conversations: its posts stay in the lists, and conversations can be kept."""
    path = tmp_path / "posts.sqlite3"
    third = sqlite3.connect(path, isolation_level=None)
    for statement in (*adapter._VERSION_1, *adapter._VERSION_2, *adapter._VERSION_3):
        third.execute(statement)
    third.execute("PRAGMA user_version = 3")
    ended = STORED.snapshot.model_copy(update={"status": "published"})
    values = (ended.post, summary(ended).model_dump_json(), ended.model_dump_json())
    third.execute(
        """INSERT INTO posts (post, owner, seq, status, created_at, corrupt, stream_seq, epoch, summary, snapshot)
            VALUES (?, 'ana', 1, 'published', '2026', 0, 7, 'epoch', ?, ?)""",
        values,
    )
    third.close()
    async with open_sqlite(path) as store:
        assert await store.list_posts("ana", limit=5) == [summary(ended)]
        kept = StoredConversation(chat(), "epoch")
        assert await store.conversations.put(kept, expected=None)
        assert await store.conversations.get(chat().conversation) == kept


async def test_conversations_lists_use_their_indexes(tmp_path: Path) -> None:
    """Neither a member's list nor the janitor's scans or sorts."""
    async with open_sqlite(tmp_path / "posts.sqlite3") as store:
        await store.ping()
        statements = {
            sqlite_conversations.LIST: ("ana", 5),
            sqlite_conversations.LIST_BEFORE: ("ana", "2026", "x", 5),
            sqlite_conversations.DUE: ("2027", "2026", "x", "epoch", 5),
        }
        for statement, values in statements.items():
            plan = store._opened[0].execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            steps = " ".join(step[3] for step in plan)
            assert "SCAN" not in steps and "TEMP B-TREE" not in steps, steps


async def test_the_janitors_list_uses_its_index(tmp_path: Path) -> None:
    """However many posts are purged already, they are neither scanned nor sorted."""
    async with open_sqlite(tmp_path / "posts.sqlite3") as store:
        await store.ping()
        values = ("2027", "2026", "x", "epoch", *sorted(FINAL), 5)
        plan = store._opened[0].execute(f"EXPLAIN QUERY PLAN {adapter._UNPURGED}", values).fetchall()
        steps = " ".join(step[3] for step in plan)
        assert "posts_to_purge" in steps and "SCAN" not in steps and "TEMP B-TREE" not in steps, steps


async def test_totals_read_an_index_and_no_row(tmp_path: Path) -> None:
    """However long the texts are, sums and times come from the index alone, for one owner and for all."""
    async with open_sqlite(tmp_path / "posts.sqlite3") as store:
        await store.ping()
        for owner in (None, "ana"):
            query = {"owner": owner, "since": "2026", "until": None, "limit": 5}
            for statement in adapter._usage_statements(owner, "2026", None):
                plan = store._opened[0].execute(f"EXPLAIN QUERY PLAN {statement}", query).fetchall()
                assert "COVERING INDEX posts_of_owner" in plan[0][3], plan
                assert owner is None or plan[0][3].startswith("SEARCH"), plan


@pytest.mark.parametrize("priced", [True, False])
async def test_posts_of_the_second_version_are_counted(tmp_path: Path, priced: bool) -> None:
    """A file from before there were totals: what its posts know of their cost is filled in, as if stored today."""
    path = tmp_path / "posts.sqlite3"
    second = sqlite3.connect(path, isolation_level=None)
    for statement in (*adapter._VERSION_1, *adapter._VERSION_2):
        second.execute(statement)
    second.execute("PRAGMA user_version = 2")
    metrics = Metrics(
        model="m", tokens_in=7, tokens_out=5, tokens_wasted=3, words=9, duration_ms=80, cost_usd=0.5 if priced else None
    )
    ended = STORED.snapshot.model_copy(update={"status": "published", "metrics": metrics})
    values = (ended.owner, "published", summary(ended).model_dump_json(), ended.model_dump_json(), ended.post)
    second.execute(
        "INSERT INTO posts VALUES (?5, ?1, 1, ?2, '2026', 0, 7, 'epoch', ?3, ?4, NULL, '2026', 0, 0)", values
    )
    second.close()
    async with open_sqlite(path) as store:
        migrated = await store.usage(ended.owner)
        assert await store.put(StoredPost(ended, 7, "epoch"), expected_seq=1)
        assert migrated == await store.usage(ended.owner)
    assert (migrated.tokens_in, migrated.tokens_wasted, migrated.tokens_estimated, migrated.words) == (7, 3, 12, 9)
    assert (migrated.cost_usd, migrated.posts_without_price) == ((0.5, 0) if priced else (None, 1))
    assert migrated.duration_ms.p50 == 80


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """An older program does not touch tables that it does not know."""
    path = tmp_path / "posts.sqlite3"
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreUnavailable, match="newer version"):
        async with open_store(f"sqlite:///{path}"):
            pass


async def test_a_file_that_is_no_database_is_an_outage_not_a_crash(tmp_path: Path) -> None:
    """The driver's own exceptions stop at the adapter."""
    path = tmp_path / "posts.sqlite3"
    path.write_text("this is no database, and long enough to be seen as none " * 50)
    with pytest.raises(StoreUnavailable, match="SQLite"):
        async with open_store(f"sqlite:///{path}"):
            pass


async def test_a_locked_file_is_an_outage_and_then_works_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody holds the write lock a put is unavailable, reads go on; afterwards the put succeeds."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 50)
    path = tmp_path / "posts.sqlite3"
    async with open_store(f"sqlite:///{path}") as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.put(STORED, expected_seq=0)
        assert await store.get(STORED.snapshot.post) is None
        holder.execute("ROLLBACK")
        holder.close()
        assert await store.put(STORED, expected_seq=0)


async def test_waiting_calls_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond MAX_WAITING calls the store says so instead of growing."""
    monkeypatch.setattr(sqlite_file, "MAX_WAITING", 3)
    async with open_store(f"sqlite:///{tmp_path}/posts.sqlite3") as store:
        answers = await asyncio.gather(*(store.get(post_id(n)) for n in range(10)), return_exceptions=True)
        assert sum(isinstance(answer, StoreUnavailable) for answer in answers) == 7
        assert await store.get(post_id(1)) is None


async def test_a_cancelled_put_does_not_disturb_the_next(tmp_path: Path) -> None:
    """A caller that goes away leaves a store that answers, with either all of its post or nothing."""
    async with open_store(f"sqlite:///{tmp_path}/posts.sqlite3") as store:
        going = asyncio.ensure_future(store.put(STORED, expected_seq=0))
        await asyncio.sleep(0)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        await store.put(STORED, expected_seq=0)
        assert await store.get(STORED.snapshot.post) == STORED


async def test_closing_twice_is_fine(tmp_path: Path) -> None:
    """Close is idempotent."""
    store = SqlitePostStore(tmp_path / "posts.sqlite3")
    await store.create()
    await store.close()
    await store.close()


def test_a_transaction_is_taken_back_whatever_ends_it() -> None:
    """An error that is none of SQLite's leaves nothing written, and the connection free for the next one."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE lines (line TEXT)")
    with pytest.raises(UnicodeEncodeError), sqlite_file.transaction(connection):
        connection.execute("INSERT INTO lines VALUES ('first')")
        connection.execute("INSERT INTO lines VALUES (?)", ("\ud800",))
    with sqlite_file.transaction(connection):
        connection.execute("INSERT INTO lines VALUES ('second')")
    assert connection.execute("SELECT line FROM lines").fetchall() == [("second",)]
    connection.close()
