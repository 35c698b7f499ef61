"""The keeper of conversations over a store and a log in memory."""

from dataclasses import replace

import pytest

from inkwire_contracts.conversations import Conversation
from inkwire_persister.conversation_keeper import ConversationKeeper
from inkwire_persister.conversations import Placed
from inkwire_persister.counters import Counters
from inkwire_persister.keeper import TRIES, Contended, HistoryLost
from inkwire_persister.ports import LogUnavailable
from inkwire_stores.conversation_ports import MAX_CONVERSATION_BYTES, ConversationTooLarge, StoredConversation
from inkwire_stores.ports import StoreUnavailable
from tests.support.clock import ManualClock
from tests.support.conversation_logs import EPOCH, ConversationScript
from tests.support.memory_conversations import MemoryConversationLog, MemoryConversations
from tests.support.post_logs import post_id


class World:
    """A keeper of one conversation: its beginning, a question and a reaction."""

    def __init__(self) -> None:
        self.script = ConversationScript()
        self.script.created(title="Bees")
        self.script.message(1, content="What do bees eat?")
        self.script.reaction(1, "👍")
        self.store, self.counters = MemoryConversations(), Counters()
        self.log = MemoryConversationLog(self.placed)
        self.keeper = ConversationKeeper(self.store, self.log, self.counters, ManualClock())

    @property
    def placed(self) -> list[Placed]:
        return [Placed(event, seq) for seq, event in self.script.events]

    def wrote(self) -> Placed:
        """The log holds what was scripted meanwhile; the newest of it."""
        self.log.events_stored = self.placed
        return self.placed[-1]

    async def keep(self, *deliveries: Placed) -> None:
        await self.keeper.keep(deliveries, self.log.name)

    @property
    def stored(self) -> StoredConversation:
        return self.store.conversations[self.script.conversation]


async def test_a_batch_is_one_write() -> None:
    """All events of a conversation that came together are stored by a single put, folded as the log says."""
    world = World()
    await world.keep(*world.placed)
    assert world.stored.conversation == world.script.folded()
    assert (world.stored.epoch, world.store.puts) == (EPOCH, 1)
    assert (world.counters.conversation_events_stored, world.counters.conversations_written) == (3, 1)


async def test_a_redelivery_writes_nothing() -> None:
    """What is stored already is only acknowledged."""
    world = World()
    await world.keep(*world.placed)
    for placed in world.placed:
        await world.keep(placed)
    assert (world.store.puts, world.counters.conversation_events_stored) == (1, 6)


async def test_a_gap_is_read_from_the_log() -> None:
    """The newest event alone brings the conversation to the log's end, read from where the store is."""
    world = World()
    await world.keep(world.placed[0])
    world.script.message(2, content="And wasps?")
    world.script.title("Insects")
    await world.keep(world.wrote())
    assert world.stored.conversation == world.script.folded()
    assert world.log.reads == [0, 2]


async def test_who_was_slower_decides_anew() -> None:
    """Another persister stored more meanwhile: nothing is overwritten, nothing lost."""
    world = World()
    await world.keep(*world.placed)
    world.script.message(2, content="theirs")
    theirs = StoredConversation(world.script.folded(), EPOCH)
    world.script.message(3, content="ours")
    world.store.lost_races.append(theirs)
    await world.keep(world.wrote())
    assert world.stored.conversation == world.script.folded()


async def test_a_race_that_is_always_lost_ends() -> None:
    """After TRIES lost races the events are given back instead of trying for ever."""
    world = World()
    await world.keep(*world.placed)
    world.script.message(2)
    newest = world.wrote()
    others = [replace(world.stored, epoch=f"other {n}") for n in range(TRIES)]
    world.store.lost_races.extend(others)
    with pytest.raises(Contended):
        await world.keep(newest)
    assert world.counters.conversation_events_stored == 3


async def test_an_outage_stores_nothing_and_counts_nothing() -> None:
    """Store or log away: the error goes up, and the same events are stored afterwards."""
    world = World()
    world.store.outages.append(True)
    with pytest.raises(StoreUnavailable):
        await world.keep(*world.placed)
    world.log.outages.append(True)
    with pytest.raises(LogUnavailable):
        await world.keep(*world.placed)
    assert world.store.conversations == {} and world.counters.conversation_events_stored == 0
    await world.keep(*world.placed)
    assert world.stored.conversation == world.script.folded()


async def test_without_its_beginning_history_is_lost() -> None:
    """Neither store nor log know who began it: that is told, loudly, and nothing half is stored."""
    world = World()
    world.log.events_stored = world.placed[1:]
    with pytest.raises(HistoryLost):
        await world.keep(world.placed[1])
    assert world.store.conversations == {} and world.counters.lost_conversations == 1


async def test_another_log_goes_on_from_what_is_stored() -> None:
    """The broker lost its log: what the new one holds comes after all that is stored, whatever its sequences."""
    world = World()
    world.script.seq = 100
    world.script.message(2, content="at 101")
    await world.keep(world.wrote())
    world.log.name = "later"
    world.log.events_stored = [Placed(world.script.message(3, content="anew"), 1)]
    await world.keep(*world.log.events_stored)
    assert world.stored.place == ("later", 1)
    assert [m.seq for m in world.stored.conversation.messages] == [-99, 0, 1]
    assert [m.content for m in world.stored.conversation.messages][1:] == ["at 101", "anew"]


async def test_a_log_that_was_set_back_loses_nobodys_words() -> None:
    """The same log from a backup: its new events stand where stored ones did, and are stored nonetheless."""
    world = World()
    world.script.message(2, content="lost with the disk")
    await world.keep(world.wrote())
    world.script.events.pop()
    world.script.seq = 9
    world.script.message(3, content="new")
    await world.keep(world.wrote())
    contents = [message.content for message in world.stored.conversation.messages]
    assert contents == ["What do bees eat?", "lost with the disk", "new"]
    assert world.stored.place == (EPOCH, 10)


async def test_after_a_deletion_only_the_place_moves() -> None:
    """A reaction that came too late is acknowledged and means nothing."""
    world = World()
    world.script.deleted()
    await world.keep(world.wrote())
    world.script.reaction(1, "👍")
    await world.keep(world.wrote())
    found = world.stored.conversation
    assert (found.status, found.messages, found.seq) == ("deleted", [], 5)


async def test_one_too_large_says_so() -> None:
    """What the store can never hold goes up as such; what it held stays."""
    world = World()
    await world.keep(*world.placed)
    held: Conversation = world.stored.conversation.model_copy(deep=True)
    world.stored.conversation.messages[0].content = "x" * MAX_CONVERSATION_BYTES
    world.script.message(2)
    with pytest.raises(ConversationTooLarge):
        await world.keep(world.wrote())
    assert world.stored.conversation.seq == held.seq


async def test_the_janitors_note_stays_until_it_is_used() -> None:
    """The first store sets the cut, later ones leave it, and one after everything was cut sets it anew."""
    world = World()
    await world.keep(*world.placed)
    first = (world.stored.cut_seq, world.stored.cut_at)
    assert first[0] == 3 and first[1]
    world.script.message(2)
    await world.keep(world.wrote())
    assert (world.stored.cut_seq, world.stored.cut_at) == first
    await world.store.move_cut(world.script.conversation, expected=world.stored.place, cut_seq=4, cut_at="")
    world.script.message(3)
    await world.keep(world.wrote())
    assert (world.stored.cut_seq, world.stored.cut_at) == (5, first[1])
    assert post_id(3) == world.stored.conversation.messages[-1].message
