"""Documents as a request names them, and passages of them, for tests of prompts and sources."""

from collections.abc import Sequence
from typing import Any

from inkwire_contracts.documents import DocumentRef, Passage
from inkwire_recipes.material import Excerpt
from inkwire_stores.document_ports import StoredDocument
from tests.support.documents import document_id, uploaded


def ref(number: int = 1, *, owner: str = "local", name: str = "Security policy.pdf") -> DocumentRef:
    """What a request says of a test's document."""
    return DocumentRef(document=document_id(number), owner=owner, number=number, name=name)


def stored(document: DocumentRef, texts: Sequence[str], **changes: Any) -> StoredDocument:
    """The document behind a reference: a page, and a heading, for each text."""
    number = document.number
    return uploaded(number, owner=document.owner, name=document.name, id=document.document, texts=texts, **changes)


def excerpt(
    document: DocumentRef, index: int = 0, *, page: int | None = None, heading: str = "", text: str = "Lock it."
) -> Excerpt:
    """A passage of a document."""
    return Excerpt(document, Passage(index=index, page=page, heading=heading, text=text))
