"""From a store's URL to an open store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote

from inkwire_stores.document_ports import DocumentStore
from inkwire_stores.ports import Store

_SQLITE = "sqlite:///"
_MONGODB = ("mongodb://", "mongodb+srv://")
_USE = "use sqlite:///PATH or mongodb://HOST:PORT/DATABASE"


class StoreUrlError(ValueError):
    """The URL names no store that we have; one line, without the URL, which may hold a password."""


def check_store_url(url: str) -> str:
    """The URL itself, if :func:`open_store` can open such a one.

    Raises:
        StoreUrlError: its scheme is unknown, or it names no file.
    """
    if url.startswith(_MONGODB):
        return url
    if url.startswith(_SQLITE):
        if not url.removeprefix(_SQLITE).strip("/"):
            raise StoreUrlError(f"the store's URL names no file: {_USE}")
        return url
    scheme, found, _ = url.partition("://")
    known = found and len(scheme) <= 20 and scheme.replace("+", "").isalnum()
    what = f"unknown scheme {scheme!r}" if known else "no scheme"
    raise StoreUrlError(f"the store's URL has {what}: {_USE}")


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """The store of posts and conversations behind a URL, for the length of a block.

    ``sqlite:///data/posts.sqlite3`` is relative to the working directory, ``sqlite:////var/posts.sqlite3`` absolute.
    A MongoDB server need not be up yet: its methods raise :class:`StoreUnavailable` until it is.

    Raises:
        StoreUrlError: the URL is not one of a store that we have.
        StoreUnavailable: the SQLite file cannot be opened.
    """
    check_store_url(url)
    if url.startswith(_SQLITE):
        from inkwire_stores.sqlite import open_sqlite

        async with open_sqlite(Path(unquote(url.removeprefix(_SQLITE)))) as sqlite_store:
            yield sqlite_store
    else:
        from inkwire_stores.mongo import open_mongo  # here, so that SQLite's users need no motor in memory

        async with open_mongo(url) as mongo_store:
            yield mongo_store


@asynccontextmanager
async def open_document_store(url: str) -> AsyncIterator[DocumentStore]:
    """The store of uploaded documents that belongs to the store of posts at a URL, for the length of a block.

    In MongoDB the same database; for ``data/posts.sqlite3`` the file ``data/posts-documents.sqlite3``, because the api
    writes it, and each SQLite file has one writer.

    Raises:
        StoreUrlError: the URL is not one of a store that we have.
        StoreUnavailable: the SQLite file cannot be opened.
    """
    check_store_url(url)
    if url.startswith(_SQLITE):
        from inkwire_stores.sqlite_documents import open_sqlite_documents

        path = Path(unquote(url.removeprefix(_SQLITE)))
        async with open_sqlite_documents(path.with_name(f"{path.stem}-documents{path.suffix}")) as sqlite_store:
            yield sqlite_store
    else:
        from inkwire_stores.mongo_documents import open_mongo_documents

        async with open_mongo_documents(url) as mongo_store:
            yield mongo_store
