"""Taking documents in: what is stored, what is refused, and how many files are in memory at once."""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from inkwire_api.documents import UPLOADS_AT_ONCE, UPLOADS_OF_OWNER, Documents, Upload
from inkwire_api.rate_limit import RateLimiter
from inkwire_contracts.documents import Passage
from inkwire_contracts.errors import InkwireError
from inkwire_documents.extracting import Extracted, OnProgress
from inkwire_documents.limits import Limits
from inkwire_stores.document_ports import MAX_DOCUMENT_BYTES, Embeddings
from inkwire_stores.ports import StoreUnavailable
from tests.support.clock import ManualClock
from tests.support.documents import MemoryDocuments, document_id

FILE = Upload("../Security policy.md", "text/markdown", b"# Doors\n\nLocked at eight.")
PASSAGES = (Passage(index=0, heading="Doors", text="Locked at eight."),)


@dataclass
class Reader:
    """Reads every file as the same text, unless it is told not to."""

    refuse: InkwireError | None = None
    asked: list[tuple[str, str | None, int]] = field(default_factory=list)

    async def extract(
        self, data: bytes, name: str, media_type: str | None, limits: Limits, on_progress: OnProgress | None
    ) -> Extracted:
        self.asked.append((name, media_type, limits.max_bytes))
        if self.refuse is not None:
            raise self.refuse
        if on_progress is not None:
            on_progress(1, 1)
        return Extracted("text/markdown", None, 16, PASSAGES)


@dataclass
class Vectors:
    """Gives what it was made with."""

    found: Embeddings | None

    async def embed(self, texts: Sequence[str]) -> Embeddings | None:
        assert list(texts) == ["Locked at eight."]
        return self.found


@dataclass
class World:
    store: MemoryDocuments = field(default_factory=MemoryDocuments)
    reader: Reader = field(default_factory=Reader)

    def documents(self, **changes: Any) -> Documents:
        ids = (document_id(number) for number in range(1, 100))
        parts: dict[str, Any] = {
            "store": self.store,
            "reader": self.reader,
            "embedder": None,
            "limiter": RateLimiter(per_s=1.0, burst=100),
            "limits": Limits(max_bytes=1_000),
            "max_documents": 2,
            "clock": ManualClock(),
            "new_id": lambda: next(ids),
        }
        return Documents(**{**parts, **changes})


async def test_a_file_becomes_a_document() -> None:
    """Its text, its digest and a name that can be mentioned; the reader gets it as it came, with the bounds."""
    world, told = World(), []
    view = await world.documents().upload("ana", FILE, lambda done, total: told.append((done, total)))
    assert (view.number, view.name, view.chars, view.passages, view.embedded) == (1, "Security policy.md", 16, 1, False)
    assert view.sha256 == hashlib.sha256(FILE.data).hexdigest() and view.size_bytes == len(FILE.data)
    assert world.reader.asked == [(FILE.name, FILE.media_type, 1_000)] and told == [(1, 1)]
    stored = await world.store.get("ana", view.id)
    assert stored is not None and stored.passages == PASSAGES and stored.view == view


async def test_what_the_reader_refuses_is_not_stored() -> None:
    """Its reason goes on as it is, and no number is used."""
    world = World(reader=Reader(refuse=InkwireError("document_empty")))
    with pytest.raises(InkwireError, match="no text"):
        await world.documents().upload("ana", FILE)
    assert not world.store.documents and not world.store.last


async def test_vectors_are_kept_with_the_document() -> None:
    """A document with vectors says so; without them, for whatever reason, it is stored all the same."""
    world = World()
    vectors = Embeddings("embed-x", 2, bytes(8))
    with_vectors = await world.documents(embedder=Vectors(vectors)).upload("ana", FILE)
    without = await world.documents(embedder=Vectors(None), new_id=lambda: document_id(7)).upload("ana", FILE)
    assert (with_vectors.embedded, without.embedded) == (True, False)
    stored = await world.store.get("ana", with_vectors.id)
    assert stored is not None and stored.embeddings == vectors


async def test_vectors_that_take_too_much_room_are_left_out() -> None:
    """The text is what matters; a text that does not fit by itself is refused."""
    world = World()
    huge = Embeddings("embed-x", MAX_DOCUMENT_BYTES // 4, bytes(MAX_DOCUMENT_BYTES))
    view = await world.documents(embedder=Vectors(huge)).upload("ana", FILE)
    stored = await world.store.get("ana", view.id)
    assert not view.embedded and stored is not None and stored.embeddings is None and stored.view == view


async def test_the_limit_is_the_stores_and_told_before_the_file_is_read() -> None:
    """Two that upload at the last place: the store refuses one; who has too many already sends nothing."""
    world = World()
    documents = world.documents()
    for _ in range(2):
        await documents.require_room("ana")
        await documents.upload("ana", FILE)
    for refused in (documents.upload("ana", FILE), documents.require_room("ana")):
        with pytest.raises(InkwireError) as error:
            await refused
        assert error.value.code == "document_limit" and error.value.params == {"limit": 2}
    await documents.require_room("ben")


async def test_a_store_that_is_away_is_told() -> None:
    """Nothing is answered that is not stored."""
    world = World(store=MemoryDocuments(down=True))
    with pytest.raises(StoreUnavailable):
        await world.documents().upload("ana", FILE)


def test_files_in_memory_are_bounded() -> None:
    """An owner holds a few places, all owners together some more; a place that is left is free again."""
    documents = World().documents()
    with ExitStack() as stack:
        for number in range(UPLOADS_AT_ONCE):
            stack.enter_context(documents.place(f"owner{number // UPLOADS_OF_OWNER}"))
        for owner in ("owner0", "somebody"):
            with pytest.raises(InkwireError) as refused, documents.place(owner):
                pytest.fail("there is no place")
            assert refused.value.code == "rate_limited"
    with documents.place("owner0"), documents.place("somebody"):
        pass


def test_uploads_have_a_rate() -> None:
    """One after the other, too: who sends without a pause is slowed down."""
    documents = World().documents(limiter=RateLimiter(per_s=0.1, burst=2))
    for _ in range(2):
        with documents.place("ana"):
            pass
    with pytest.raises(InkwireError) as refused, documents.place("ana"):
        pytest.fail("that was too many")
    assert refused.value.code == "rate_limited"


@pytest.mark.parametrize("document", ["nonsense", document_id(9), "../x"])
async def test_what_is_not_there_is_not_found(document: str) -> None:
    """Neither to read nor to delete."""
    documents = World().documents()
    for asked in (documents.get("ana", document), documents.delete("ana", document)):
        with pytest.raises(InkwireError) as error:
            await asked
        assert error.value.code == "not_found"
