"""Saying something: what is committed when, and what comes of every death and race on the way."""

import asyncio
from typing import Any

import pytest

from inkwire_api.messages import MessageWish, answer_id, note_id, post_of_key, post_of_regeneration, question_id
from inkwire_api.messaging import MAX_STOPPED
from inkwire_api.posts import Limits
from inkwire_contracts.commands import Job
from inkwire_contracts.conversations import (
    MAX_MESSAGES,
    ConversationDeleted,
    ConversationDeletedData,
    ConversationEvent,
    MemberChanged,
    MemberData,
    MessageCreated,
    MessageData,
)
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.ids import idempotent_post_id
from inkwire_stores.ports import StoredPost, StoreUnavailable
from tests.support.api_conversations import TALK, TalkWorld, principal
from tests.support.api_fakes import EPOCH, FakeBroker
from tests.support.documents import uploaded

KEY = "my-message-1"
POST = post_of_key(TALK, "ana", KEY)
OTHER = idempotent_post_id("ana", "other")


@pytest.fixture
def world() -> TalkWorld:
    return TalkWorld("ben")


async def refusal(world: TalkWorld, *said: Any, **wish: Any) -> str:
    """The code of the error that saying something ends in."""
    with pytest.raises(InkwireError) as caught:
        await world.say(*said, **wish)
    return caught.value.code


async def test_a_message_is_committed_by_its_replys_job(world: TalkWorld) -> None:
    """The job, then both messages, then ``requested``; each names the others, and the owner has the post."""
    said = await world.say("Why?\nTell me.", by="ben")
    [job] = world.broker.jobs.values()
    assert said.answer is not None and said.answer.post == job.post
    assert [message.message for message in world.talk.messages] == [question_id(job.post), answer_id(job.post)]
    assert (job.owner, job.request.title, job.request.recipe) == ("ana", "Why?", "chat")
    assert job.request.turn is not None
    assert (job.request.turn.message, job.request.turn.reply) == (said.message.message, said.answer.message)
    assert [event.data.message for event in job.messages] == [said.message.message, said.answer.message]
    assert (said.message.author, said.answer.author, said.answer.reply_to) == ("ben", None, said.message.message)
    assert world.broker.requested["ana", job.post] is job


async def test_nothing_is_said_before_the_job_is_stored(world: TalkWorld) -> None:
    """And nothing is requested before it is said."""
    order: list[str] = []

    class Watched(FakeBroker):
        async def publish(self, job: Job, *, msg_id: str | None = None) -> Any:
            order.append("job")
            return await super().publish(job, msg_id=msg_id)

        async def ensure_requested(self, job: Job) -> None:
            order.append("requested")
            await super().ensure_requested(job)

    world.broker = Watched()
    world.talks.before_publish = lambda event: order.append(event.type)
    await world.say()
    assert order == ["job", "message_created", "message_created", "requested"]


async def test_a_message_without_a_reply_is_its_event_alone(world: TalkWorld) -> None:
    """No job, no post."""
    said = await world.say("By the way.", by="ben", reply=False)
    assert said.answer is None and not world.broker.jobs
    assert [m.content for m in world.talk.messages] == ["By the way."]


async def test_the_same_key_says_it_once(world: TalkWorld) -> None:
    """From any process, with an answer and without."""
    for key, wish in ((KEY, {}), ("note", {"reply": False})):
        first, again = await world.say(key=key, **wish), await world.say(key=key, **wish)
        assert (first.replayed, again.replayed) == (False, True)
        assert (first.message.message, first.answer) == (again.message.message, again.answer)
    assert len(world.broker.jobs) == 1 and len(world.talk.messages) == 3


