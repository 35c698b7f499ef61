"""One suite for every adapter of ConversationStore, over real databases."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire_contracts.conversations import (
    MAX_AVATAR_CHARS,
    MAX_CONVERSATION_CHARS,
    MAX_EMOJI_CHARS,
    MAX_EMOJIS,
    MAX_MEMBER_NAME_CHARS,
    MAX_MEMBERS,
    MAX_MENTIONS,
    MAX_MESSAGES,
    MAX_REACTIONS,
    MAX_TITLE_CHARS,
    Conversation,
    Member,
    Message,
)
from inkwire_contracts.documents import MAX_NAME_CHARS, DocumentRef
from inkwire_stores import open_store
from inkwire_stores.conversation_ports import (
    MAX_CONVERSATION_BYTES,
    ConversationStore,
    ConversationTooLarge,
    Cut,
    StoredConversation,
    summary_of_conversation,
)
from inkwire_stores.ports import MAX_LIST
from tests.support.conversation_logs import EPOCH, ConversationScript, chat
from tests.support.memory_conversations import MemoryConversations
from tests.support.post_logs import post_id


@dataclass(frozen=True)
class Backend:
    """A database of the test's own, and how to open it once more."""

    url: str
    memory: MemoryConversations | None = None

    def open(self) -> AbstractAsyncContextManager[ConversationStore]:
        return contextlib.nullcontext(self.memory) if self.memory is not None else _conversations(self.url)


@contextlib.asynccontextmanager
async def _conversations(url: str) -> AsyncIterator[ConversationStore]:
    async with open_store(url) as store:
        yield store.conversations


