"""One suite for every adapter of DocumentStore, over real databases."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire_contracts.ids import is_id
from inkwire_stores import open_document_store
from inkwire_stores.document_ports import MAX_DOCUMENT_BYTES, DocumentStore, DocumentTooLarge
from tests.support.documents import MemoryDocuments, document_id, embeddings, uploaded
from tests.support.mongo_server import MongoEndpoint
from tests.support.processes import ManagedProcess
from tests.support.wait import eventually

MANY = 50


@dataclass(frozen=True)
class Backend:
    """A database of the test's own: how to open it once more, and whether writers may race on it."""

    url: str
    against_races: str | None = None
    memory: MemoryDocuments | None = None

    def open(self) -> AbstractAsyncContextManager[DocumentStore]:
        return contextlib.nullcontext(self.memory) if self.memory is not None else open_document_store(self.url)


@pytest.fixture(params=["memory", "sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "memory":
        return Backend("", memory=MemoryDocuments())
    if request.param == "sqlite":
        return Backend(f"sqlite:///{tmp_path}/data/posts.sqlite3")
    url, name = request.getfixturevalue("mongo_database")
    server: MongoEndpoint = request.getfixturevalue("mongo_server")
    label = server.label.split(" (")[0]
    against = None if server.is_mongodb else f"{label}, which is not MongoDB, drops connections whose writes race"
    return Backend(f"{url.rstrip('/')}/{name}", against)


@pytest_asyncio.fixture
async def store(backend: Backend) -> AsyncIterator[DocumentStore]:
    async with backend.open() as opened:
        yield opened


async def test_what_was_stored_comes_back_equal(store: DocumentStore) -> None:
    """A document comes back under its number with text and vectors as they went in, odd characters included."""
    given = uploaded(embeddings=embeddings(4))
    assert is_id(given.view.id)
    view = await store.add(given, limit=MANY)
    assert view is not None and view == given.view.model_copy(update={"number": 1})
    assert await store.get("ana", given.view.id) == replace(given, view=view)


async def test_a_document_without_vectors_or_pages_comes_back_so(store: DocumentStore) -> None:
    """Nothing is made up for what a plain text does not have."""
    given = uploaded(pages=None)
    view = await store.add(given, limit=MANY)
    found = await store.get("ana", given.view.id)
    assert found is not None and found.embeddings is None and found.view.pages is None and found.view == view


async def test_numbers_go_up_for_each_owner(store: DocumentStore) -> None:
    """Each owner counts from 1, whatever others upload meanwhile."""
    numbers: dict[str, list[int]] = {"ana": [], "ben": []}
    for number in range(6):
        owner = "ben" if number % 3 == 0 else "ana"
        view = await store.add(uploaded(number, owner=owner), limit=MANY)
        assert view is not None
        numbers[owner].append(view.number)
    assert numbers == {"ana": [1, 2, 3, 4], "ben": [1, 2]}


async def test_the_number_of_a_deleted_document_is_never_given_again(store: DocumentStore) -> None:
    """Neither the newest number nor the only one comes back, so that a mention never means another document."""
    for number in range(1, 4):
        await store.add(uploaded(number), limit=MANY)
    for number in (3, 2, 1):
        assert await store.delete("ana", document_id(number))
    view = await store.add(uploaded(9), limit=MANY)
    assert view is not None and view.number == 4


async def test_numbers_stay_used_for_the_next_process(backend: Backend) -> None:
    """The count is kept with the data, not in the process that counted."""
    async with backend.open() as first:
        await first.add(uploaded(1), limit=MANY)
        await first.delete("ana", document_id(1))
    async with backend.open() as second:
        view = await second.add(uploaded(2), limit=MANY)
        assert view is not None and view.number == 2
        assert [line.number for line in await second.list_documents("ana", limit=5)] == [2]


async def test_concurrent_uploads_get_numbers_of_their_own(store: DocumentStore, backend: Backend) -> None:
    """Of sixteen at once each has a number that no other has, and all are listed."""
    if backend.against_races:
        pytest.skip(backend.against_races)
    views = await asyncio.gather(*(store.add(uploaded(number), limit=MANY) for number in range(16)))
    assert sorted(view.number for view in views if view) == list(range(1, 17))
    assert len(await store.list_documents("ana", limit=50)) == 16


async def test_the_limit_holds(store: DocumentStore) -> None:
    """One more than the limit is refused and leaves nothing; a deletion makes room; other owners have their own."""
    for number in range(3):
        assert await store.add(uploaded(number), limit=3) is not None
    assert await store.add(uploaded(7), limit=3) is None
    assert await store.get("ana", document_id(7)) is None
    assert len(await store.list_documents("ana", limit=10)) == 3
    assert await store.add(uploaded(8, owner="ben"), limit=3) is not None
    await store.delete("ana", document_id(0))
    assert await store.add(uploaded(7), limit=3) is not None


async def test_the_limit_holds_under_concurrent_uploads(store: DocumentStore, backend: Backend) -> None:
    """Twelve that come at once for five places never fill more than five, and who is refused left nothing."""
    if backend.against_races:
        pytest.skip(backend.against_races)
    views = await asyncio.gather(*(store.add(uploaded(number), limit=5) for number in range(12)))
    kept = {view.id for view in views if view is not None}
    assert len(kept) <= 5
    assert {view.id for view in await store.list_documents("ana", limit=50)} == kept


async def test_owners_are_apart(store: DocumentStore) -> None:
    """Nobody reads, finds, lists or deletes what another has, by id, number or name."""
    await store.add(uploaded(1, owner="ana", name="plan.md"), limit=MANY)
    await store.add(uploaded(2, owner="ben", name="other.md"), limit=MANY)
    for owner in ("ben", "an", "ana-b", "$ne"):
        assert await store.get(owner, document_id(1)) is None
        assert not await store.delete(owner, document_id(1))
        assert document_id(1) not in {v.id for v in await store.list_documents(owner, limit=10)}
        assert document_id(1) not in {
            v.id for v in await store.find(owner, numbers=[1], names=["plan.md"], ids=[document_id(1)])
        }
    assert await store.get("ana", document_id(1)) is not None


async def test_lists_are_newest_first_page_by_page(store: DocumentStore) -> None:
    """Paging by the last number sees every document once, whatever comes and goes meanwhile."""
    for number in range(1, 8):
        await store.add(uploaded(number), limit=MANY)
    seen: list[int] = []
    while page := await store.list_documents("ana", limit=3, before=seen[-1] if seen else None):
        seen += [view.number for view in page]
        await store.add(uploaded(100 + len(seen)), limit=MANY)
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    for limit in (0, 501):
        with pytest.raises(ValueError, match="limit must be 1 to 500"):
            await store.list_documents("ana", limit=limit)


async def test_find_by_number_and_name(store: DocumentStore) -> None:
    """Numbers and names find what they name, newest first, case, blanks and composed letters aside; each comes once."""
    names = ["Security policy.pdf", "notes.md", "NOTES.MD", "Re\u0301sume\u0301.txt", "STRASSE.txt", "x%_.txt"]
    for number, name in enumerate(names, start=1):
        await store.add(uploaded(number, name=name), limit=MANY)

    async def found(numbers: list[int], *wanted: str) -> list[int]:
        return [view.number for view in await store.find("ana", numbers=numbers, names=list(wanted))]

    assert await found([1, 3, 99]) == [3, 1]
    assert await found([], "SECURITY POLICY.pdf") == [1]
    assert await found([2], "notes.md") == [3, 2]
    assert await found([], "r\u00e9sum\u00c9.TXT", "straße.txt") == [5, 4]
    assert await found([], "x%_.txt", "x%", "notes", "") == [6]
    assert await found([], "security-policy.pdf") == await found([], " Security  policy.pdf") == [1]
    assert await found([]) == []
    by_id = await store.find("ana", numbers=[4], names=[], ids=[document_id(2), document_id(99)])
    assert [view.number for view in by_id] == [4, 2]


async def test_deleting_twice(store: DocumentStore) -> None:
    """Who deletes what is gone is told so, and nothing of the document is found any more."""
    await store.add(uploaded(1), limit=MANY)
    assert await store.delete("ana", document_id(1))
    assert not await store.delete("ana", document_id(1))
    assert await store.get("ana", document_id(1)) is None
    assert await store.find("ana", numbers=[1], names=["Security policy.pdf"]) == []


async def test_a_large_document_is_kept(store: DocumentStore) -> None:
    """Two million characters with their vectors go in and come back."""
    texts = tuple(f"{number} é " * 175 for number in range(1_400))
    given = uploaded(texts=texts, embeddings=embeddings(len(texts), dimensions=1_536))
    view = await store.add(given, limit=MANY)
    assert view is not None
    assert await store.get("ana", given.view.id) == replace(given, view=view)


async def test_a_document_beyond_the_bound_is_refused(store: DocumentStore) -> None:
    """What no record can hold is an error of its own, takes no number, and harms no other document."""
    await store.add(uploaded(1), limit=MANY)
    huge = uploaded(2, embeddings=embeddings(1, dimensions=MAX_DOCUMENT_BYTES // 4))
    with pytest.raises(DocumentTooLarge):
        await store.add(huge, limit=MANY)
    view = await store.add(uploaded(3), limit=MANY)
    assert view is not None and view.number == 2
    assert await store.get("ana", document_id(2)) is None


async def test_ping_and_an_empty_store(store: DocumentStore) -> None:
    """A store that is quite new answers, and has nothing."""
    await store.ping()
    assert await store.list_documents("ana", limit=5) == []
    assert await store.find("ana", numbers=[1], names=["x"]) == []
    assert await store.get("ana", document_id(1)) is None


_WRITER = """
import asyncio, sys
from inkwire_stores import open_document_store
from tests.support.documents import uploaded

async def main(url, count):
    async with open_document_store(url) as store:
        for number in range(1, count + 1):
            assert await store.add(uploaded(number), limit=1_000), number

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_reading_while_another_process_writes(
    backend: Backend, keep: Callable[[ManagedProcess], ManagedProcess]
) -> None:
    """The generator reads whole documents in its own process while the api's adds more."""
    if backend.memory is not None:
        pytest.skip("memory is not shared between processes")
    count = 40
    async with backend.open() as store:
        writer = keep(ManagedProcess("writer", [sys.executable, "-c", _WRITER, backend.url, str(count)]))
        writer.start()

        async def all_there() -> bool:
            newest = await store.list_documents("ana", limit=1)
            if not newest:
                writer.assert_running()
                return False
            found = await store.get("ana", newest[0].id)
            assert found == replace(uploaded(newest[0].number), view=newest[0])
            return newest[0].number == count

        await eventually(all_there, what="the reader sees the last document", timeout_s=60, interval_s=0.001)