@pytest.mark.parametrize("change", [{"reply": False}, {"priority": "high"}, {"documents": (1,)}])
async def test_the_same_key_with_another_body_is_refused(world: TalkWorld, change: dict[str, Any]) -> None:
    """Also where only the answer is not wanted any more; what stands stays."""
    await world.documents.add(uploaded(1), limit=10)
    await world.say(key=KEY)
    assert await refusal(world, "Other", key=KEY) == "idempotency_mismatch"
    assert await refusal(world, key=KEY, **change) == "idempotency_mismatch"
    assert len(world.talk.messages) == 2
    await world.say(key="note", reply=False)
    assert await refusal(world, "Other", key="note", reply=False) == "idempotency_mismatch"
    assert await refusal(world, key="note") == "idempotency_mismatch"


async def test_keys_belong_to_their_callers(world: TalkWorld) -> None:
    """Two members may use the same one."""
    mine, theirs = await world.say(key=KEY), await world.say("Else", by="ben", key=KEY)
    assert mine.message.message != theirs.message.message and not theirs.replayed


class Died(Exception):
    """The process is gone."""


async def die(world: TalkWorld, before: str, *, key: str | None = KEY) -> None:
    """An api stores the job and is killed before it writes the event of that number, or ``requested``."""
    count = 0

    def killed(_event: ConversationEvent) -> None:
        nonlocal count
        count += 1
        if before == f"message {count}":
            raise Died

    class Dying(FakeBroker):
        async def ensure_requested(self, job: Job) -> None:
            raise Died

    if before == "requested":
        dying = Dying(jobs=world.broker.jobs, window=world.broker.window)
        with pytest.raises(Died):
            await world.messages(jobs=dying, log=dying).say(principal(), TALK, MessageWish("Why?"), key=key)
        world.broker.sequence = dying.sequence
        return
    world.talks.before_publish = killed
    with pytest.raises(Died):
        await world.say(key=key)
    world.talks.before_publish = None


@pytest.mark.parametrize("before", ["message 1", "message 2", "requested"])
async def test_a_message_whose_api_died_is_completed_by_the_next(world: TalkWorld, before: str) -> None:
    """From the stored job, with its time; the second request is answered as a replay."""
    await die(world, before)
    world.clock.advance(60)
    said = await world.say(key=KEY)
    [job] = world.broker.jobs.values()
    assert said.replayed and world.broker.requested["ana", POST] is job
    assert [m.message for m in world.talk.messages] == [question_id(POST), answer_id(POST)]
    assert {m.created_at for m in world.talk.messages} == {job.time}


async def test_another_body_after_a_death_is_refused(world: TalkWorld) -> None:
    """What the stored job says was said."""
    await die(world, "message 1")
    assert await refusal(world, "Other", key=KEY) == "idempotency_mismatch"
    assert not world.talk.messages and not world.broker.requested


async def test_a_worker_may_be_faster(world: TalkWorld) -> None:
    """It finds the job of a dead api, writes what is missing, and finishes it; the next request finds all that."""
    await die(world, "message 1")
    [job] = world.broker.jobs.values()
    for event in job.messages:
        world.talks.put(event)
    world.broker.finish(job.post)
    said = await world.say(key=KEY)
    assert said.replayed and said.answer is not None and not world.broker.jobs


async def test_a_lost_verdict_is_asked_for_again(world: TalkWorld) -> None:
    """Of the job, and of each message: stored once."""
    world.broker.silent_publishes = world.talks.silent_publishes = 1
    said = await world.say()
    assert not said.replayed and len(world.broker.jobs) == 1 and len(world.talk.messages) == 2


async def test_a_silent_broker_promises_nothing(world: TalkWorld) -> None:
    """503 once the time is over."""
    world.talks.down = True
    with pytest.raises(InkwireError) as caught:
        await world.messages(timeout_s=0.05).say(principal(), TALK, MessageWish("Why?"), key=None)
    assert caught.value.code == "broker_unavailable" and not world.broker.jobs


