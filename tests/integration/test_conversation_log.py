"""The log of conversations and its reader, on a real broker and a real store."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire_chassis.conversation_log import ConversationLog, StoredConversationEvent
from inkwire_chassis.jetstream import BrokerError, StreamFull, WrongLastSequence
from inkwire_chassis.provisioning import provision
from inkwire_contracts import subjects
from inkwire_contracts.conversations import UNREADABLE, ConversationEvent
from inkwire_contracts.topology import CONVERSATIONS, topology
from inkwire_stores import Store, StoreUnavailable, open_store
from inkwire_stores.conversation_ports import StoredConversation
from inkwire_stores.conversation_reading import ConversationReader
from tests.support.conversation_logs import ConversationScript
from tests.support.log import connect_log, open_log
from tests.support.memory_conversations import MemoryConversations
from tests.support.nats_cluster import NatsCluster
from tests.support.post_logs import post_id
from tests.support.servers import NatsFactory
from tests.support.wait import eventually

pytestmark = pytest.mark.nats


@pytest_asyncio.fixture
async def log(nats_url: str) -> AsyncIterator[ConversationLog]:
    async with open_log(nats_url) as events:
        yield ConversationLog(events.jetstream)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:///{tmp_path}/posts.sqlite3") as opened:
        yield opened


def talk(number: int = 900) -> ConversationScript:
    """A conversation's first three events, yet to be written."""
    script = ConversationScript(post_id(number))
    script.created(title="Bees")
    script.message(1, content="What do bees eat?")
    script.reaction(1, "👍")
    return script


async def write(log: ConversationLog, script: ConversationScript, first: int = 0) -> None:
    """Publish scripted events; their sequences become the log's."""
    for index in range(first, len(script.events)):
        event: ConversationEvent = script.events[index][1]
        script.events[index] = (await log.publish(event), event)


async def store_all(log: ConversationLog, store: Store, script: ConversationScript) -> None:
    """What the persister would have stored by now."""
    kept = StoredConversation(script.folded(), await log.epoch())
    held = await store.conversations.get(script.conversation)
    assert await store.conversations.put(kept, expected=None if held is None else held.place)


def placed(events: list[StoredConversationEvent]) -> list[tuple[int, ConversationEvent]]:
    return [(stored.seq, stored.event) for stored in events]


async def test_what_was_published_is_read_in_its_order(log: ConversationLog) -> None:
    """Events of one conversation come with their sequences, oldest first, from any place on; others' do not."""
    one, other = talk(900), talk(950)
    await write(log, one)
    await write(log, other)
    one.message(2, content="And wasps?")
    await write(log, one, 3)
    assert placed(await log.read(one.conversation)) == one.events
    assert placed(await log.read(one.conversation, after=one.events[1][0])) == one.events[2:]
    assert await log.read(one.conversation, after=one.events[-1][0]) == []
    assert await log.read(post_id(404)) == []
    assert await log.newest_seq(one.conversation) == one.events[-1][0]
    assert await log.newest_seq(post_id(404)) == 0


async def test_an_event_is_stored_once_however_often_it_is_sent(log: ConversationLog) -> None:
    """Sent again, an event has the sequence it had; nothing new is stored."""
    script = talk()
    await write(log, script)
    again = [await log.publish(event) for _, event in script.events[1:]]
    assert again == [seq for seq, _ in script.events[1:]]
    assert placed(await log.read(script.conversation)) == script.events


async def test_a_conversation_begins_once(log: ConversationLog) -> None:
    """Where it has any event, it cannot be begun again under another event id, not even after its log was trimmed."""
    script = talk()
    await write(log, script)
    again = script.events[0][1].model_copy(update={"id": "another"})
    with pytest.raises(WrongLastSequence):
        await log.publish(again)
    newest = script.events[-1][0]
    assert await log.purge(script.conversation, up_to=newest - 1) == 2
    with pytest.raises(WrongLastSequence):
        await log.publish(again)
    assert placed(await log.read(script.conversation)) == script.events[-1:]


