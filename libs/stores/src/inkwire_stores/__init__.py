"""Where posts and conversations (:func:`open_store`) and documents (:func:`open_document_store`) are kept."""

from inkwire_stores.opening import StoreUrlError, check_store_url, open_document_store, open_store
from inkwire_stores.ports import EndedPost, PostStore, PostTooLarge, Store, StoredPost, StoreUnavailable

__all__ = [
    "EndedPost",
    "PostStore",
    "PostTooLarge",
    "Store",
    "StoreUnavailable",
    "StoreUrlError",
    "StoredPost",
    "check_store_url",
    "open_document_store",
    "open_store",
]