async def test_two_members_at_once(world: TalkWorld) -> None:
    """Both messages stand, both are answered."""
    await asyncio.gather(world.say("One"), world.say("Two", by="ben"))
    assert {m.content for m in world.talk.standing if m.role == "user"} == {"One", "Two"}
    assert len(world.broker.requested) == 2 and len(world.talk.standing) == 4


async def test_the_same_request_at_once(world: TalkWorld) -> None:
    """One message, one answer, two equal answers."""
    one, two = await asyncio.gather(world.say(key=KEY), world.say(key=KEY))
    assert (one.message, one.answer) == (two.message, two.answer)
    assert len(world.broker.jobs) == 1 and len(world.talk.messages) == 2


async def test_an_edit_supersedes_and_stops_what_is_being_written(world: TalkWorld) -> None:
    """The old message, its answer, and all after it; the newest answers cost nothing any more."""
    first = await world.say()
    for n in range(MAX_STOPPED + 1):
        await world.say(f"And {n}?", by="ben")
    old = [m.post for m in world.talk.messages if m.post]
    said = await world.say("Why not?", replaces=first.message.message)
    assert [m.message for m in world.talk.standing] == [said.message.message, said.answer and said.answer.message]
    assert world.steering.done == [("cancel", "ana", post) for post in old[-MAX_STOPPED:]]


async def test_an_edit_goes_on_where_the_old_answer_cannot_be_stopped(world: TalkWorld) -> None:
    """It only costs."""
    first = await world.say()
    assert first.answer is not None and first.answer.post is not None
    world.steering.refuse[first.answer.post] = "broker_unavailable"
    assert not (await world.say("Else", replaces=first.message.message)).replayed


async def test_an_edit_of_what_was_replaced_meanwhile(world: TalkWorld) -> None:
    """Refused where it is known; of two at once the later one stands, and the other answer costs nothing any more."""
    first = await world.say()
    await world.say("Second", replaces=first.message.message)
    assert await refusal(world, "Third", replaces=first.message.message) == "unknown_message"

    second = world.talk.standing[0].message
    world.steering.done.clear()
    one, two = await asyncio.gather(world.say("A", replaces=second), world.say("B", replaces=second))
    assert one.answer is not None and two.answer is not None
    standing = [m.message for m in world.talk.standing]
    [(won, lost)] = [(x, y) for x, y in ((one, two), (two, one)) if x.message.message == standing[0]]
    assert won.answer is not None and lost.answer is not None
    assert standing == [won.message.message, won.answer.message]
    assert ("cancel", "ana", lost.answer.post) in world.steering.done
    assert ("cancel", "ana", won.answer.post) not in world.steering.done


async def test_only_the_author_edits(world: TalkWorld) -> None:
    """Not even the owner."""
    theirs = await world.say(by="ben")
    assert await refusal(world, "No", replaces=theirs.message.message) == "author_only"


async def test_regenerating_twice_is_once(world: TalkWorld) -> None:
    """By two members, one after the other or at once: one new post, in the old answer's place."""
    said = await world.say(options={"instructions": "Be brief."}, priority="high")
    assert said.answer is not None and said.answer.post is not None
    world.answered(said.answer.post)
    old = said.answer.message
    one, two = await asyncio.gather(*(world.messages().regenerate(principal(by), TALK, old) for by in ("ana", "ben")))
    later = await world.messages().regenerate(principal("ben"), TALK, old)
    assert one.answer == two.answer == later.answer and later.replayed
    assert one.answer is not None and one.answer.post == post_of_regeneration(old)
    assert [m.message for m in world.talk.standing] == [said.message.message, one.answer.message]
    [job] = world.broker.jobs.values()
    assert (job.request.options["instructions"], job.request.priority) == ("Be brief.", "high")
    assert job.request.turn is not None and job.request.turn.message == said.message.message


