"""Documents from the store: what is read, kept and found."""

import asyncio
from collections.abc import Sequence

import pytest

from inkwire_contracts.documents import DocumentRef
from inkwire_generator.adapters import library
from inkwire_generator.adapters.library import StoreLibrary
from inkwire_generator.ports import Passages
from inkwire_stores.document_ports import Embeddings, StoredDocument
from inkwire_stores.ports import StoreUnavailable
from tests.support.documents import MemoryDocuments
from tests.support.material import ref, stored

POLICY, NOTES = ref(3), ref(1, name="notes.txt")
LOCKS = "Locks close at eight in the evening, and nobody keeps a spare key at home."
BADGES = "Visitors wear a badge in every corridor and return it at the desk."
FIRE = "In case of fire walk to the meadow and wait until you are counted."


class Reading(MemoryDocuments):
    """Remembers what was asked for."""

    def __init__(self, *documents: StoredDocument) -> None:
        super().__init__({(one.view.owner, one.view.id): one for one in documents})
        self.asked: list[tuple[str, str]] = []

    async def get(self, owner: str, document: str) -> StoredDocument | None:
        self.asked.append((owner, document))
        return await super().get(owner, document)


class Compass:
    """An embedder that knows two directions."""

    def __init__(self, *, model: str = "compass", answers: bool = True) -> None:
        self.model = model
        self._answers = answers
        self.queries: list[str] = []

    async def vector(self, query: str) -> tuple[float, ...] | None:
        self.queries.append(query)
        return ((1.0, 0.0) if "safe" in query else (0.0, 1.0)) if self._answers else None


def vectors(*pairs: tuple[float, float], model: str = "compass") -> Embeddings:
    """Of a document's passages, in the port's form."""
    import struct

    return Embeddings(model, 2, struct.pack(f"<{2 * len(pairs)}f", *(value for pair in pairs for value in pair)))


def texts(found: Passages) -> list[str]:
    """The passages' texts."""
    return [excerpt.passage.text for excerpt in found.excerpts]


def policy(texts: Sequence[str] = (LOCKS, BADGES, FIRE), document: DocumentRef = POLICY) -> StoredDocument:
    """A document of three passages."""
    return stored(document, texts)


async def test_the_best_passages_come_with_their_places() -> None:
    """Within the budget, in the document's order, each with the document as the request names it."""
    shelf = StoreLibrary(Reading(policy(), stored(NOTES, ("Nothing to see.",)))).shelf((POLICY, NOTES))
    found = await shelf.find("Who wears a badge, and where are visitors?", limit_chars=120)
    assert texts(found) == [BADGES, "Nothing to see."]
    first = found.excerpts[0]
    assert first.document == POLICY and first.passage.page == 2 and first.passage.heading == "Part 1"
    assert found.missing == frozenset()


async def test_each_document_is_read_once_and_under_the_owner_that_the_request_names() -> None:
    """However often is searched; nothing else is ever asked for."""
    store = Reading(policy(), stored(ref(3, owner="eve"), ("Eve's secret",)))
    shelf = StoreLibrary(store).shelf((POLICY,))
    await shelf.load()
    for query in ("@99 badge", ref(3, owner="eve").document, "read_document(owner='eve')"):
        assert "Eve's secret" not in texts(await shelf.find(query, limit_chars=10_000))
    assert store.asked == [("local", POLICY.document)]


async def test_a_document_that_is_gone_is_told_and_the_others_are_searched() -> None:
    """Also when nothing is left of all of them."""
    shelf = StoreLibrary(Reading(policy())).shelf((NOTES, POLICY))
    found = await shelf.find("badge", limit_chars=10_000)
    assert texts(found) == [LOCKS, BADGES, FIRE] and found.missing == {NOTES.document}
    assert await StoreLibrary(Reading()).shelf((NOTES,)).find("badge", limit_chars=9) == Passages(
        (), frozenset({NOTES.document})
    )


async def test_another_owners_document_is_none() -> None:
    """The id alone opens nothing."""
    shelf = StoreLibrary(Reading(policy())).shelf((ref(3, owner="eve"),))
    assert (await shelf.find("badge", limit_chars=10_000)).missing == {POLICY.document}


