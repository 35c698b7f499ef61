"""The fold of conversations, and the persister's way with it, over random lives."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwire_contracts.conversations import Conversation, encode_conversation_event, fold_conversation
from inkwire_contracts.fold import Outcome
from inkwire_persister.conversations import Headless, Held, Keep, Placed, SetBack, carry_on, join, read_after, trim
from inkwire_stores.conversation_ports import Cut, StoredConversation
from tests.contract.test_conversation_vectors import HERE
from tests.support.conversation_lives import Stored, conversations
from tests.support.conversation_logs import EPOCH, ConversationScript
from tests.support.node import STATIC, run_node
from tests.support.post_logs import post_id

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
CASES = settings(deadline=None, max_examples=120)
NAME = ConversationScript().conversation
NOW = "2026-11-21T12:00:00.000Z"


def fold_all(log: Sequence[Stored]) -> Conversation:
    conversation = Conversation(conversation=NAME)
    for seq, event in log:
        fold_conversation(conversation, event, seq)
    return conversation


@CASES
@given(log=conversations(), data=st.data())
def test_duplicates_and_late_copies_change_nothing(log: list[Stored], data: st.DataObject) -> None:
    """However often events come again after their place was taken, the conversation is that of the log."""
    conversation = Conversation(conversation=NAME)
    for index, (seq, event) in enumerate(log):
        assert fold_conversation(conversation, event, seq) is Outcome.APPLIED
        before = conversation.model_copy(deep=True)
        for again in data.draw(st.lists(st.integers(0, index), max_size=3)):
            assert fold_conversation(conversation, log[again][1], log[again][0]) is Outcome.DUPLICATE
        assert conversation == before
    assert conversation == fold_all(log)


@settings(deadline=None, max_examples=60)
@given(log=conversations(most=12), data=st.data())
def test_any_order_of_delivery_tells_the_log_or_a_gap(log: list[Stored], data: st.DataObject) -> None:
    """A reader that knows each event's predecessor never folds past a hole, and needs no order to come to the end."""
    order = data.draw(st.permutations(range(len(log))))
    before = [0, *(seq for seq, _ in log)]
    conversation = Conversation(conversation=NAME)
    for _ in log:
        for index in order:
            seq, event = log[index]
            reached = conversation.seq
            outcome = fold_conversation(conversation, event, seq, prev=before[index])
            assert (outcome is Outcome.GAP) == (before[index] > reached)
            assert conversation == fold_all([stored for stored in log if stored[0] <= conversation.seq])
    assert conversation == fold_all(log)


@CASES
@given(log=conversations(), data=st.data())
def test_a_messages_history_is_the_same_at_any_later_time(log: list[Stored], data: st.DataObject) -> None:
    """What stood before a message when it was written is told alike then and later, whatever was replaced since."""
    whole = fold_all(log)
    told: dict[str, list[str]] = {}
    conversation = Conversation(conversation=NAME)
    for seq, event in log:
        fold_conversation(conversation, event, seq)
        if conversation.messages and conversation.messages[-1].seq == seq:
            newest = conversation.messages[-1].message
            path = [message.message for message in conversation.path_to(newest)]
            assert path == [message.message for message in conversation.standing]
            told[newest] = path
    for message in whole.messages:
        assert [m.message for m in whole.path_to(message.message)] == told[message.message]
    assert whole.path_to(post_id(404)) == []


@CASES
@given(log=conversations())
def test_what_is_stored_comes_back_and_goes_on(log: list[Stored]) -> None:
    """A conversation cut anywhere, written as JSON and read again, folds to the same end."""
    for cut in range(len(log) + 1):
        conversation = Conversation.model_validate_json(fold_all(log[:cut]).model_dump_json())
        for seq, event in log[cut:]:
            fold_conversation(conversation, event, seq)
        assert conversation == fold_all(log)


