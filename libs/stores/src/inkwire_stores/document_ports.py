"""What a store of uploaded documents promises, whichever database is behind it. The api alone writes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from inkwire_contracts.data import Data
from inkwire_contracts.documents import Passage

MAX_DOCUMENT_BYTES = 14 * 1024 * 1024
"""Passages (as JSON) and vectors of one document together: one record of MongoDB, with room for its frame."""


class DocumentTooLarge(Exception):
    """It is beyond MAX_DOCUMENT_BYTES and was not stored; without its vectors it may fit."""


class DocumentView(Data):
    """A document as its owner sees it. ``sha256`` and ``size_bytes`` are of the file that was uploaded.

    ``embedded``: its passages have vectors, so that they are also found by meaning.
    """

    id: str
    owner: str
    number: int
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    pages: int | None
    chars: int
    passages: int
    embedded: bool
    created_at: str


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of a document's passages, in their order, of one model; unit length, little-endian 32-bit floats."""

    model: str
    dimensions: int
    vectors: bytes


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document with its text."""

    view: DocumentView
    passages: tuple[Passage, ...]
    embeddings: Embeddings | None = field(default=None)


class DocumentStore(Protocol):
    """Documents by owner. Every method may raise ``StoreUnavailable``; each asks for the owner, so none can leak."""

    async def add(self, stored: StoredDocument, *, limit: int) -> DocumentView | None:
        """Keep a document under the owner's next number, which was never used before; ``view.number`` is ignored.

        Returns:
            The view with its number; ``None`` if the owner has ``limit`` documents already, and nothing was stored.

        Raises:
            DocumentTooLarge: it does not fit; nothing was stored.
            StoreUnavailable: it may or may not be stored.
        """
        ...

    async def get(self, owner: str, document: str) -> StoredDocument | None:
        """The owner's document of that id."""
        ...

    async def list_documents(self, owner: str, *, limit: int, before: int | None = None) -> list[DocumentView]:
        """An owner's documents by number, newest first; ``before``: only smaller numbers.

        Raises:
            ValueError: ``limit`` is out of range.
        """
        ...

    async def find(
        self, owner: str, *, numbers: Sequence[int], names: Sequence[str], ids: Sequence[str] = ()
    ) -> list[DocumentView]:
        """The owner's documents that have one of the numbers, names (as ``name_key`` compares them) or ids.

        Newest first, at most MAX_LIST of them.
        """
        ...

    async def delete(self, owner: str, document: str) -> bool:
        """Forget a document; false if the owner has none of that id."""
        ...

    async def ping(self) -> None:
        """A round trip to the data; returns if the store is usable."""
        ...