async def test_regenerating_what_cannot_be(world: TalkWorld) -> None:
    """A question, something unknown, an answer in whose place something else stands."""
    said = await world.say()
    assert said.answer is not None
    await world.say("Else", replaces=said.message.message)
    for message, code in (
        (said.message.message, "not_a_reply"),
        (OTHER, "unknown_message"),
        (said.answer.message, "unknown_message"),
    ):
        with pytest.raises(InkwireError) as caught:
            await world.messages().regenerate(principal(), TALK, message)
        assert caught.value.code == code


async def test_an_answer_whose_post_is_gone_is_written_anew(world: TalkWorld) -> None:
    """By the question and the conversation's options."""
    question = MessageData(message=question_id(OTHER), role="user", author="ben", content="Why?")
    answer = MessageData(message=answer_id(OTHER), role="assistant", reply_to=question.message, post=OTHER)
    for data in (question, answer):
        world.put(MessageCreated, data, data.message)
    await world.messages().regenerate(principal(), TALK, answer.message)
    [job] = world.broker.jobs.values()
    assert (job.request.title, job.request.recipe, job.owner) == ("Why?", "chat", "ana")


async def test_a_reply_that_comes_after_the_deletion_goes_with_it(world: TalkWorld) -> None:
    """The job was stored, then the conversation deleted: the post is deleted, and the caller told."""

    def delete(event: ConversationEvent) -> None:
        if isinstance(event, MessageCreated):
            world.put(ConversationDeleted, ConversationDeletedData(), "gone")

    world.talks.before_publish = delete
    assert await refusal(world) == "conversation_gone"
    [job] = world.broker.jobs.values()
    assert world.steering.done == [("delete", "ana", job.post)]


async def test_strangers_and_those_who_were_removed_find_nothing(world: TalkWorld) -> None:
    """Whatever they ask for."""
    world.put(MemberChanged, MemberData(user="ben", present=False), "remove")
    for by in ("ben", "eve"):
        assert await refusal(world, by=by) == "not_found"
    assert not world.broker.jobs


async def test_a_full_conversation_takes_no_more(world: TalkWorld) -> None:
    """Neither a question with its answer nor an answer alone."""
    said = await world.say()
    assert said.answer is not None
    for n in range(MAX_MESSAGES - 3):
        data = MessageData(message=note_id(str(n)), role="user", author="ben", content="x")
        world.put(MessageCreated, data, data.message)
    assert await refusal(world) == "conversation_full"
    await world.say(reply=False)
    with pytest.raises(InkwireError) as caught:
        await world.messages().regenerate(principal(), TALK, said.answer.message)
    assert caught.value.code == "conversation_full"


@pytest.mark.parametrize("log", ["conversations", "posts"])
async def test_a_nearly_full_log_takes_nothing(world: TalkWorld, log: str) -> None:
    """503 before anything is begun."""
    (world.talks if log == "conversations" else world.broker).fill = 0.8
    assert await refusal(world) == "log_full"
    assert not world.broker.jobs and not world.talk.messages


async def test_replies_count_for_the_conversations_owner(world: TalkWorld) -> None:
    """However many members ask."""
    snapshot = Snapshot(post=OTHER, owner="ana", status="generating")
    await world.store.put(StoredPost(snapshot, 1, EPOCH), expected_seq=0)
    messages = world.messages(limits=Limits(max_open_posts=1, commit_timeout_s=5.0))
    with pytest.raises(InkwireError) as caught:
        await messages.say(principal("ben"), TALK, MessageWish("Why?"), key=None)
    assert caught.value.code == "too_many_posts" and not world.broker.jobs


async def test_documents_are_the_callers_own(world: TalkWorld) -> None:
    """A number means the caller's document; the owner's options mention the owner's."""
    await world.documents.add(uploaded(1, owner="ana", name="mine.txt"), limit=10)
    assert await refusal(world, "See @1", by="ben") == "unknown_document"
    said = await world.say("See @1")
    [job] = world.broker.jobs.values()
    assert [ref.owner for ref in job.request.documents] == ["ana"] and said.message.documents == job.request.documents
    told = TalkWorld("ben", options={"instructions": "Quote @1."})
    told.documents = world.documents
    await told.say(by="ben")
    await told.say()
    assert [len(job.request.documents) for job in told.broker.jobs.values()] == [0, 1]


