"""Posts in one SQLite file: the embedded store, for a machine without MongoDB.

The persister writes, api and gateway read the same file from their own processes (WAL).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Final

from inkwire_contracts.fold import ACTIVE, FINAL, Snapshot
from inkwire_contracts.views import PostSummary, UsageTotals, summary
from inkwire_stores.ports import MAX_POST_BYTES, EndedPost, PostTooLarge, StoredPost, check_limit
from inkwire_stores.sqlite_conversations import TABLES as CONVERSATION_TABLES
from inkwire_stores.sqlite_conversations import SqliteConversations
from inkwire_stores.sqlite_file import SqliteFile
from inkwire_stores.usage import MAX_SAMPLES, Group, Sample, spending, totals

_VERSION_1: Final = (
    # The short columns stand first, so that a list does not read past the texts.
    """CREATE TABLE IF NOT EXISTS posts (
        post TEXT PRIMARY KEY NOT NULL,
        owner TEXT NOT NULL,
        seq INTEGER NOT NULL,
        status TEXT NOT NULL,
        created_at TEXT NOT NULL,
        corrupt INTEGER NOT NULL,
        stream_seq INTEGER NOT NULL,
        epoch TEXT NOT NULL,
        summary TEXT NOT NULL,
        snapshot TEXT NOT NULL,
        markdown TEXT
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS posts_of_owner ON posts (owner, created_at DESC, post DESC)",
    "CREATE INDEX IF NOT EXISTS posts_of_owner_by_status ON posts (owner, status, created_at DESC, post DESC)",
)
_VERSION_2: Final = (
    "ALTER TABLE posts ADD COLUMN updated_at TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE posts ADD COLUMN proven_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE posts ADD COLUMN purged INTEGER NOT NULL DEFAULT 0",
    "UPDATE posts SET updated_at = json_extract(summary, '$.updated_at')",
    "CREATE INDEX posts_to_purge ON posts (updated_at, post) WHERE purged = 0",
)
_USAGE_COLUMNS: Final = (
    "model",
    "tokens_in",
    "tokens_out",
    "tokens_wasted",
    "tokens_estimated",
    "cost_usd",
    "words",
    "first_text_ms",
    "run_ms",
)
"""The fields of a Spending."""
_VERSION_3: Final = (
    "ALTER TABLE posts ADD COLUMN model TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE posts ADD COLUMN tokens_in INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE posts ADD COLUMN tokens_out INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE posts ADD COLUMN tokens_wasted INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE posts ADD COLUMN tokens_estimated INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE posts ADD COLUMN cost_usd REAL DEFAULT 0",
    "ALTER TABLE posts ADD COLUMN words INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE posts ADD COLUMN first_text_ms INTEGER",
    "ALTER TABLE posts ADD COLUMN run_ms INTEGER",
    # What posts of that time know of their cost is in the metrics of their last run.
    """UPDATE posts SET
        model = coalesce(json_extract(snapshot, '$.metrics.model'), ''),
        tokens_in = coalesce(json_extract(snapshot, '$.metrics.tokens_in'), 0),
        tokens_out = coalesce(json_extract(snapshot, '$.metrics.tokens_out'), 0),
        tokens_wasted = coalesce(json_extract(snapshot, '$.metrics.tokens_wasted'), 0),
        words = coalesce(json_extract(snapshot, '$.metrics.words'), 0),
        first_text_ms = json_extract(snapshot, '$.metrics.time_to_first_token_ms'),
        run_ms = json_extract(snapshot, '$.metrics.duration_ms')""",
    """UPDATE posts SET cost_usd = json_extract(snapshot, '$.metrics.cost_usd'),
        tokens_estimated =
            iif(json_extract(snapshot, '$.metrics.usage_source') = 'estimated', tokens_in + tokens_out, 0)
        WHERE tokens_in + tokens_out > 0""",
    # Totals are read from this index alone, for the rows are full of text; lists use its beginning.
    "DROP INDEX posts_of_owner",
    f"""CREATE INDEX posts_of_owner ON posts
        (owner, created_at DESC, post DESC, status, {", ".join(_USAGE_COLUMNS)})""",
)
_VERSION_4: Final = (
    # Posts of before there were conversations are no replies.
    "ALTER TABLE posts ADD COLUMN reply INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX posts_listed ON posts (owner, created_at DESC, post DESC, status) WHERE reply = 0",
    "CREATE INDEX posts_listed_by_status ON posts (owner, status, created_at DESC, post DESC) WHERE reply = 0",
    *CONVERSATION_TABLES,
)
_VERSIONS: Final = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)

