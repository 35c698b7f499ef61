"""A conversation that is followed: order, holes, what readers may go on from, and what they get at first."""

from inkwire_contracts.client_frames import MAX_TEXT_FRAME_BYTES
from inkwire_contracts.conversations import ConversationCreated, MessageCreated, parse_conversation_event
from inkwire_gateway import live_conversation
from inkwire_gateway.dialects.native import NATIVE
from inkwire_gateway.live_conversation import LiveConversation, LoadedConversation, complete_after
from inkwire_gateway.live_log import Verdict
from inkwire_gateway.ring import Ring
from tests.unit.gateway.conversation_fakes import CONVERSATION, FakeConversations


def started(log: FakeConversations, since: int | None = None, ring: Ring | None = None) -> LiveConversation:
    live = LiveConversation(CONVERSATION, ring or Ring(100, 10**6), max_buffer=4)
    assert live.start(log.loaded(since)) is Verdict.OK
    return live


def test_live_messages_in_order() -> None:
    """Messages that follow are applied, repeated ones change nothing, one that leaves a hole says so."""
    log = FakeConversations().begin()
    live = started(log)
    one, two, three = log.say("one"), log.say("two"), log.say("three")
    assert live.offer(one.raw, one.seq, 6) is Verdict.OK
    assert live.offer(one.raw, one.seq, 6) is Verdict.OK
    assert live.offer(three.raw, three.seq, two.seq) is Verdict.GAP
    assert live.seq == one.seq
    assert live.refill([two]) is Verdict.OK, "the third was kept"
    assert live.conversation == log.truth


def test_a_buffer_that_overflows_is_a_gap() -> None:
    """What came while the log was read and was dropped is read from the log."""
    log = FakeConversations().begin()
    live = started(log)
    live.suspend()
    for n in range(6):
        said = log.say(str(n))
        assert live.offer(said.raw, said.seq, said.seq - 3) is (Verdict.GAP if n == 4 else Verdict.OK), "told once"
    assert live.refill([]) is Verdict.GAP
    assert live.refill(log.after(live.seq)) is Verdict.OK
    assert live.conversation == log.truth


def test_a_log_that_forgot_is_no_predecessor() -> None:
    """A message that has none before it any more may hide one that was never seen here."""
    log = FakeConversations().begin()
    live = started(log)
    missed, said = log.say("missed"), log.say("said")
    assert live.offer(said.raw, said.seq, 0) is Verdict.GAP
    assert live.refill([missed, said]) is Verdict.OK and live.conversation == log.truth


def test_members_are_the_roster_until_the_end() -> None:
    """Who is added is on it, who is removed is not, and after a deletion nobody is."""
    log = FakeConversations().begin()
    live = started(log)
    assert live.roster == {"ada", "bob"}
    for change, roster in (
        (log.member("eve"), {"ada", "bob", "eve"}),
        (log.member("bob", present=False), {"ada", "eve"}),
    ):
        live.offer(change.raw, change.seq, change.seq - 3)
        assert live.roster == roster
    end = log.delete()
    live.offer(end.raw, end.seq, end.seq - 3)
    assert live.roster == frozenset() and live.is_deleted


def test_what_means_nothing_keeps_its_place() -> None:
    """Bytes that are no event, and a message that was stored twice, reach readers as an event that changes nothing."""
    log = FakeConversations().begin()
    first = log.say("one", message="m" * 26)
    live = started(log)
    again = log.write(MessageCreated, first.event.data)  # type: ignore[attr-defined]
    assert live.offer(again.raw, again.seq, first.seq) is Verdict.OK
    assert live.offer(b"\xff not an event", again.seq + 5, again.seq) is Verdict.OK
    assert live.seq == live.ring.head == again.seq + 5
    cursor = first.seq
    for seq in (again.seq, again.seq + 5):
        batch = live.ring.batch_after(cursor, live.ring.head)
        assert batch is not None and batch.seq == seq and batch.name == "unknown"
        assert parse_conversation_event(batch.raw).type == "unreadable"
        cursor = seq
    assert [m.content for m in live.conversation.messages] == ["one"]


def test_seeding_reaches_back_as_far_as_it_is_whole() -> None:
    """The ring's floor is where nothing is missing after: a position, the beginning, or the first that is left."""
    log = FakeConversations().begin()
    for text in ("one", "two", "three"):
        log.say(text)
    assert started(log).ring.floor == log.truth.seq, "nothing was asked for"
    assert started(log, since=6).ring.floor == 6
    assert started(log, since=2).ring.floor == 0, "the beginning is there, so nothing is before it"
    log.purged = 9
    assert started(log, since=6).ring.floor == 12, "what was forgotten may have been more"
    small = started(log, since=12, ring=Ring(1, 10**6))
    assert small.ring.floor == 12 and len(small.ring) == 1
    assert complete_after([], 7) == 7


def test_deepening_goes_below_what_is_there() -> None:
    """Older events are added before those in memory, and none twice."""
    log = FakeConversations().begin()
    for text in ("one", "two", "three"):
        log.say(text)
    live = started(log, since=12)
    events = log.after(5)
    live.deepen(events, complete_after(events, 6))
    assert live.ring.floor == 6 and len(live.ring) == 3
    cursor, seen = 6, list[int]()
    while (batch := live.ring.batch_after(cursor, live.ring.head)) is not None:
        cursor = batch.seq
        seen.append(cursor)
    assert seen == [9, 12, 15]


def test_readers_get_the_newest_that_stand() -> None:
    """At most so many messages and so much JSON, the newest in any case; replaced ones are left out."""
    log = FakeConversations().begin()
    for n in range(live_conversation.NEWEST_MESSAGES + 5):
        log.say(f"text {n}")
    live = started(log)
    told = live.capture()
    assert told.older and len(told.conversation["messages"]) == live_conversation.NEWEST_MESSAGES
    assert told.conversation["messages"][-1]["content"] == f"text {live_conversation.NEWEST_MESSAGES + 4}"
    edit = log.say("instead", replaces=log.truth.messages[2].message)
    live.offer(edit.raw, edit.seq, edit.seq - 3)
    after = live.capture()
    assert [m["content"] for m in after.conversation["messages"]] == ["text 0", "text 1", "instead"]
    assert not after.older and after.seq == edit.seq
    for _ in range(20):
        long = log.say("\x01" * 1_500)
        live.offer(long.raw, long.seq, long.seq - 3)
    many = live.capture()
    assert many.older and 4 < len(many.conversation["messages"]) < 6
    assert 40_000 < len(NATIVE.conversation("conversation:c", many)) < MAX_TEXT_FRAME_BYTES
    longest = log.say("\x01" * 15_000)
    live.offer(longest.raw, longest.seq, longest.seq - 3)
    alone = live.capture()
    assert alone.older and [m["seq"] for m in alone.conversation["messages"]] == [longest.seq]


def test_a_conversation_that_begins_while_it_is_read() -> None:
    """What came during the load is added to it, once."""
    log = FakeConversations().begin()
    loaded = log.loaded(None)
    live = LiveConversation(CONVERSATION, Ring(10, 10**6), max_buffer=4)
    said = log.say("meanwhile")
    first = next(e for e in log.log if isinstance(e.event, ConversationCreated))
    live.offer(first.raw, first.seq, 0)
    live.offer(said.raw, said.seq, 6)
    assert live.start(LoadedConversation(loaded.conversation, "e")) is Verdict.OK
    assert live.conversation == log.truth and live.epoch == "e"
