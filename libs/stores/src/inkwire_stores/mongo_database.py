"""One MongoDB database as its adapters see it: how it is opened, its indexes, and where the driver's errors stop.

The only importer of motor (docs/adr/0005-motor.md). Only operations that FerretDB 1.24 has
too, for it stands in where there is no MongoDB.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import IndexModel, WriteConcern
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, OperationFailure, PyMongoError

from inkwire_stores.ports import StoreUnavailable

DEFAULT_DATABASE: Final = "inkwire"
CONNECT_TIMEOUT_MS: Final = 2_000
SELECT_TIMEOUT_MS: Final = 2_000
"""How long a call waits for a server that is away."""
PING_TIMEOUT_S: Final = 1.0
"""Shorter than the others, so that a readiness probe is answered while the server is away."""
SOCKET_TIMEOUT_MS: Final = 10_000
WRITE_TIMEOUT_MS: Final = 8_000
"""How long a majority may take to confirm a write."""
MAX_CONNECTIONS: Final = 20
_TOO_LARGE_CODES: Final = frozenset({10334, 17419, 17420})

Document = dict[str, Any]
Collection = AsyncIOMotorCollection[Document]
Database = AsyncIOMotorDatabase[Document]


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """The database at a MongoDB URL; returns at once, whether or not a server is there.

    Raises:
        StoreUnavailable: the driver cannot read the URL.
    """
    with driver_errors():
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url,
            io_loop=asyncio.get_running_loop(),
            appname="inkwire",
            connectTimeoutMS=CONNECT_TIMEOUT_MS,
            serverSelectionTimeoutMS=SELECT_TIMEOUT_MS,
            socketTimeoutMS=SOCKET_TIMEOUT_MS,
            maxPoolSize=MAX_CONNECTIONS,
            waitQueueTimeoutMS=SOCKET_TIMEOUT_MS,
        )
        database = client.get_default_database(DEFAULT_DATABASE)
    try:
        yield database
    finally:
        client.close()


def collection_of(database: Database, name: str) -> Collection:
    """A collection whose writes are on the disks of a majority once they are confirmed."""
    concern = WriteConcern(w="majority", j=True, wtimeout=WRITE_TIMEOUT_MS)
    return database.get_collection(name, write_concern=concern)


class Indexes:
    """The indexes of a collection: made where they are missing, before its first write, once per process."""

    def __init__(self, collection: Collection, wanted: Sequence[IndexModel]) -> None:
        self._collection = collection
        self._wanted = wanted
        self._made = False

    async def make(self) -> None:
        """Only those that are missing: FerretDB drops the connection when asked for one that is there."""
        if self._made:
            return
        there = await self._collection.index_information()
        if missing := [index for index in self._wanted if index.document["name"] not in there]:
            await self._collection.create_indexes(missing)
        self._made = True


async def insert_new(collection: Collection, document: Document) -> bool:
    """Insert a document; false, and nothing changed, if there is one of that id."""
    try:
        await collection.insert_one(document)
    except DuplicateKeyError:
        return False
    return True


async def ping(collection: Collection) -> None:
    """A round trip to the server.

    Raises:
        StoreUnavailable: there was no answer in time.
    """
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            with driver_errors():
                await collection.database.command("ping")
    except TimeoutError:
        raise StoreUnavailable("MongoDB: no answer to a ping") from None


@contextmanager
def driver_errors(too_large: Callable[[], Exception] | None = None) -> Iterator[None]:
    """The driver's exceptions stop here; their texts name hosts, so only the kind goes on.

    ``too_large`` makes the error for what no document of MongoDB can hold.
    """
    try:
        yield
    except (PyMongoError, DocumentTooLarge) as error:
        if too_large is not None and _is_too_large(error):
            raise too_large() from None
        code = f" {error.code}" if isinstance(error, OperationFailure) else ""
        raise StoreUnavailable(f"MongoDB: {type(error).__name__}{code}") from None


def _is_too_large(error: Exception) -> bool:
    refused = isinstance(error, OperationFailure) and error.code in _TOO_LARGE_CODES
    return refused or isinstance(error, DocumentTooLarge)
