"""Reading posts: which of store and log answers, who may see what, documents and their digests, names of files."""

import base64
import hashlib
from typing import Any

import pytest

from inkwire_api.reading import Reader, content_disposition, repr_digest
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Section, Snapshot, digest
from inkwire_contracts.ids import idempotent_post_id
from inkwire_stores.ports import StoredPost, StoreUnavailable
from tests.support.api_fakes import EPOCH, FakeBroker
from tests.support.memory_store import MemoryStore

POST = idempotent_post_id("ana", "post")
TEXT = "# Naïve 🗄️\n"


def snapshot(post: str = POST, **fields: Any) -> Snapshot:
    section = Section(section="s1", text=TEXT, length=len(TEXT), status="done")
    defaults: dict[str, Any] = {"owner": "ana", "seq": 5, "title": "Ten tips", "sections": [section]}
    return Snapshot(post=post, **{**defaults, **fields})


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def reader(broker: FakeBroker, store: MemoryStore) -> Reader:
    return Reader(log=broker, store=store, timeout_s=5.0)


def keep(store: MemoryStore, found: Snapshot, *, corrupt: bool = False) -> None:
    store.posts[found.post] = StoredPost(found, 5, EPOCH, corrupt=corrupt)


async def refusal(reader: Reader, method: str = "post", owner: str = "ana") -> str:
    with pytest.raises(InkwireError) as caught:
        await getattr(reader, method)(owner, POST)
    return caught.value.code


async def test_the_log_is_newer_than_the_store(reader: Reader, broker: FakeBroker, store: MemoryStore) -> None:
    """What the log folds to is answered, not the older document."""
    keep(store, snapshot(status="generating"))
    broker.folded[POST] = snapshot(status="published", seq=9)
    assert (await reader.post("ana", POST)).snapshot.seq == 9


async def test_somebody_elses_post_is_not_found(reader: Reader, broker: FakeBroker, store: MemoryStore) -> None:
    """Neither from the store nor from the log, and the answer is that of a post that does not exist."""
    keep(store, snapshot())
    broker.folded[POST] = snapshot()
    assert await refusal(reader, owner="ben") == "not_found"
    assert await refusal(reader, "markdown", owner="ben") == "not_found"


async def test_a_post_can_be_read_without_the_store(reader: Reader, broker: FakeBroker, store: MemoryStore) -> None:
    """The log alone answers; where it has nothing, nobody claims that the post does not exist."""
    store.down = True
    assert await refusal(reader) == "store_unavailable"
    broker.folded[POST] = snapshot(status="generating")
    assert (await reader.post("ana", POST)).snapshot.status == "generating"


async def test_a_stored_post_can_be_read_without_the_broker(
    reader: Reader, broker: FakeBroker, store: MemoryStore
) -> None:
    """The document is an earlier true state with its own position; without it, 503."""
    broker.down = True
    assert await refusal(reader) == "broker_unavailable"
    keep(store, snapshot(status="published", sha256=digest(TEXT)))
    assert (await reader.post("ana", POST)).epoch == EPOCH


async def test_a_log_that_does_not_fold_is_told_as_damage(
    reader: Reader, broker: FakeBroker, store: MemoryStore
) -> None:
    """Not as an unexpected error, and the older document does not pass for the post."""
    keep(store, snapshot(status="generating"))
    broker.damaged.add(POST)
    assert await refusal(reader) == await refusal(reader, "markdown") == "corrupt"


async def test_a_deleted_post_is_gone(reader: Reader, store: MemoryStore) -> None:
    """410 for the post and for its text."""
    keep(store, snapshot(status="deleted"))
    assert await refusal(reader) == await refusal(reader, "markdown") == "gone"


async def test_a_published_text_is_given_with_its_digest(reader: Reader, store: MemoryStore) -> None:
    """The text is the document, and the digest is of exactly its bytes."""
    keep(store, snapshot(status="published", sha256=digest(TEXT)))
    found = await reader.markdown("ana", POST)
    assert (found.text, found.sha256) == (TEXT, hashlib.sha256(TEXT.encode()).hexdigest())


@pytest.mark.parametrize("status", ["failed", "cancelled", "paused"])
async def test_what_an_ended_run_left_can_be_downloaded(reader: Reader, store: MemoryStore, status: str) -> None:
    """A run that did not publish has no digest to hold to; its text so far is given."""
    keep(store, snapshot(status=status))
    assert (await reader.markdown("ana", POST)).text == TEXT


@pytest.mark.parametrize("status", ["queued", "generating", "recovering", "retrying"])
async def test_a_running_post_has_no_document_yet(reader: Reader, store: MemoryStore, status: str) -> None:
    """409 that names the state."""
    keep(store, snapshot(status=status))
    assert await refusal(reader, "markdown") == "not_ready"


async def test_a_text_that_does_not_match_its_digest_is_never_given(reader: Reader, store: MemoryStore) -> None:
    """Neither a published one with another digest nor one that the persister has marked."""
    keep(store, snapshot(status="published", sha256="0" * 64))
    assert await refusal(reader, "markdown") == "corrupt"
    keep(store, snapshot(status="published", sha256=digest(TEXT)), corrupt=True)
    assert await refusal(reader, "markdown") == "corrupt"


async def test_pages_end(reader: Reader, store: MemoryStore) -> None:
    """Every post comes once, newest first, posts of the same millisecond too; the last page has no cursor."""
    for number in range(7):
        post = idempotent_post_id("ana", str(number))
        keep(store, snapshot(post, created_at=f"2026-01-0{1 + number // 3}T00:00:00.000Z"))
    seen: list[tuple[str, str]] = []
    cursor = None
    for _ in range(4):
        page = await reader.page("ana", limit=2, cursor=cursor, status=None)
        seen += [(item.created_at, item.id) for item in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert len(seen) == 7 and seen == sorted(seen, reverse=True)


async def test_a_full_last_page_has_no_cursor(reader: Reader, store: MemoryStore) -> None:
    """Exactly as many posts as asked for are all there are."""
    keep(store, snapshot(created_at="2026-01-01T00:00:00.000Z"))
    assert (await reader.page("ana", limit=1, cursor=None, status=None)).next_cursor is None


async def test_lists_need_the_store(reader: Reader, store: MemoryStore) -> None:
    """A list comes from the store alone, and its failure is not hidden."""
    store.down = True
    with pytest.raises(StoreUnavailable):
        await reader.page("ana", limit=2, cursor=None, status=None)


@pytest.mark.parametrize(
    ("title", "plain", "encoded"),
    [
        ("Top 10 Laravel tips", "top-10-laravel-tips", "top-10-laravel-tips"),
        ('Naïve café: "quotes"; and\\slashes/..', "naive-cafe-quotes-and-slashes", "na%C3%AFve-caf%C3%A9-quotes"),
        ("שלום", "post", "%D7%A9%D7%9C%D7%95%D7%9D"),
        ("!!!", "post", "post"),
        ("a" * 300, "a" * 80, "a" * 80),
    ],
)
def test_files_are_named_after_the_title(title: str, plain: str, encoded: str) -> None:
    """A name that every system takes, and the real one beside it; no title can end the header."""
    header = content_disposition(title)
    assert header.startswith(f"attachment; filename=\"{plain}.md\"; filename*=UTF-8''{encoded}")
    assert header.isascii() and header.count('"') == 2


def test_the_digest_header_is_rfc_9530() -> None:
    """Base64 of the raw digest between colons."""
    raw = hashlib.sha256(b"text").digest()
    assert repr_digest(raw.hex()) == f"sha-256=:{base64.b64encode(raw).decode()}:"
