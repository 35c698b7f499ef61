"""A document as the stores hold it: what they share. Pure."""

import json
from collections.abc import Sequence
from typing import Final

from inkwire_contracts.documents import Passage
from inkwire_stores.document_ports import MAX_DOCUMENT_BYTES, DocumentTooLarge, DocumentView, StoredDocument

FIRST_NUMBER: Final = 1


def numbered(view: DocumentView, number: int) -> DocumentView:
    """The view under a number."""
    return view.model_copy(update={"number": number})


def packed(passages: Sequence[Passage]) -> str:
    """Passages as one JSON text."""
    return json.dumps([passage.model_dump() for passage in passages], ensure_ascii=False, separators=(",", ":"))


def unpacked(text: str) -> tuple[Passage, ...]:
    """The passages of :func:`packed`."""
    return tuple(Passage.model_validate(passage) for passage in json.loads(text))


def check_size(stored: StoredDocument, packed_passages: str) -> None:
    """Refuse what one record of MongoDB could not hold, whichever the database.

    Raises:
        DocumentTooLarge: text and vectors together are beyond MAX_DOCUMENT_BYTES.
    """
    vectors = stored.embeddings.vectors if stored.embeddings else b""
    if len(packed_passages.encode()) + len(vectors) > MAX_DOCUMENT_BYTES:
        raise DocumentTooLarge(f"a document and its vectors take more than {MAX_DOCUMENT_BYTES} bytes")