async def test_a_deleted_document_does_not_undo_what_was_said(world: TalkWorld) -> None:
    """The same key again is answered from what stands."""
    await world.documents.add(uploaded(1), limit=10)
    first = await world.say("See @1", key=KEY)
    world.documents.documents.clear()
    assert (await world.say("See @1", key=KEY)).message == first.message


async def test_notes_for_the_assistant_are_the_owners(world: TalkWorld) -> None:
    """Members speak for themselves only."""
    assert await refusal(world, by="ben", role="system", reply=False) == "owner_only"
    assert (await world.say("Be kind.", role="system", reply=False)).message.role == "system"


async def test_a_conversations_recipe_and_options_are_its_replies(world: TalkWorld) -> None:
    """A message may ask for others; what no recipe takes is refused before anything is stored."""
    assert await refusal(world, options={"nonsense": 1}) == "invalid_options"
    assert await refusal(world, recipe="nonsense") == "unknown_recipe"
    assert not world.broker.jobs
    await world.say(recipe="blog", options={"length": "short"})
    [job] = world.broker.jobs.values()
    assert (job.request.recipe, job.request.options["length"]) == ("blog", "short")


async def test_members_steer_answers(world: TalkWorld) -> None:
    """Under the owner's name; a superseded one can be stopped and not tried again."""
    said = await world.say()
    assert said.answer is not None and said.answer.post is not None
    await world.messages().cancel(principal("ben"), TALK, said.answer.message, run=None)
    await world.messages().retry(principal("ben"), TALK, said.answer.message, run=1)
    assert world.steering.done == [(what, "ana", said.answer.post) for what in ("cancel", "retry")]
    await world.say("Else", replaces=said.message.message)
    await world.messages().cancel(principal(), TALK, said.answer.message, run=None)
    with pytest.raises(InkwireError) as caught:
        await world.messages().retry(principal(), TALK, said.answer.message, run=None)
    assert caught.value.code == "unknown_message"


async def test_an_answer_that_has_not_begun_can_be_steered_in_a_moment(world: TalkWorld) -> None:
    """503, not 404: the message is there."""
    said = await world.say()
    assert said.answer is not None and said.answer.post is not None
    world.steering.refuse[said.answer.post] = "not_found"
    for steer in (world.messages().cancel, world.messages().retry):
        with pytest.raises(InkwireError) as caught:
            await steer(principal(), TALK, said.answer.message, run=None)
        assert caught.value.code == "broker_unavailable"


async def test_scopes(world: TalkWorld) -> None:
    """Writing and stopping are apart."""
    said = await world.say()
    assert said.answer is not None
    reader, stopper = principal(scopes=frozenset({"post:read"})), principal(scopes=frozenset({"post:cancel"}))
    with pytest.raises(InkwireError) as caught:
        await world.messages().say(reader, TALK, MessageWish("Why?"), key=None)
    assert caught.value.code == "forbidden"
    await world.messages().cancel(stopper, TALK, said.answer.message, run=None)
    with pytest.raises(InkwireError):
        await world.messages().retry(stopper, TALK, said.answer.message, run=None)


async def test_a_key_cannot_be_looked_up_without_the_store(world: TalkWorld) -> None:
    """Where the log has nothing of the post, the store must say so."""
    world.store.down = True
    with pytest.raises(StoreUnavailable):
        await world.say(key=KEY)
    assert not world.broker.jobs


async def test_a_conversation_that_cannot_be_read_is_told(world: TalkWorld) -> None:
    """Asking again will not help."""
    world.talks.damaged = True
    assert await refusal(world) == "corrupt"
