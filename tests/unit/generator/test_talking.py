"""The conversation around one attempt at a reply."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from inkwire_chassis.jetstream import BrokerError
from inkwire_contracts.commands import Job
from inkwire_contracts.conversations import Conversation, ConversationEvent, TitleChanged
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import RequestedData, Turn
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator.context import NO_TALK
from inkwire_generator.pulse import Pulse
from inkwire_generator.talking import Talking
from inkwire_stores.ports import StoreUnavailable
from tests.support.clock import ManualClock
from tests.support.conversation_logs import ConversationScript
from tests.support.post_logs import TIME, post_id


@dataclass
class FakeTalks:
    """A conversation in memory; ``outages`` are consumed one a read."""

    script: ConversationScript | None
    posts: dict[str, Snapshot] = field(default_factory=dict)
    outages: list[Exception | None] = field(default_factory=list)
    published: list[ConversationEvent] = field(default_factory=list)
    reads: int = 0

    async def read(self, conversation: str) -> Conversation | None:
        self.reads += 1
        if self.outages and (outage := self.outages.pop(0)) is not None:
            raise outage
        return None if self.script is None else self.script.folded()

    async def publish(self, event: ConversationEvent) -> None:
        self.published.append(event)
        if self.script is not None:
            self.script.seq += 1
            self.script.events.append((self.script.seq, event))

    async def post(self, owner: str, post: str) -> Snapshot | None:
        return self.posts.get(post)


def begun(**data: Any) -> ConversationScript:
    """A conversation without a message."""
    script = ConversationScript()
    script.created(name="Ana", **data)
    return script


def job_of(script: ConversationScript | None = None, *, turn: bool = True) -> Job:
    """A reply's job, with its two messages."""
    other = ConversationScript()
    other.created()
    question = other.message(1, content="What do bees eat?\n\nTell me.")
    answer = other.message(2, role="assistant", reply_to=post_id(1), post=post_id(3))
    place = Turn(conversation=other.conversation, message=post_id(1), reply=post_id(2))
    request = RequestedData(title="What do bees eat?", recipe="chat", turn=place if turn else None)
    messages = [question, answer] if turn else []
    values = {"post": post_id(3), "owner": "ana", "run": 1, "time": TIME, "request": request, "messages": messages}
    return Job.model_validate(values)


def talking(talks: FakeTalks, job: Job | None = None) -> Talking:
    """For an attempt at the job."""
    clock = ManualClock()
    return Talking(talks, clock, Pulse(clock.monotonic_s(), 30.0), job or job_of())


def post_with(**data: Any) -> Snapshot:
    """The reply's own post, with these sections' data."""
    sections = [Section(section=name, in_document=False, status="done", data=value) for name, value in data.items()]
    return Snapshot(post=post_id(3), sections=sections)


async def test_missing_messages_are_written_once() -> None:
    """In their order, and not again by the next attempt."""
    talks = FakeTalks(begun())
    await talking(talks).announce()
    assert [event.data.message for event in talks.published] == [post_id(1), post_id(2)]  # type: ignore[attr-defined]
    await talking(talks).announce()
    assert len(talks.published) == 2


async def test_only_what_is_missing_is_written() -> None:
    """The api may have died between the two."""
    talks = FakeTalks(begun())
    assert talks.script is not None
    talks.script.message(1, content="What do bees eat?\n\nTell me.")
    await talking(talks).announce()
    assert [event.id for event in talks.published] == [job_of().messages[1].id]


@pytest.mark.parametrize("outage", [StoreUnavailable("away"), ValueError("a damaged record")])
async def test_without_the_store_they_are_written_all_the_same(outage: Exception) -> None:
    """Twice they mean nothing more; a promised message is never lost, and what breaks breaks under the claim."""
    talks = FakeTalks(begun(), outages=[outage])
    attempt = talking(talks)
    await attempt.announce()
    assert len(talks.published) == 2
    await attempt.recall()
    assert attempt.talk.question is not None


async def test_a_broker_that_is_away_is_met_before_the_claim() -> None:
    """Nothing is known to be written, so the job is handed back."""
    with pytest.raises(BrokerError):
        await talking(FakeTalks(begun(), outages=[BrokerError("away")])).announce()


async def test_a_deleted_conversation_gets_no_words_and_ends_the_run() -> None:
    """Its reply's run fails with the code, and asks no model for a title."""
    script = begun()
    script.deleted()
    for gone in (script, None):
        talks = FakeTalks(gone)
        attempt = talking(talks)
        await attempt.announce()
        await attempt.recall()
        with pytest.raises(InkwireError, match="deleted"):
            attempt.require()
        await attempt.entitle(post_with(title={"title": "Bees"}))
        assert talks.published == []


async def test_it_is_read_once_where_nothing_was_missing() -> None:
    """What stood before a question never changes."""
    talks = FakeTalks(begun())
    await talking(talks).announce()
    talks.reads = 0
    attempt = talking(talks)
    await attempt.announce()
    await attempt.recall()
    attempt.require()
    assert talks.reads == 1 and attempt.talk.question is not None
    assert attempt.talk.question.text.startswith("What do bees eat?")


async def test_a_store_that_is_away_stops_the_recall() -> None:
    """A reply that forgot the conversation would be worse than a late one."""
    talks = FakeTalks(begun(), outages=[None, StoreUnavailable("away")])
    attempt = talking(talks)
    await attempt.announce()
    with pytest.raises(StoreUnavailable):
        await attempt.recall()


@pytest.mark.parametrize(("found", "title"), [({"title": "Food of bees"}, "Food of bees"), (None, "What do bees eat?")])
async def test_an_untitled_conversation_gets_a_title(found: dict[str, str] | None, title: str) -> None:
    """Generated, by the post's own id, so that doing it again changes nothing."""
    talks = FakeTalks(begun())
    attempt = talking(talks)
    await attempt.announce()
    await attempt.recall()
    await attempt.entitle(post_with(title=found))
    await attempt.entitle(post_with(title=found))
    assert talks.script is not None and talks.script.folded().title == title
    [event] = [event for event in talks.published if isinstance(event, TitleChanged)]
    assert (event.id, event.by, event.data.generated) == (f"{post_id(3)}.title", "ana", True)


async def test_a_title_that_came_meanwhile_stays() -> None:
    """Whoever gave it; without the store it is sent, and the fold keeps what a person gave."""
    for outages in ([], [None, None, StoreUnavailable("away")]):
        talks = FakeTalks(begun(), outages=list(outages))
        attempt = talking(talks)
        await attempt.announce()
        await attempt.recall()
        assert talks.script is not None
        talks.script.title("Ours")
        await attempt.entitle(post_with(title={"title": "Food of bees"}))
        assert talks.script.folded().title == "Ours"
        assert len(talks.published) == 2 + bool(outages)


async def test_a_conversation_with_a_title_is_not_asked_again() -> None:
    """Nothing is read or written for it."""
    talks = FakeTalks(begun(title="Bees"))
    attempt = talking(talks)
    await attempt.announce()
    await attempt.recall()
    reads = talks.reads
    await attempt.entitle(post_with())
    assert talks.reads == reads and len(talks.published) == 2


async def test_a_post_of_its_own_has_no_conversation() -> None:
    """Nothing is read or written."""
    talks = FakeTalks(None, outages=[BrokerError("never asked")])
    attempt = talking(talks, job_of(turn=False))
    await attempt.announce()
    await attempt.recall()
    attempt.require()
    await attempt.entitle(post_with())
    assert attempt.talk is NO_TALK and talks.reads == 0