@settings(deadline=None, max_examples=1)
@given(logs=st.lists(conversations(), min_size=150, max_size=150))
def test_the_page_folds_alike(logs: list[list[Stored]]) -> None:
    """The page's fold agrees with ours on every random conversation."""
    lines = [
        {
            "conversation": NAME,
            "events": [{"seq": seq, "event": json.loads(encode_conversation_event(event))} for seq, event in log],
        }
        for log in logs
    ]
    printed = run_node(
        HERE / "conversation_vectors.mjs", STATIC / "conversation_fold.js", stdin="\n".join(map(json.dumps, lines))
    )
    answers = [json.loads(line)["conversation"] for line in printed.strip().split("\n")]
    assert answers == [fold_all(log).model_dump(mode="json") for log in logs]


class _World:
    """A log that is read and purged, and what the persister makes of it."""

    def __init__(self, log: list[Stored]) -> None:
        self.log = log
        self.purged_up_to = 0
        self.stored: StoredConversation | None = None

    def read(self, after: int, up_to: int) -> list[Placed]:
        return [Placed(e, seq) for seq, e in self.log if max(after, self.purged_up_to) < seq <= up_to]

    def keep(self, up_to: int) -> None:
        at_least = max(up_to, self.stored.conversation.seq if self.stored else 0)
        events = self.read(read_after(self.stored, EPOCH), at_least)
        verdict = carry_on(self.stored, events, EPOCH, NOW)
        assert not isinstance(verdict, SetBack), "the event that was stored last is still in the log"
        if isinstance(verdict, Keep):
            assert verdict.expected == (self.stored.place if self.stored else None)
            self.stored = verdict.stored

    def trim(self) -> None:
        if self.stored is None or not self.stored.cut_at:
            return
        name, seq = self.stored.conversation.conversation, self.stored.conversation.seq
        decided = trim(Cut(name, seq, self.stored.cut_seq, self.stored.cut_at), NOW)
        assert decided.up_to < seq and decided.up_to <= self.stored.cut_seq
        self.purged_up_to = max(self.purged_up_to, decided.up_to)
        self.stored = StoredConversation(self.stored.conversation, EPOCH, decided.cut_seq, decided.cut_at)


@CASES
@given(log=conversations(), data=st.data())
def test_the_store_follows_the_log_however_bells_ring_and_whatever_is_purged(
    log: list[Stored], data: st.DataObject
) -> None:
    """Deliveries in any order, again or never, and purges at any time: what is stored is the log's fold, whole."""
    world = _World(log)
    places = [seq for seq, _ in log]
    rings = data.draw(st.lists(st.sampled_from([*places, 0]), max_size=12)) if places else []
    for ring in rings:
        if ring:
            world.keep(ring)
        else:
            world.trim()
        if world.stored is not None:
            assert world.stored.conversation == fold_all([s for s in log if s[0] <= world.stored.conversation.seq])
    if places:
        world.keep(places[-1])
    whole = fold_all(log)
    if whole.status == "unknown":
        assert world.stored is None
    else:
        assert world.stored is not None and world.stored.conversation == whole
        for _ in range(2):
            world.trim()
        assert world.read(0, places[-1]) == [Placed(log[-1][1], places[-1])] and world.stored.cut_at == ""


@CASES
@given(first=conversations(), second=conversations())
def test_a_log_begun_anew_comes_after_all_that_was_stored(first: list[Stored], second: list[Stored]) -> None:
    """After a lost log nothing that was said is gone, and messages' sequences stay unique and rising."""
    before = fold_all(first)
    stored = None if before.status == "unknown" else StoredConversation(before, "lost")
    events = [Placed(event, seq) for seq, event in second]
    verdict = carry_on(stored, events, EPOCH, NOW)
    if stored is None:
        assert isinstance(verdict, Headless) == (fold_all(second).status == "unknown")
    elif not events:
        assert isinstance(verdict, Held)
    else:
        assert isinstance(verdict, Keep) and verdict.expected == stored.place
        after = verdict.stored.conversation
        assert (after.seq, verdict.stored.epoch) == (second[-1][0], EPOCH)
        if after.status == "active":
            assert [m.message for m in after.messages][: len(before.messages)] == [m.message for m in before.messages]
        places = [message.seq for message in after.messages]
        assert places == sorted(set(places)) and all(place <= after.seq for place in places)
        assert join(verdict.stored, [], EPOCH, NOW) == Held()