_GET: Final = "SELECT snapshot, stream_seq, epoch, markdown, corrupt, proven_seq, purged FROM posts WHERE post = ?"
_INSERT: Final = f"""INSERT INTO posts
    (owner, seq, status, created_at, corrupt, stream_seq, epoch, updated_at, summary, snapshot, markdown, reply,
    {", ".join(_USAGE_COLUMNS)}, post)
    VALUES ({", ".join("?" * (13 + len(_USAGE_COLUMNS)))}) ON CONFLICT (post) DO NOTHING"""  # noqa: S608
_UPDATE: Final = f"""UPDATE posts SET owner = ?, seq = ?, status = ?, created_at = ?, corrupt = ?, stream_seq = ?,
    epoch = ?, updated_at = ?, summary = ?, snapshot = ?, markdown = ?, reply = ?,
    {", ".join(f"{name} = ?" for name in _USAGE_COLUMNS)}, purged = 0 WHERE post = ? AND seq = ?"""  # noqa: S608
_UNPURGED: Final = f"""SELECT post, owner, status, updated_at FROM posts
    WHERE purged = 0 AND corrupt = 0 AND updated_at < ? AND (updated_at, post) > (?, ?) AND epoch = ?
    AND status IN ({", ".join("?" * len(FINAL))}) ORDER BY updated_at, post LIMIT ?"""  # noqa: S608
_MARK: Final = "UPDATE posts SET proven_seq = ?, purged = ? WHERE post = ? AND seq = ? AND corrupt = 0"
_NEWEST: Final = "ORDER BY created_at DESC, post DESC LIMIT :limit"
_IS_ACTIVE: Final = f"status IN ({', '.join('?' * len(ACTIVE))})"
_COUNT: Final = f"SELECT count(*) FROM posts WHERE owner = ? AND {_IS_ACTIVE}"  # noqa: S608
_ACTIVE_POSTS: Final = f"SELECT post FROM posts WHERE {_IS_ACTIVE} AND post > ? ORDER BY post LIMIT ?"  # noqa: S608
"""By the primary key: no index of its own, because it is read when something was lost, not in the way of a post."""


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator["SqlitePostStore"]:
    """The store in a file, which is made with its folder if missing.

    Raises:
        StoreUnavailable: the file cannot be opened, or a newer version of Inkwire wrote it.
    """
    store = SqlitePostStore(path)
    try:
        await store.create()
        yield store
    finally:
        await store.close()