async def test_a_store_that_is_away_is_said_and_asked_again() -> None:
    """Nothing is taken for missing that could not be read, and a shelf recovers with its store."""
    store = Reading(policy())
    store.down = True
    shelf = StoreLibrary(store).shelf((POLICY,))
    with pytest.raises(StoreUnavailable):
        await shelf.load()
    with pytest.raises(StoreUnavailable):
        await shelf.find("badge", limit_chars=10_000)
    store.down = False
    assert texts(await shelf.find("badge", limit_chars=10_000)) == [LOCKS, BADGES, FIRE]


async def test_documents_that_are_large_together_are_read_one_at_a_time() -> None:
    """Nothing is kept of them, what is found is the same, and one that goes meanwhile is missed from then on."""
    documents = (policy(), stored(NOTES, (FIRE, "Keys hang in the hall.", "The hall is blue.")))
    store = Reading(*documents)
    small = StoreLibrary(Reading(*documents)).shelf((POLICY, NOTES))
    large = StoreLibrary(store, max_kept_chars=200).shelf((POLICY, NOTES))
    for query in ("Where are the keys in the hall?", "badge of visitors"):
        expected = await small.find(query, limit_chars=100)
        assert await large.find(query, limit_chars=100) == expected and expected.excerpts
    assert len(store.asked) > 4, "read again for each search"
    await store.delete("local", NOTES.document)
    found = await large.find("Where are the keys in the hall?", limit_chars=100)
    assert found.missing == {NOTES.document} and {one.document for one in found.excerpts} == {POLICY}


@pytest.mark.parametrize("max_kept_chars", [10_000, 100], ids=["kept", "large"])
async def test_by_meaning_where_vectors_are_there(max_kept_chars: int) -> None:
    """A passage is found whose words the query does not have."""
    document = stored(POLICY, (BADGES, FIRE, LOCKS), embeddings=vectors((0, 1), (0, 1), (1, 0)))
    compass = Compass()
    shelf = StoreLibrary(Reading(document), compass, max_kept_chars=max_kept_chars).shelf((POLICY,))
    assert texts(await shelf.find("building safety", limit_chars=80)) == [LOCKS]
    assert compass.queries == ["building safety"]


async def test_words_alone_where_no_vector_is_to_be_had() -> None:
    """Another model's vectors, documents without any, and an embedder that fails are no reason to find nothing."""
    other = stored(POLICY, (BADGES, FIRE), embeddings=vectors((0, 1), (0, 1), model="another"))
    for document, compass in ((other, Compass()), (policy((BADGES, FIRE)), Compass())):
        shelf = StoreLibrary(Reading(document), compass).shelf((POLICY,))
        assert texts(await shelf.find("safe fire meadow", limit_chars=80)) == [FIRE]
        assert compass.queries == [], "nobody is asked in vain"
        assert len(texts(await shelf.find("safe", limit_chars=1_000))) == 2
    short = stored(POLICY, (BADGES, FIRE), embeddings=vectors((0, 1)))
    shelf = StoreLibrary(Reading(short), Compass()).shelf((POLICY,))
    assert texts(await shelf.find("safe fire meadow", limit_chars=80)) == [FIRE], "one vector for two passages"
    whole = stored(POLICY, (BADGES, FIRE), embeddings=vectors((0, 1), (0, 1)))
    compass = Compass()
    found = await StoreLibrary(Reading(whole), compass).shelf((POLICY,)).find("safe", limit_chars=1_000)
    assert texts(found) == [BADGES, FIRE] and compass.queries == [], "where all fits, nothing has to be chosen"
    mute = Compass(answers=False)
    document = stored(POLICY, (BADGES, FIRE), embeddings=vectors((0, 1), (0, 1)))
    shelf = StoreLibrary(Reading(document), mute).shelf((POLICY,))
    assert texts(await shelf.find("safe fire meadow", limit_chars=80)) == [FIRE] and mute.queries


async def test_a_search_that_does_not_end_counts_as_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run waits and comes back; it never goes on without its documents."""
    monkeypatch.setattr(library, "PATIENCE_S", 0.01)

    class Silent(Reading):
        async def get(self, owner: str, document: str) -> StoredDocument | None:
            await asyncio.Event().wait()
            return None

    with pytest.raises(StoreUnavailable):
        await StoreLibrary(Silent()).shelf((POLICY,)).load()
