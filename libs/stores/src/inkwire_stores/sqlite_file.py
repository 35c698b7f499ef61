"""One SQLite file as an adapter's base: threads, connections, and the steps that bring its schema up to date.

SQLite's calls block, so they run in threads: one for writing, a few for reading, each with a connection of its own. One
process writes a file, others may read it beside (WAL).
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from inkwire_stores.ports import StoreUnavailable

T = TypeVar("T")

READERS: Final = 4
BUSY_TIMEOUT_MS: Final = 5_000
"""How long a statement waits for another process's lock."""
MAX_WAITING: Final = 2_000
"""Calls that may wait for a thread; one more is refused as unavailable."""
OPEN_TRIES: Final = 50
OPEN_WAIT_S: Final = 0.05


class SqliteFile:
    """A file with the tables that ``VERSIONS`` lead to. Adapters derive from it and run their statements through it."""

    VERSIONS: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """What leads from each version of the schema to the next; the first makes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._waiting = 0

    async def create(self) -> None:
        """Make folder, file and tables where they are missing.

        Raises:
            StoreUnavailable: the file cannot be opened, or a newer version of Inkwire wrote it.
        """
        await self.write(self._create_tables)

    async def close(self) -> None:
        """Let what runs end, then close every connection."""
        await asyncio.to_thread(self._close)

    async def read(self, work: Callable[[], T]) -> T:
        """Run what reads in one of the threads for it, where it takes its :meth:`connection`.

        Raises:
            StoreUnavailable: SQLite could not do it, or too many calls are waiting.
        """
        return await self._run(self._readers, work)

    async def write(self, work: Callable[[], T]) -> T:
        """As :meth:`read`, in the one thread that writes."""
        return await self._run(self._writer, work)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise StoreUnavailable("SQLite: too many calls are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"SQLite: {error}") from None
        finally:
            self._waiting -= 1

    # -- in threads --------------------------------------------------------------------------------------------

    def connection(self) -> sqlite3.Connection:
        """This thread's connection. A failed one is not kept, so that the next call tries anew."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
            )
            self._opened.append(connection)
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
        return connection

    def _create_tables(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"SQLite: cannot make the folder of {self._path}: {error.strerror}") from None
        connection = self.connection()
        _switch_to_wal(connection)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(self.VERSIONS):
            raise StoreUnavailable(f"SQLite: {self._path} was written by a newer version of Inkwire; update this one")
        if version < len(self.VERSIONS):
            _migrate(connection, self.VERSIONS)

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in self._opened:
            connection.close()


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Readers beside a writer. The switch itself does not wait for other openers of a new file, so it is repeated."""
    for attempt in range(OPEN_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if attempt == OPEN_TRIES - 1:
                raise
            time.sleep(OPEN_WAIT_S)


def _migrate(connection: sqlite3.Connection, versions: tuple[tuple[str, ...], ...]) -> None:
    """Another opener of the same file may have been faster."""
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for step in versions[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {max(version, len(versions))}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that a block writes, or nothing of it. No other connection writes meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have taken it back by itself
            connection.execute("ROLLBACK")
        raise