@pytest.fixture(params=["memory", "sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "memory":
        return Backend("", MemoryConversations())
    if request.param == "sqlite":
        return Backend(f"sqlite:///{tmp_path}/data/inkwire.sqlite3")
    url, name = request.getfixturevalue("mongo_database")
    return Backend(f"{url.rstrip('/')}/{name}")


@pytest_asyncio.fixture
async def store(backend: Backend) -> AsyncIterator[ConversationStore]:
    async with backend.open() as opened:
        yield opened


def stored(conversation: Conversation, *, epoch: str = EPOCH, cut_seq: int = 0, cut_at: str = "") -> StoredConversation:
    return StoredConversation(conversation, epoch, cut_seq, cut_at)


def at_seq(conversation: Conversation, seq: int) -> Conversation:
    return conversation.model_copy(update={"seq": seq})


async def test_what_was_stored_comes_back_equal(store: ConversationStore) -> None:
    """A conversation comes back as it went in, emojis that are no names of a database and huge integers included."""
    kept = stored(chat(members=("ben",)), cut_seq=3, cut_at="2026-11-21T09:00:00.000Z")
    assert await store.put(kept, expected=None)
    assert await store.get(kept.conversation.conversation) == kept


async def test_an_unknown_conversation_is_none(store: ConversationStore) -> None:
    """What was never stored is None, in a store that is quite new too."""
    assert await store.get(post_id(404)) is None


async def test_insert_once(store: ConversationStore) -> None:
    """Only the first of two writers that expect nothing there stores its conversation."""
    first = stored(chat())
    assert await store.put(first, expected=None)
    assert not await store.put(replace(first, conversation=at_seq(first.conversation, 99)), expected=None)
    assert await store.get(first.conversation.conversation) == first


async def test_compare_and_set_is_on_epoch_and_seq(store: ConversationStore) -> None:
    """A writer that knows both replaces the conversation; one that is wrong about either changes nothing."""
    first = stored(chat())
    name, (epoch, seq) = first.conversation.conversation, first.place
    newer = stored(at_seq(first.conversation, seq + 5))
    assert not await store.put(newer, expected=first.place)
    assert await store.get(name) is None
    await store.put(first, expected=None)
    for wrong in ((epoch, seq - 1), (epoch, seq + 1), ("another", seq)):
        assert not await store.put(newer, expected=wrong)
    assert await store.get(name) == first
    assert await store.put(newer, expected=first.place)
    assert await store.get(name) == newer


async def test_another_log_may_begin_before_what_is_stored(store: ConversationStore) -> None:
    """After a lost log the same conversation goes on at a smaller sequence of another epoch."""
    first = stored(chat())
    await store.put(first, expected=None)
    anew = stored(at_seq(first.conversation, 1), epoch="later")
    assert await store.put(anew, expected=first.place)
    assert not await store.put(first, expected=first.place)
    assert await store.get(first.conversation.conversation) == anew


async def test_members_find_it_in_their_lists_last_changed_first(store: ConversationStore) -> None:
    """Owner and members have a conversation in their lists, others do not, and equal times are ordered by id."""
    times = ["2026-11-21T09:00:00.001Z", "2026-11-21T09:00:00.000Z", "2026-11-21T09:00:00.001Z"]
    chats = [chat(900 + 10 * n, members=("ben",) if n else (), at=time) for n, time in enumerate(times)]
    for conversation in chats:
        await store.put(stored(conversation), expected=None)
    ordered = sorted(chats, key=lambda c: (c.updated_at, c.conversation), reverse=True)
    assert await store.list_conversations("ana", limit=50) == [summary_of_conversation(c) for c in ordered]
    found = await store.list_conversations("ben", limit=50)
    assert [line.id for line in found] == [c.conversation for c in ordered if c is not chats[0]]
    assert (found[0].title, found[0].messages, len(found[0].members)) == ("Bees", 2, 2)
    assert await store.list_conversations("eve", limit=50) == []


async def test_a_change_moves_it_to_the_top_of_every_members_list(store: ConversationStore) -> None:
    """A conversation that changed stands first, once, in the lists of all who are members now."""
    older = chat(900, members=("ben",), at="2026-11-21T08:00:00.000Z")
    newer = chat(950, members=("ben",), at="2026-11-21T09:00:00.000Z")
    for conversation in (older, newer):
        await store.put(stored(conversation), expected=None)
    changed = older.model_copy(update={"seq": older.seq + 1, "updated_at": "2026-11-21T10:00:00.000Z"}, deep=True)
    changed.members = [member for member in changed.members if member.user != "ben"] + [
        changed.members[0].model_copy(update={"user": "eve", "role": "member"})
    ]
    assert await store.put(stored(changed), expected=(EPOCH, older.seq))
    lists = {
        user: [line.id for line in await store.list_conversations(user, limit=9)] for user in ("ana", "ben", "eve")
    }
    assert lists == {
        "ana": [older.conversation, newer.conversation],
        "ben": [newer.conversation],
        "eve": [older.conversation],
    }


async def test_pages_follow_each_other(store: ConversationStore) -> None:
    """Pages of any size show each conversation once, whether or not their times are equal."""
    for number in range(11):
        at = f"2026-11-21T09:00:00.00{number // 3}Z"
        await store.put(stored(chat(900 + 10 * number, at=at)), expected=None)
    whole = [line.id for line in await store.list_conversations("ana", limit=50)]
    paged: list[str] = []
    before: tuple[str, str] | None = None
    while page := await store.list_conversations("ana", limit=4, before=before):
        paged += [line.id for line in page]
        before = (page[-1].updated_at, page[-1].id)
    assert paged == whole and len(whole) == 11


async def test_a_deleted_one_is_a_tombstone(store: ConversationStore) -> None:
    """It leaves every list, keeps nothing of what people wrote, and is still there to be asked for."""
    script = ConversationScript()
    script.created(title="secret")
    script.message(1, content="secret")
    before = stored(script.folded())
    await store.put(before, expected=None)
    script.deleted()
    gone = stored(script.folded())
    assert await store.put(gone, expected=before.place)
    assert await store.list_conversations("ana", limit=5) == []
    found = await store.get(script.conversation)
    assert found == gone and found is not None
    assert found.conversation.status == "deleted" and "secret" not in found.conversation.model_dump_json()


async def test_due_cuts_are_the_oldest_of_one_log(store: ConversationStore) -> None:
    """Only cuts of this log that are older than asked, the oldest first, page by page; those without one never."""
    cuts = [("2026-11-21T09:00:00.000Z", EPOCH), ("2026-11-21T08:00:00.000Z", EPOCH), ("", EPOCH)]
    cuts += [("2026-11-21T08:00:00.000Z", "another"), ("2026-11-21T08:00:00.000Z", EPOCH)]
    cuts += [("2026-11-21T12:00:00.000Z", EPOCH)]
    names = []
    for number, (cut_at, epoch) in enumerate(cuts):
        conversation = chat(900 + 10 * number)
        names.append(conversation.conversation)
        await store.put(stored(conversation, epoch=epoch, cut_seq=number, cut_at=cut_at), expected=None)
    seen: list[Cut] = []
    after: tuple[str, str] | None = None
    while page := await store.due_cuts(epoch=EPOCH, before="2026-11-21T12:00:00.000Z", limit=1, after=after):
        seen += page
        after = (page[-1].cut_at, page[-1].conversation)
    tied = sorted([names[1], names[4]])
    assert [line.conversation for line in seen] == [*tied, names[0]]
    assert seen[-1] == Cut(names[0], chat().seq, 0, cuts[0][0])


async def test_a_cut_moves_only_where_it_was_expected(store: ConversationStore) -> None:
    """The janitor's note is compare-and-set as well, and touches nothing else of the conversation."""
    first = stored(chat(), cut_seq=1, cut_at="2026")
    await store.put(first, expected=None)
    name, (epoch, seq) = first.conversation.conversation, first.place
    for wrong in ((epoch, seq + 1), ("another", seq)):
        assert not await store.move_cut(name, expected=wrong, cut_seq=9, cut_at="2027")
    assert not await store.move_cut(post_id(404), expected=first.place, cut_seq=9, cut_at="2027")
    assert await store.get(name) == first
    assert await store.move_cut(name, expected=first.place, cut_seq=seq, cut_at="")
    assert await store.get(name) == replace(first, cut_seq=seq, cut_at="")
    assert await store.due_cuts(epoch=epoch, before="9", limit=5) == []
    assert len(await store.list_conversations("ana", limit=5)) == 1


@pytest.mark.parametrize("limit", [0, -1, MAX_LIST + 1])
async def test_page_sizes_are_bounded(store: ConversationStore, limit: int) -> None:
    """A page of no size, or of more than MAX_LIST, is refused."""
    with pytest.raises(ValueError, match="limit"):
        await store.list_conversations("ana", limit=limit)
    with pytest.raises(ValueError, match="limit"):
        await store.due_cuts(epoch=EPOCH, before="9", limit=limit)


async def test_one_beyond_the_bound_is_refused_whole(store: ConversationStore) -> None:
    """What does not fit is named as such, and the store keeps what it had."""
    first = stored(chat())
    await store.put(first, expected=None)
    big = first.conversation.model_copy(deep=True)
    big.seq += 1
    big.messages.append(Message(message=post_id(1), seq=2, role="user", content="x" * (MAX_CONVERSATION_BYTES + 1)))
    with pytest.raises(ConversationTooLarge):
        await store.put(stored(big), expected=first.place)
    assert await store.get(first.conversation.conversation) == first


def test_a_full_conversation_fits() -> None:
    """At every bound at once, in the widest script: texts, mentions, reactions and members."""
    wide, token = "\N{LINEAR B SYLLABLE B008 A}", "u" * 64
    policy = DocumentRef(document=post_id(1), owner=token, number=10**9, name=wide * MAX_NAME_CHARS)
    emojis = [chr(0x1F000 + n) + wide * (MAX_EMOJI_CHARS - 1) for n in range(MAX_EMOJIS)]
    named = {"name": wide * MAX_MEMBER_NAME_CHARS, "avatar": "a" * MAX_AVATAR_CHARS, "joined_at": "t" * 24}
    message = Message(
        message=post_id(1),
        seq=2**53,
        role="assistant",
        author=token,
        content=wide * (MAX_CONVERSATION_CHARS // MAX_MESSAGES),
        documents=[policy] * (MAX_MENTIONS // MAX_MESSAGES),
        reply_to=post_id(2),
        post=post_id(3),
        replaces=post_id(4),
        superseded_by=post_id(5),
        reactions={emoji: [token] for emoji in emojis[: MAX_REACTIONS // MAX_MESSAGES]},
        created_at="t" * 24,
    )
    full = Conversation(
        conversation=post_id(6),
        title=wide * MAX_TITLE_CHARS,
        members=[Member(user=token, **named)] * MAX_MEMBERS,
        messages=[message] * MAX_MESSAGES,
    )
    assert (full.mentions, full.reactions, full.chars) == (MAX_MENTIONS, MAX_REACTIONS, MAX_CONVERSATION_CHARS)
    assert len(full.model_dump_json().encode()) < 0.95 * MAX_CONVERSATION_BYTES


async def test_it_is_there_after_the_store_was_closed(backend: Backend) -> None:
    """Another opener finds what the first one stored, indexes and tables being there already."""
    async with backend.open() as first:
        await first.put(stored(chat()), expected=None)
    async with backend.open() as second:
        kept = await second.get(chat().conversation)
        assert kept == stored(chat())
        newer = stored(at_seq(chat(), 99))
        assert await second.put(newer, expected=stored(chat()).place)