async def test_a_long_history_is_read_whole(log: ConversationLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one batch is read as one."""
    monkeypatch.setattr("inkwire_chassis.conversation_log.BATCH_MESSAGES", 3)
    script = talk()
    for number in range(10, 17):
        script.message(number)
    await write(log, script)
    assert placed(await log.read(script.conversation)) == script.events


async def test_what_is_no_event_hides_nothing(log: ConversationLog) -> None:
    """Garbage on a conversation's subject takes its place; all that stands around it is read."""
    script = talk()
    await write(log, script)
    subject = subjects.conversation(script.conversation)
    bad = [(await log._jetstream.publish(subject, raw, {})).seq for raw in (b"\xff", b'{"type":"deleted"}')]
    script.message(2, content="after")
    await write(log, script, 3)
    found = await log.read(script.conversation)
    assert [stored.seq for stored in found if stored.event.type == UNREADABLE] == bad
    assert [pair for pair in placed(found) if pair[0] not in bad] == script.events


async def test_a_full_log_refuses_and_stores_nothing(nats_factory: NatsFactory) -> None:
    """Without room an event is refused by name; with room again the same event is stored."""
    server = nats_factory()
    plan = topology(events_max_bytes=16 * 1024**2, conversations_max_bytes=8 * 1024)
    async with open_log(server.url, plan) as events:
        log, script = ConversationLog(events.jetstream), talk()
        await write(log, script)
        script.message(2, content="x" * 7_000)
        with pytest.raises(StreamFull):
            await write(log, script, 3)
        assert 0.05 < await log.fill_ratio() < 0.5
        assert placed(await log.read(script.conversation)) == script.events[:3]
        roomy = topology(events_max_bytes=16 * 1024**2, conversations_max_bytes=64 * 1024)
        await provision(events.jetstream, roomy)
        await write(log, script, 3)
        assert placed(await log.read(script.conversation)) == script.events


async def test_a_reader_adds_the_log_to_the_store(log: ConversationLog, store: Store) -> None:
    """Nothing stored, all stored, a part stored and the stored part purged: a reader sees the same conversation."""
    script = talk()
    reader = ConversationReader(log, store.conversations)
    assert await reader.read(script.conversation) is None
    await write(log, script)
    read = await reader.read(script.conversation)
    assert read is not None and read.conversation == script.folded() and read.epoch == await log.epoch()
    assert [stored.seq for stored in read.events] == [seq for seq, _ in script.events]
    await store_all(log, store, script)
    stored = await reader.read(script.conversation)
    assert stored is not None and (stored.conversation, stored.events) == (script.folded(), ())
    script.message(2, content="And wasps?")
    script.title("Insects")
    await write(log, script, 3)
    await log.purge(script.conversation, up_to=script.events[2][0])
    joined = await reader.read(script.conversation)
    assert joined is not None and joined.conversation == script.folded()
    assert [stored.seq for stored in joined.events] == [seq for seq, _ in script.events[3:]]


async def test_a_tombstone_is_read_as_one(log: ConversationLog, store: Store) -> None:
    """A deleted conversation is told from one that never was, before and after it is stored and purged."""
    script = talk()
    script.deleted()
    await write(log, script)
    reader = ConversationReader(log, store.conversations)
    for _ in range(2):
        read = await reader.read(script.conversation)
        assert read is not None and (read.conversation.status, read.conversation.messages) == ("deleted", [])
        if await store.conversations.get(script.conversation) is None:
            await store_all(log, store, script)
            await log.purge(script.conversation, up_to=script.events[-1][0] - 1)


async def test_without_the_store_the_log_answers_if_it_is_whole(log: ConversationLog) -> None:
    """With the store away, a log from its beginning is enough; one that was trimmed, or is empty, tells nothing."""
    script = talk()
    await write(log, script)
    away = MemoryConversations(outages=[True] * 9)
    reader = ConversationReader(log, away)
    read = await reader.read(script.conversation)
    assert read is not None and read.conversation == script.folded()
    await log.purge(script.conversation, up_to=script.events[0][0])
    for conversation in (script.conversation, post_id(404)):
        with pytest.raises(StoreUnavailable):
            await reader.read(conversation)


async def test_a_lost_log_takes_nobodys_words(log: ConversationLog, store: Store) -> None:
    """After the stream was lost and made anew, readers see what was stored and then what was said since."""
    script = talk()
    await write(log, script)
    await store_all(log, store, script)
    await log._jetstream.api(f"STREAM.DELETE.{CONVERSATIONS}")
    await provision(log._jetstream, topology(conversations_max_bytes=8 * 1024**2, events_max_bytes=256 * 1024**2))
    reader = ConversationReader(log, store.conversations)
    read = await reader.read(script.conversation)
    assert read is not None and [m.content for m in read.conversation.messages] == ["What do bees eat?"]
    script.message(2, content="Are you there?")
    await write(log, script, 3)
    read = await reader.read(script.conversation)
    assert read is not None and read.epoch == await log.epoch()
    assert [m.content for m in read.conversation.messages] == ["What do bees eat?", "Are you there?"]
    assert [m.seq for m in read.conversation.messages] == sorted(m.seq for m in read.conversation.messages)


async def test_three_servers_answer_with_all_that_the_leader_has(
    nats_cluster: NatsCluster, cluster_url: str, tmp_path: Path
) -> None:
    """On three replicas a reader sees each event as soon as it was acknowledged, whichever server it asks."""
    async with AsyncExitStack() as stack:
        events = await stack.enter_async_context(open_log(cluster_url))
        store = await stack.enter_async_context(open_store(f"sqlite:///{tmp_path}/posts.sqlite3"))
        asked = [await stack.enter_async_context(connect_log(node.url)) for node in nats_cluster.nodes]
        readers = [ConversationReader(ConversationLog(log.jetstream), store.conversations) for log in asked]
        log, script = ConversationLog(events.jetstream), talk()

        async def begun() -> bool:
            await log.publish(script.events[0][1])
            return True

        await eventually(begun, what="the stream has a leader", ignoring=(BrokerError,))
        await write(log, script)
        for number in range(10, 16):
            script.message(number)
            await write(log, script, len(script.events) - 1)
            for reader in readers:
                read = await reader.read(script.conversation)
                assert read is not None and read.conversation == script.folded()
