"""Uploaded documents for tests: built ones, and a store in memory that keeps the port's promises."""

import array
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inkwire_contracts.documents import Passage, name_key
from inkwire_contracts.ids import encode_id
from inkwire_stores.document_ports import DocumentTooLarge, DocumentView, Embeddings, StoredDocument
from inkwire_stores.document_rows import check_size, numbered, packed
from inkwire_stores.ports import MAX_LIST, StoreUnavailable, check_limit

__all__ = ["DocumentTooLarge", "MemoryDocuments", "document_id", "embeddings", "uploaded"]

TEXTS = ("Doors are locked at eight.", "Visitors wear a badge, café included. 👩‍👩‍👧", "a\r\nb\x00\u2028'\"$ {x}")


def document_id(number: int) -> str:
    """The id of a test's document of that number."""
    return encode_id(hashlib.sha256(f"document {number}".encode()).digest())


def uploaded(
    number: int = 1, *, owner: str = "ana", name: str = "Security policy.pdf", **changes: Any
) -> StoredDocument:
    """A document as the api would store it; its text is of that number."""
    texts = changes.pop("texts", (*TEXTS, f"This is document {number}."))
    found = changes.pop("embeddings", None)
    passages = tuple(
        Passage(index=index, page=index + 1, heading=f"Part {index}", text=text) for index, text in enumerate(texts)
    )
    raw = "\n".join(texts).encode()
    fields: dict[str, Any] = {
        "id": document_id(number),
        "owner": owner,
        "number": 0,
        "name": name,
        "media_type": "application/pdf",
        "size_bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "pages": len(texts),
        "chars": sum(map(len, texts)),
        "passages": len(texts),
        "embedded": found is not None,
        "created_at": "2026-11-21T09:00:00.000Z",
    }
    return StoredDocument(DocumentView(**{**fields, **changes}), passages, found)


def embeddings(passages: int, *, dimensions: int = 8, model: str = "test-embedding") -> Embeddings:
    """Vectors that differ from each other, in the form of the port."""
    values = array.array("f", [(n % 97 - 48) / 97 for n in range(passages * dimensions)])
    if sys.byteorder == "big":
        values.byteswap()
    return Embeddings(model, dimensions, values.tobytes())


@dataclass
class MemoryDocuments:
    """See DocumentStore. ``down``: every call fails as if the database were away."""

    documents: dict[tuple[str, str], StoredDocument] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    down: bool = False

    async def add(self, stored: StoredDocument, *, limit: int) -> DocumentView | None:
        self._check()
        check_size(stored, packed(stored.passages))
        owner = stored.view.owner
        if len(self._of(owner)) >= limit:
            return None
        self.last[owner] = self.last.get(owner, 0) + 1
        view = numbered(stored.view, self.last[owner])
        self.documents[owner, view.id] = replace(stored, view=view)
        return view

    async def get(self, owner: str, document: str) -> StoredDocument | None:
        self._check()
        return self.documents.get((owner, document))

    async def list_documents(self, owner: str, *, limit: int, before: int | None = None) -> list[DocumentView]:
        check_limit(limit)
        self._check()
        return [view for view in self._of(owner) if before is None or view.number < before][:limit]

    async def find(
        self, owner: str, *, numbers: Sequence[int], names: Sequence[str], ids: Sequence[str] = ()
    ) -> list[DocumentView]:
        self._check()
        keys = {name_key(name) for name in names}
        found = [
            view for view in self._of(owner) if view.number in numbers or name_key(view.name) in keys or view.id in ids
        ]
        return found[:MAX_LIST]

    async def delete(self, owner: str, document: str) -> bool:
        self._check()
        return self.documents.pop((owner, document), None) is not None

    async def ping(self) -> None:
        self._check()

    def _of(self, owner: str) -> list[DocumentView]:
        views = [stored.view for (of, _), stored in self.documents.items() if of == owner]
        return sorted(views, key=lambda view: view.number, reverse=True)

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("memory: down")
