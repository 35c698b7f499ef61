"""Documents of an owner: taken in, listed, read and deleted, over ports. Another's document is not found."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from inkwire_api import pagination
from inkwire_api.bounds import clean_name
from inkwire_api.pagination import Page
from inkwire_api.ports import DocumentReader, Embedder
from inkwire_api.rate_limit import RateLimiter
from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.logs import get_logger
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id
from inkwire_documents.extracting import Extracted, OnProgress
from inkwire_documents.limits import Limits
from inkwire_stores.document_ports import (
    MAX_DOCUMENT_BYTES,
    DocumentStore,
    DocumentTooLarge,
    DocumentView,
    Embeddings,
    StoredDocument,
)

UPLOADS_AT_ONCE = 10
"""Files that are in memory at the same time."""
UPLOADS_OF_OWNER = 3
UPLOAD_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came; ``media_type`` is what the client says it is."""

    name: str
    media_type: str | None
    data: bytes


class Documents:
    """What owners may do with their documents. Every method may raise ``StoreUnavailable``."""

    def __init__(
        self,
        *,
        store: DocumentStore,
        reader: DocumentReader,
        embedder: Embedder | None,
        limiter: RateLimiter,
        limits: Limits,
        max_documents: int,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._reader = reader
        self._embedder = embedder
        self._limiter = limiter
        self._limits = limits
        self._max_documents = max_documents
        self._clock = clock
        self._new_id = new_id
        self._here: Counter[str] = Counter()

    @property
    def max_bytes(self) -> int:
        """Most that a file may have."""
        return self._limits.max_bytes

    @contextmanager
    def place(self, owner: str) -> Iterator[None]:
        """Room for one file in memory, from before it is read until it is stored.

        Raises:
            InkwireError: ``rate_limited``, because of what is being uploaded already, or of what was.
        """
        self._limiter.take(owner, self._clock.monotonic_s())
        if self._here.total() >= UPLOADS_AT_ONCE or self._here[owner] >= UPLOADS_OF_OWNER:
            raise InkwireError("rate_limited", retry_after_s=UPLOAD_RETRY_AFTER_S)
        self._here[owner] += 1
        try:
            yield
        finally:
            self._here[owner] -= 1
            self._here += Counter()  # forgets who has none

    async def require_room(self, owner: str) -> None:
        """Refuse somebody who has too many before the file is read; the store decides in the end.

        Raises:
            InkwireError: ``document_limit``.
        """
        if len(await self._store.list_documents(owner, limit=self._max_documents)) >= self._max_documents:
            raise InkwireError("document_limit", limit=self._max_documents)

    async def upload(self, owner: str, upload: Upload, on_progress: OnProgress | None = None) -> DocumentView:
        """Read a file and store its text; returns once it is stored.

        Raises:
            InkwireError: the file cannot be read or is too large, or the owner has too many.
        """
        found = await self._reader.extract(upload.data, upload.name, upload.media_type, self._limits, on_progress)
        embeddings = await self._embedded(found)
        digest = await asyncio.to_thread(hashlib.sha256, upload.data)
        view = DocumentView(
            id=self._new_id(),
            owner=owner,
            number=0,
            name=clean_name(upload.name),
            media_type=found.media_type,
            size_bytes=len(upload.data),
            sha256=digest.hexdigest(),
            pages=found.pages,
            chars=found.chars,
            passages=len(found.passages),
            embedded=embeddings is not None,
            created_at=rfc3339(self._clock.now()),
        )
        return await self._stored(StoredDocument(view, found.passages, embeddings))

    async def _embedded(self, found: Extracted) -> Embeddings | None:
        if self._embedder is None:
            return None
        return await self._embedder.embed([passage.text for passage in found.passages])

    async def _stored(self, document: StoredDocument) -> DocumentView:
        try:
            view = await self._store.add(document, limit=self._max_documents)
        except DocumentTooLarge:
            if document.embeddings is None:
                raise InkwireError("document_too_long", limit=MAX_DOCUMENT_BYTES, unit="bytes of text") from None
            get_logger().warning("a document is kept without its vectors: they take too much room", **_size(document))
            plain = document.view.model_copy(update={"embedded": False})
            return await self._stored(StoredDocument(plain, document.passages))
        if view is None:
            raise InkwireError("document_limit", limit=self._max_documents)
        return view

    async def page(self, owner: str, *, limit: int, cursor: str | None) -> Page[DocumentView]:
        """The owner's documents, newest first.

        Raises:
            InkwireError: ``invalid_cursor``.
        """
        before = None if cursor is None else pagination.decode_document_cursor(cursor)
        found = await self._store.list_documents(owner, limit=limit + 1, before=before)
        items = found[:limit]
        more = len(found) > limit
        return Page(items, pagination.encode_document_cursor(items[-1].number) if more else None)

    async def get(self, owner: str, document: str) -> StoredDocument:
        """A document with its text.

        Raises:
            InkwireError: ``not_found``.
        """
        found = await self._store.get(owner, document) if is_id(document) else None
        if found is None:
            raise InkwireError("not_found")
        return found

    async def delete(self, owner: str, document: str) -> None:
        """Forget a document; posts that were written from it stay as they are.

        Raises:
            InkwireError: ``not_found``.
        """
        if not is_id(document) or not await self._store.delete(owner, document):
            raise InkwireError("not_found")


def _size(document: StoredDocument) -> dict[str, int]:
    vectors = document.embeddings.vectors if document.embeddings else b""
    return {"passages": len(document.passages), "vectors_bytes": len(vectors)}
