"""Uploaded documents in a SQLite file beside the posts', which the api writes: each file has one writer."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from inkwire_contracts.documents import name_key
from inkwire_stores.document_ports import DocumentView, Embeddings, StoredDocument
from inkwire_stores.document_rows import FIRST_NUMBER, check_size, numbered, packed, unpacked
from inkwire_stores.ports import MAX_LIST, check_limit
from inkwire_stores.sqlite_file import SqliteFile, transaction

_VERSION_1: Final = (
    # The short columns stand first, so that a list does not read past the texts.
    """CREATE TABLE IF NOT EXISTS documents (
        document TEXT PRIMARY KEY NOT NULL,
        owner TEXT NOT NULL,
        number INTEGER NOT NULL,
        name_key TEXT NOT NULL,
        view TEXT NOT NULL,
        model TEXT,
        dimensions INTEGER,
        passages TEXT NOT NULL,
        vectors BLOB
    ) STRICT""",
    "CREATE UNIQUE INDEX IF NOT EXISTS documents_of_owner ON documents (owner, number DESC)",
    "CREATE INDEX IF NOT EXISTS documents_by_name ON documents (owner, name_key, number DESC)",
    # Not derived from the documents: the number of a deleted one is never given again.
    "CREATE TABLE IF NOT EXISTS document_numbers (owner TEXT PRIMARY KEY NOT NULL, last INTEGER NOT NULL) STRICT",
)

_COUNT: Final = "SELECT count(*) FROM documents WHERE owner = ?"
_NEXT: Final = f"""INSERT INTO document_numbers (owner, last) VALUES (?, {FIRST_NUMBER})
    ON CONFLICT (owner) DO UPDATE SET last = last + 1"""  # noqa: S608
_LAST: Final = "SELECT last FROM document_numbers WHERE owner = ?"
_INSERT: Final = """INSERT INTO documents
    (document, owner, number, name_key, view, model, dimensions, passages, vectors)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_GET: Final = "SELECT view, model, dimensions, passages, vectors FROM documents WHERE document = ? AND owner = ?"
_LIST: Final = """SELECT view FROM documents WHERE owner = ? AND number < coalesce(?, number + 1)
    ORDER BY number DESC LIMIT ?"""
_DELETE: Final = "DELETE FROM documents WHERE document = ? AND owner = ?"


@asynccontextmanager
async def open_sqlite_documents(path: Path) -> AsyncIterator["SqliteDocumentStore"]:
    """The store in a file, which is made with its folder if missing.

    Raises:
        StoreUnavailable: the file cannot be opened, or a newer version of Inkwire wrote it.
    """
    store = SqliteDocumentStore(path)
    try:
        await store.create()
        yield store
    finally:
        await store.close()


class SqliteDocumentStore(SqliteFile):
    """See :class:`inkwire_stores.document_ports.DocumentStore`."""

    VERSIONS = (_VERSION_1,)

    async def add(self, stored: StoredDocument, *, limit: int) -> DocumentView | None:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        return await self.write(lambda: self._add(stored, limit))

    async def get(self, owner: str, document: str) -> StoredDocument | None:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        return await self.read(lambda: self._get(owner, document))

    async def list_documents(self, owner: str, *, limit: int, before: int | None = None) -> list[DocumentView]:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        check_limit(limit)
        return await self.read(lambda: self._views(_LIST, (owner, before, limit)))

    async def find(
        self, owner: str, *, numbers: Sequence[int], names: Sequence[str], ids: Sequence[str] = ()
    ) -> list[DocumentView]:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        keys = [name_key(name) for name in names]
        statement = f"""SELECT view FROM documents
            WHERE owner = ? AND (number IN ({_marks(numbers)}) OR name_key IN ({_marks(keys)})
            OR document IN ({_marks(ids)}))
            ORDER BY number DESC LIMIT ?"""  # noqa: S608 - question marks alone
        return await self.read(lambda: self._views(statement, (owner, *numbers, *keys, *ids, MAX_LIST)))

    async def delete(self, owner: str, document: str) -> bool:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        return await self.write(lambda: self.connection().execute(_DELETE, (document, owner)).rowcount == 1)

    async def ping(self) -> None:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        await self.read(lambda: self.connection().execute("SELECT count(*) FROM documents WHERE 0"))

    # -- in threads --------------------------------------------------------------------------------------------

    def _add(self, stored: StoredDocument, limit: int) -> DocumentView | None:
        passages = packed(stored.passages)
        check_size(stored, passages)
        connection = self.connection()
        with transaction(connection):
            return _insert(connection, stored, passages, limit)

    def _get(self, owner: str, document: str) -> StoredDocument | None:
        row = self.connection().execute(_GET, (document, owner)).fetchone()
        if row is None:
            return None
        view, model, dimensions, passages, vectors = row
        embeddings = None if vectors is None else Embeddings(model, dimensions, vectors)
        return StoredDocument(DocumentView.model_validate_json(view), unpacked(passages), embeddings)

    def _views(self, statement: str, values: tuple[object, ...]) -> list[DocumentView]:
        return [DocumentView.model_validate_json(row[0]) for row in self.connection().execute(statement, values)]


def _insert(connection: sqlite3.Connection, stored: StoredDocument, passages: str, limit: int) -> DocumentView | None:
    owner = stored.view.owner
    (held,) = connection.execute(_COUNT, (owner,)).fetchone()
    if held >= limit:
        return None
    connection.execute(_NEXT, (owner,))
    (number,) = connection.execute(_LAST, (owner,)).fetchone()
    view, vectors = numbered(stored.view, number), stored.embeddings
    values = (
        view.id,
        owner,
        number,
        name_key(view.name),
        view.model_dump_json(),
        vectors.model if vectors else None,
        vectors.dimensions if vectors else None,
        passages,
        vectors.vectors if vectors else None,
    )
    connection.execute(_INSERT, values)
    return view


def _marks(values: Sequence[int | str]) -> str:
    return ", ".join("?" * len(values))