class SqlitePostStore(SqliteFile):
    """See :class:`inkwire_stores.ports.PostStore`."""

    VERSIONS = _VERSIONS

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.conversations = SqliteConversations(self)

    async def get(self, post: str) -> StoredPost | None:
        """See :class:`inkwire_stores.ports.PostStore`."""
        return await self.read(lambda: self._get(post))

    async def put(self, stored: StoredPost, *, expected_seq: int) -> bool:
        """See :class:`inkwire_stores.ports.PostStore`."""
        return await self.write(lambda: self._put(stored, expected_seq))

    async def list_posts(
        self,
        owner: str,
        *,
        limit: int,
        before: tuple[str, str] | None = None,
        status: str | None = None,
        replies: bool = False,
    ) -> list[PostSummary]:
        """See :class:`inkwire_stores.ports.PostStore`."""
        check_limit(limit)
        created_at, post = before or (None, None)
        query = {"owner": owner, "status": status, "created_at": created_at, "post": post, "limit": limit}
        return await self.read(lambda: self._list(query, replies))

    async def count_active(self, owner: str) -> int:
        """See :class:`inkwire_stores.ports.PostStore`."""
        return await self.read(lambda: self._count(owner))

    async def active_posts(self, *, limit: int, after: str = "") -> list[str]:
        """See :class:`inkwire_stores.ports.PostStore`."""
        check_limit(limit)
        return await self.read(lambda: self._active(after, limit))

    async def unpurged_posts(
        self, *, epoch: str, before: str, limit: int, after: tuple[str, str] | None = None
    ) -> list[EndedPost]:
        """See :class:`inkwire_stores.ports.PostStore`."""
        check_limit(limit)
        values = (before, *(after or ("", "")), epoch, *sorted(FINAL), limit)
        return await self.read(lambda: self._unpurged(values))

    async def mark_purge(self, post: str, *, seq: int, done: bool) -> bool:
        """See :class:`inkwire_stores.ports.PostStore`."""
        return await self.write(lambda: self._mark(post, seq, done))

    async def usage(self, owner: str | None, *, since: str | None = None, until: str | None = None) -> UsageTotals:
        """See :class:`inkwire_stores.ports.PostStore`."""
        return await self.read(lambda: self._usage(owner, since, until))

    async def ping(self) -> None:
        """See :class:`inkwire_stores.ports.PostStore`."""
        await self.read(lambda: self.connection().execute("SELECT count(*) FROM posts WHERE 0"))

    # -- in threads --------------------------------------------------------------------------------------------

    def _get(self, post: str) -> StoredPost | None:
        row = self.connection().execute(_GET, (post,)).fetchone()
        if row is None:
            return None
        snapshot, stream_seq, epoch, markdown, corrupt, proven_seq, purged = row
        folded = Snapshot.model_validate_json(snapshot)
        return StoredPost(folded, stream_seq, epoch, markdown, bool(corrupt), proven_seq, bool(purged))

    def _put(self, stored: StoredPost, expected_seq: int) -> bool:
        snapshot = stored.snapshot
        text = snapshot.model_dump_json()
        if len(text.encode()) + len((stored.markdown or "").encode()) > MAX_POST_BYTES:
            raise PostTooLarge(f"post {snapshot.post} takes more than {MAX_POST_BYTES} bytes")
        values = (
            snapshot.owner,
            snapshot.seq,
            snapshot.status,
            snapshot.created_at,
            int(stored.corrupt),
            stored.stream_seq,
            stored.epoch,
            snapshot.updated_at,
            summary(snapshot).model_dump_json(),
            text,
            stored.markdown,
            int(snapshot.turn is not None),
            *astuple(spending(snapshot)),
            snapshot.post,
        )
        if expected_seq == 0:
            return self.connection().execute(_INSERT, values).rowcount == 1
        return self.connection().execute(_UPDATE, (*values, expected_seq)).rowcount == 1

    def _list(self, query: Mapping[str, object], replies: bool) -> list[PostSummary]:
        rows = self.connection().execute(_list_statement(query, replies), query).fetchall()
        return [PostSummary.model_validate_json(row[0]) for row in rows]

    def _unpurged(self, values: tuple[object, ...]) -> list[EndedPost]:
        return [EndedPost(*row) for row in self.connection().execute(_UNPURGED, values)]

    def _mark(self, post: str, seq: int, done: bool) -> bool:
        return self.connection().execute(_MARK, (seq, int(done), post, seq)).rowcount == 1

    def _usage(self, owner: str | None, since: str | None, until: str | None) -> UsageTotals:
        groups, samples = _usage_statements(owner, since, until)
        query = {"owner": owner, "since": since, "until": until, "limit": MAX_SAMPLES}
        rows = self.connection().execute(groups, query).fetchall()
        times = self.connection().execute(samples, query).fetchall()
        return totals([Group(*row) for row in rows], [Sample(*row) for row in times])

    def _count(self, owner: str) -> int:
        (count,) = self.connection().execute(_COUNT, (owner, *sorted(ACTIVE))).fetchone()
        return int(count)

    def _active(self, after: str, limit: int) -> list[str]:
        rows = self.connection().execute(_ACTIVE_POSTS, (*sorted(ACTIVE), after, limit)).fetchall()
        return [row[0] for row in rows]


def _list_statement(query: Mapping[str, object], replies: bool) -> str:
    """Made of constants only; written so that each form has its index."""
    conditions = ["owner = :owner", "status <> 'deleted'" if query["status"] is None else "status = :status"]
    if query["created_at"] is not None:
        conditions.append("(created_at, post) < (:created_at, :post)")
    if not replies:
        conditions.append("reply = 0")
    return f"SELECT summary FROM posts WHERE {' AND '.join(conditions)} {_NEWEST}"  # noqa: S608


def _usage_statements(owner: str | None, since: str | None, until: str | None) -> tuple[str, str]:
    """Sums by group and the newest samples, made of constants only, both answered by the index posts_of_owner."""
    wanted = {"owner = :owner": owner, "created_at >= :since": since, "created_at < :until": until}
    period = " AND ".join(condition for condition, value in wanted.items() if value is not None) or "1"
    groups = f"""SELECT status, model, cost_usd IS NULL, count(*), sum(tokens_in), sum(tokens_out), sum(tokens_wasted),
        sum(tokens_estimated), coalesce(sum(cost_usd), 0.0), sum(words)
        FROM posts INDEXED BY posts_of_owner WHERE {period} GROUP BY status, model, cost_usd IS NULL"""  # noqa: S608
    samples = f"""SELECT first_text_ms, run_ms FROM posts INDEXED BY posts_of_owner
        WHERE {period} AND status = 'published' {_NEWEST}"""  # noqa: S608
    return groups, samples
