"""Uploaded documents in MongoDB: one record each, and a counter for each owner so that no number is given twice."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from pymongo import DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from inkwire_contracts.documents import name_key
from inkwire_stores.document_ports import (
    MAX_DOCUMENT_BYTES,
    DocumentTooLarge,
    DocumentView,
    Embeddings,
    StoredDocument,
)
from inkwire_stores.document_rows import FIRST_NUMBER, check_size, numbered, packed, unpacked
from inkwire_stores.indexes import COUNTERS, DOCUMENT_INDEXES, DOCUMENTS
from inkwire_stores.mongo_database import (
    Collection,
    Document,
    Indexes,
    collection_of,
    driver_errors,
    open_database,
    ping,
)
from inkwire_stores.ports import MAX_LIST, StoreUnavailable, check_limit

COUNTER_TRIES: Final = 10
"""How often an owner's next number is asked for, where others ask at the same moment."""


@asynccontextmanager
async def open_mongo_documents(url: str) -> AsyncIterator["MongoDocumentStore"]:
    """The store at a MongoDB URL; returns at once, whether or not a server is there.

    Raises:
        StoreUnavailable: the driver cannot read the URL.
    """
    async with open_database(url) as database:
        yield MongoDocumentStore(collection_of(database, DOCUMENTS), collection_of(database, COUNTERS))


class MongoDocumentStore:
    """See :class:`inkwire_stores.document_ports.DocumentStore`."""

    def __init__(self, documents: Collection, counters: Collection) -> None:
        self._documents = documents
        self._counters = counters
        self._indexes = Indexes(documents, DOCUMENT_INDEXES)

    async def add(self, stored: StoredDocument, *, limit: int) -> DocumentView | None:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        passages, owner = packed(stored.passages), stored.view.owner
        check_size(stored, passages)
        with driver_errors(_too_large):
            await self._indexes.make()
            if await self._held(owner) >= limit:
                return None
            view = numbered(stored.view, await self._next_number(owner))
            await self._documents.insert_one(_record(view, passages, stored.embeddings))
            # Others may have added at the same moment: never beyond the limit, even if then one too many steps back.
            if await self._held(owner) > limit:
                await self._documents.delete_one({"_id": view.id, "owner": owner})
                return None
        return view

    async def get(self, owner: str, document: str) -> StoredDocument | None:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        with driver_errors():
            found = await self._documents.find_one({"_id": document, "owner": owner})
        return None if found is None else _stored(found)

    async def list_documents(self, owner: str, *, limit: int, before: int | None = None) -> list[DocumentView]:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        check_limit(limit)
        query: Document = {"owner": owner}
        if before is not None:
            query["number"] = {"$lt": before}
        return await self._views(query, limit)

    async def find(
        self, owner: str, *, numbers: Sequence[int], names: Sequence[str], ids: Sequence[str] = ()
    ) -> list[DocumentView]:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        # Plain conditions, one after the other: an $or beside another field takes no index of ours.
        wanted = {"number": list(numbers), "name_key": [name_key(name) for name in names], "_id": list(ids)}
        found = {
            view.id: view
            for field, values in wanted.items()
            if values
            for view in await self._views({"owner": owner, field: {"$in": values}}, MAX_LIST)
        }
        return sorted(found.values(), key=lambda view: view.number, reverse=True)[:MAX_LIST]

    async def delete(self, owner: str, document: str) -> bool:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        with driver_errors():
            result = await self._documents.delete_one({"_id": document, "owner": owner})
        return result.deleted_count == 1

    async def ping(self) -> None:
        """See :class:`inkwire_stores.document_ports.DocumentStore`."""
        await ping(self._documents)

    async def _held(self, owner: str) -> int:
        return int(await self._documents.count_documents({"owner": owner}))

    async def _next_number(self, owner: str) -> int:
        """The counter is kept apart from the documents: the number of a deleted one is never given again."""
        key = f"{DOCUMENTS}.{owner}"
        for _ in range(COUNTER_TRIES):
            try:
                counter = await self._counters.find_one_and_update(
                    {"_id": key}, {"$inc": {"last": FIRST_NUMBER}}, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # somebody else's first document came first
                continue
            return int(counter["last"])
        raise StoreUnavailable("MongoDB: the next number was not to be had")

    async def _views(self, query: Document, limit: int) -> list[DocumentView]:
        with driver_errors():
            found = (
                await self._documents.find(query, {"view": 1}).sort("number", DESCENDING).limit(limit).to_list(limit)
            )
        return [DocumentView.model_validate(record["view"]) for record in found]


def _record(view: DocumentView, passages: str, embeddings: Embeddings | None) -> Document:
    """Passages as one text: as thousands of parts they would be many times slower to read, and nobody queries them."""
    return {
        "_id": view.id,
        "owner": view.owner,
        "number": view.number,
        "name_key": name_key(view.name),
        "view": view.model_dump(),
        "passages": passages,
        "model": embeddings.model if embeddings else None,
        "dimensions": embeddings.dimensions if embeddings else None,
        "vectors": embeddings.vectors if embeddings else None,
    }


def _stored(record: Document) -> StoredDocument:
    vectors = record["vectors"]
    embeddings = None if vectors is None else Embeddings(record["model"], record["dimensions"], bytes(vectors))
    return StoredDocument(DocumentView.model_validate(record["view"]), unpacked(record["passages"]), embeddings)


def _too_large() -> Exception:
    return DocumentTooLarge(f"a document and its vectors take more than {MAX_DOCUMENT_BYTES} bytes")
