"""Where posts are kept: ports, and their MongoDB and SQLite adapters. Open one with :func:`open_store`."""

from inkwire_stores.opening import StoreUrlError, check_store_url, open_document_store, open_store
from inkwire_stores.ports import EndedPost, PostStore, PostTooLarge, StoredPost, StoreUnavailable

__all__ = [
    "EndedPost",
    "PostStore",
    "PostTooLarge",
    "StoreUnavailable",
    "StoreUrlError",
    "StoredPost",
    "check_store_url",
    "open_document_store",
    "open_store",
]
