"""The janitor of conversations over a store and a log in memory."""

from datetime import timedelta

import pytest

from inkwire_chassis.clock import rfc3339
from inkwire_persister import conversation_janitor
from inkwire_persister.conversation_janitor import MIN_AGE_S, ConversationJanitor
from inkwire_persister.conversation_keeper import ConversationKeeper
from inkwire_persister.conversations import Placed
from inkwire_persister.counters import Counters
from inkwire_persister.janitor import Limits
from tests.support.clock import ManualClock
from tests.support.conversation_logs import ConversationScript
from tests.support.memory_conversations import MemoryConversationLog, MemoryConversations
from tests.support.post_logs import post_id

HOUR_S = 3_600.0
LIMITS = Limits(after_s=6 * HOUR_S, pressed_after_s=60.0, pressure_ratio=0.6)


class World:
    """A janitor, and a keeper that stores what is said."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock, self.counters = ManualClock(), Counters()
        self.store, self.log = MemoryConversations(), MemoryConversationLog()
        self.keeper = ConversationKeeper(self.store, self.log, self.counters, self.clock)
        self.janitor = ConversationJanitor(self.store, self.log, self.counters, self.clock, limits)

    async def say(self, script: ConversationScript, number: int) -> None:
        """A conversation's beginning or next message, stored."""
        before = len(script.events)
        if not before:
            script.created()
        script.message(number)
        placed = [Placed(event, seq) for seq, event in script.events[before:]]
        self.log.events_stored += placed
        await self.keeper.keep(placed, self.log.name)

    def left(self, script: ConversationScript) -> list[int]:
        """Sequences of what the log still has."""
        return [placed.seq for placed in self.log.events_stored if placed.event.conversation == script.conversation]


async def test_what_is_stored_and_old_leaves_the_log_but_for_the_newest() -> None:
    """After the retention only a conversation's last event is in the log, and then nothing is left to do."""
    world, script = World(), ConversationScript()
    await world.say(script, 1)
    world.clock.advance(6 * HOUR_S - 1)
    assert not await world.janitor.round() and world.left(script) == [1, 2]
    world.clock.advance(2)
    await world.janitor.round()
    assert world.left(script) == [2]
    assert world.counters.purged_conversation_events == 1
    stored = world.store.conversations[script.conversation]
    assert (stored.cut_at, stored.conversation) == ("", script.folded())


async def test_what_is_newer_stays_as_long_again() -> None:
    """In a conversation that goes on nothing leaves early, and nothing stays for more than twice the retention."""
    world, script = World(), ConversationScript()
    await world.say(script, 1)
    world.clock.advance(5 * HOUR_S)
    await world.say(script, 2)
    world.clock.advance(2 * HOUR_S)
    await world.janitor.round()
    assert world.left(script) == [3]
    await world.say(script, 3)
    world.clock.advance(5 * HOUR_S)
    await world.janitor.round()
    assert world.left(script) == [3, 4]
    world.clock.advance(2 * HOUR_S)
    await world.janitor.round()
    assert world.left(script) == [4]


async def test_what_is_not_stored_never_leaves() -> None:
    """However old the events are, nothing beyond the store's place is purged."""
    world, script = World(), ConversationScript()
    await world.say(script, 1)
    script.message(2)
    script.message(3)
    world.log.events_stored += [Placed(event, seq) for seq, event in script.events[2:]]
    world.clock.advance(99 * HOUR_S)
    for _ in range(3):
        await world.janitor.round()
    assert world.left(script) == [2, 3, 4]


async def test_a_filling_log_is_emptied_sooner() -> None:
    """Under pressure a minute is enough, the next round comes soon, and with room again it is as before."""
    world, script = World(), ConversationScript()
    await world.say(script, 1)
    world.clock.advance(61)
    world.log.ratio = 0.7
    assert await world.janitor.round()
    assert world.left(script) == [2]
    world.log.ratio = 0.1
    await world.say(script, 2)
    world.clock.advance(61)
    assert not await world.janitor.round()
    assert world.left(script) == [2, 3]


async def test_a_reader_between_store_and_log_is_given_time() -> None:
    """Without any retention events still stay for MIN_AGE_S."""
    world, script = World(Limits(0.0, 0.0, 0.5)), ConversationScript()
    await world.say(script, 1)
    world.clock.advance(MIN_AGE_S)
    await world.janitor.round()
    assert world.left(script) == [1, 2]
    world.clock.advance(1)
    await world.janitor.round()
    assert world.left(script) == [2]


async def test_one_that_moved_on_is_trimmed_later() -> None:
    """A message stored between the janitor's look and its note keeps the cut due, and nothing of it is purged."""
    world, script = World(), ConversationScript()
    await world.say(script, 1)
    world.clock.advance(7 * HOUR_S)
    due = rfc3339(world.clock.now() - timedelta(hours=6))
    (cut,) = await world.store.due_cuts(epoch=world.log.name, before=due, limit=5)
    await world.say(script, 2)
    await world.janitor._trim(cut, world.log.name)
    assert world.left(script) == [2, 3]
    assert (await world.store.due_cuts(epoch=world.log.name, before=due, limit=5))[0].cut_seq == 2
    await world.janitor.round()
    assert world.left(script) == [3]


async def test_of_another_log_nothing_is_purged() -> None:
    """Sequences that were stored from a lost log mean nothing in the one that is there."""
    world, script = World(), ConversationScript()
    await world.say(script, 1)
    world.log.name = "later"
    world.clock.advance(7 * HOUR_S)
    await world.janitor.round()
    assert world.left(script) == [1, 2]


@pytest.mark.parametrize("away", ["store", "log"])
async def test_an_outage_is_survived(away: str) -> None:
    """The round ends without an error, and a later one does the work."""
    world, script = World(), ConversationScript()
    await world.say(script, 1)
    world.clock.advance(7 * HOUR_S)
    (world.store if away == "store" else world.log).outages.extend([False, True])
    assert not await world.janitor.round()
    await world.janitor.round()
    assert world.left(script) == [2]


async def test_a_round_is_bounded_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many due conversations one round trims a part and asks to be called soon."""
    monkeypatch.setattr(conversation_janitor, "PAGE", 2)
    monkeypatch.setattr(conversation_janitor, "ROUND_PAGES", 2)
    world = World()
    scripts = [ConversationScript(post_id(500 + n)) for n in range(5)]
    for number, script in enumerate(scripts):
        script.seq = 10 * number
        await world.say(script, 1)
    world.clock.advance(7 * HOUR_S)
    assert await world.janitor.round()
    assert sum(len(world.left(script)) for script in scripts) == 6
    assert not await world.janitor.round()
    assert all(len(world.left(script)) == 1 for script in scripts)
