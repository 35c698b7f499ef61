"""Documents from the store, searched in threads; read only, each under the owner that the request names.

A shelf keeps its documents for its attempt's length as long as they are small together. Beyond that nothing is kept:
each search reads one document after the other, keeps its best passages, and chooses among those.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from inkwire_chassis.logs import get_logger
from inkwire_contracts.documents import DocumentRef
from inkwire_documents.retrieval import Material, Retriever
from inkwire_generator import ports
from inkwire_generator.ports import Passages
from inkwire_recipes.material import Excerpt
from inkwire_stores.document_ports import StoredDocument
from inkwire_stores.ports import StoreUnavailable

MAX_KEPT_CHARS = 2_000_000
"""Text that one shelf keeps: the longest document there is, or many of the usual ones."""

MAX_PASSAGES = 200
"""In one prompt, however short they are."""

BUSY_SHELVES = 2
"""Shelves that read and index at the same time in one process; the others wait their turn."""

VECTOR_VALUE_BYTES = 4

PATIENCE_S = 240.0
"""For reading or one search, waiting included; then the documents count as away. Twenty of the longest take a quarter
of it on a busy machine of two cores."""


class Documents(Protocol):
    """What of :class:`inkwire_stores.document_ports.DocumentStore` is used: reading."""

    async def get(self, owner: str, document: str) -> StoredDocument | None:
        """The owner's document of that id. Raises StoreUnavailable."""
        ...


class Embedder(Protocol):
    """Turns a query into a vector."""

    @property
    def model(self) -> str:
        """Vectors of other models say nothing beside its own."""
        ...

    async def vector(self, query: str) -> tuple[float, ...] | None:
        """Of unit length; ``None`` where none can be had now, and then words alone must do."""
        ...


class StoreLibrary:
    """See :class:`inkwire_generator.ports.Library`. Without an ``embedder``, documents are searched by words alone."""

    def __init__(
        self, store: Documents, embedder: Embedder | None = None, *, max_kept_chars: int = MAX_KEPT_CHARS
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._max_kept_chars = max_kept_chars
        self._turns = asyncio.Semaphore(BUSY_SHELVES)

    @property
    def patience_s(self) -> float:
        return PATIENCE_S

    def shelf(self, documents: Sequence[DocumentRef]) -> ports.Shelf:
        return StoreShelf(tuple(documents), self._store, self._embedder, self._turns, self._max_kept_chars)


class StoreShelf:
    """See :class:`inkwire_generator.ports.Shelf`."""

    def __init__(
        self,
        documents: tuple[DocumentRef, ...],
        store: Documents,
        embedder: Embedder | None,
        turns: asyncio.Semaphore,
        max_kept_chars: int,
    ) -> None:
        self._documents = documents
        self._store = store
        self._embedder = embedder
        self._turns = turns
        self._max_kept_chars = max_kept_chars
        self._kept: list[Material] | None = None
        self._index: Retriever | None = None
        self._is_large = False
        self._kept_chars = self._kept_count = 0
        self._has_vectors = False
        self._missing: frozenset[str] = frozenset()

    async def load(self) -> None:
        async with self._turn():
            await self._load()

    async def find(self, query: str, *, limit_chars: int) -> Passages:
        await self.load()
        vector = await self._vector(query, limit_chars)  # outside of the turn: it is somebody else who is slow

        def best(index: Retriever) -> tuple[Excerpt, ...]:
            found = index.passages(query, budget_chars=limit_chars, query_vector=vector, max_found=MAX_PASSAGES)
            return tuple(Excerpt(one.document, one.passage) for one in found)

        async with self._turn():
            if self._kept is None:
                return await self._find_in_large(best)
            if self._index is None:  # not when they are read: what an index needs counts as an attempt
                self._index = await asyncio.to_thread(Retriever, self._kept)
            return Passages(await asyncio.to_thread(best, self._index), self._missing)

    async def _vector(self, query: str, limit_chars: int) -> tuple[float, ...] | None:
        """Nobody is asked where everything fits, or where no passage has a vector to compare with."""
        chooses = self._is_large or self._kept_chars > limit_chars or self._kept_count > MAX_PASSAGES
        if self._embedder is None or not (chooses and self._has_vectors):
            return None
        return await self._embedder.vector(query)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE_S), self._turns:
                yield
        except TimeoutError:
            raise StoreUnavailable(f"the documents were not searched within {PATIENCE_S:.0f} s") from None

    async def _load(self) -> None:
        """Read all documents once, and keep them if they are small enough together."""
        if self._kept is not None or self._is_large:
            return
        kept: list[Material] = []
        missing: set[str] = set()
        chars = 0
        for ref in self._documents:
            material = await self._read(ref)
            if material is None:
                missing.add(ref.document)
                continue
            chars += sum(len(passage.text) for passage in material.passages)
            if chars > self._max_kept_chars:
                self._is_large = True
                self._has_vectors = self._embedder is not None
                return
            kept.append(material)
        self._missing = frozenset(missing)
        self._kept_chars, self._kept_count = chars, sum(len(material.passages) for material in kept)
        self._has_vectors = any(material.vectors for material in kept)
        self._kept = kept

    async def _find_in_large(self, best: Callable[[Retriever], tuple[Excerpt, ...]]) -> Passages:
        """One document in memory at a time: its best passages, then the best of those."""
        candidates: list[Material] = []
        missing: set[str] = set()
        for ref in self._documents:
            material = await self._read(ref)
            if material is None:
                missing.add(ref.document)
            else:
                candidates.append(await asyncio.to_thread(_shortened, material, best))
        excerpts = await asyncio.to_thread(lambda: best(Retriever(candidates)))
        return Passages(excerpts, frozenset(missing))

    async def _read(self, ref: DocumentRef) -> Material | None:
        stored = await self._store.get(ref.owner, ref.document)
        if stored is None:
            return None
        embeddings = stored.embeddings
        if self._embedder is None or embeddings is None or embeddings.model != self._embedder.model:
            return Material(ref, stored.passages)
        if len(embeddings.vectors) != len(stored.passages) * embeddings.dimensions * VECTOR_VALUE_BYTES:
            get_logger().error("a document's vectors do not fit its passages", document=ref.document)
            return Material(ref, stored.passages)
        return Material(ref, stored.passages, embeddings.vectors, embeddings.dimensions)


def _shortened(material: Material, best: Callable[[Retriever], tuple[Excerpt, ...]]) -> Material:
    """The document's best passages, each with its vector."""
    row_bytes = material.dimensions * VECTOR_VALUE_BYTES
    passages, vectors = [], []
    place = {passage.index: number for number, passage in enumerate(material.passages)}
    for excerpt in best(Retriever([material])):
        row = place[excerpt.passage.index]
        passages.append(excerpt.passage)
        vectors.append(material.vectors[row * row_bytes : (row + 1) * row_bytes])
    return Material(material.ref, tuple(passages), b"".join(vectors), material.dimensions)
