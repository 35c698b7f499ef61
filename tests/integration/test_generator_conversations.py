"""Replies in a conversation on a real broker with the simulated model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from inkwire_chassis.clock import new_id
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog
from inkwire_contracts.commands import Job
from inkwire_contracts.conversations import TitleChanged
from inkwire_contracts.fold import Snapshot, document
from inkwire_generator.adapters.talks import StoredTalks
from inkwire_stores import Store, StoredPost, StoreUnavailable
from tests.support.generator import (
    assert_exact,
    commit_cancel,
    commit_job,
    generator_process,
    generator_settings,
    read_folded,
    running_generator,
    until,
    until_final,
    until_idle,
)
from tests.support.log import QUICK_LEASE, ScriptedWriter, open_log
from tests.support.memory_store import MemoryStore
from tests.support.processes import ManagedProcess
from tests.support.sim import SimServer
from tests.support.talking import Talk, turn_of

Keep = Callable[[ManagedProcess], ManagedProcess]
Messages = list[tuple[str, str]]
REPLY = "You are the assistant"
"""How the request for a reply begins."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimServer]:
    """One for all tests here."""
    with SimServer() as running:
        running.record_prompts()
        yield running


@pytest.fixture
def sim(simulator: SimServer) -> SimServer:
    """It, as after its start, with an empty log."""
    simulator.reset()
    return simulator


async def published(log: EventLog, job: Job) -> str:
    """The words of a reply, once they are all there and proven."""
    await until_final(log, job)
    snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    return document(snapshot)


def prompts(sim: SimServer) -> list[Messages]:
    """The messages of each request that the simulator got, oldest first."""
    return [sim.messages(request["id"]) for request in sim.requests()]


def replies(asked: list[Messages]) -> list[Messages]:
    """Those that ask for a reply."""
    return [messages for messages in asked if messages[0][1].startswith(REPLY)]


def sections(snapshot: Snapshot) -> list[tuple[str, bool]]:
    """What was written, and whether it is in the document."""
    return [(section.section, section.in_document) for section in snapshot.sections]


async def test_each_reply_carries_the_turns_before_it(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """Three turns: the model gets questions and answers so far, word for word, and names once there are two people."""
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log)
        first = await published(log, await talk.ask("What is a queue?"))
        second = await published(log, await talk.ask("And a stack?\n\nBe brief."))
        await talk.join("ben", "Ben")
        await published(log, await talk.ask("Which one do I need?", by="ben"))
        await until_idle(log)
    one, two, three = replies(prompts(sim))
    assert one[1:] == [("user", "<message>What is a queue?</message>")]
    assert two[1:] == [
        ("user", "<message>What is a queue?</message>"),
        ("assistant", first.rstrip()),
        ("user", "<message>And a stack?\n\nBe brief.</message>"),
    ]
    assert [role for role, _ in three] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert three[4] == ("assistant", second.rstrip())
    assert three[1][1].startswith("<speaker>Lea</speaker>\n<message>What is a queue?")
    assert three[5][1] == "<speaker>Ben</speaker>\n<message>Which one do I need?</message>"


async def test_the_first_reply_finds_a_title(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """It stands in the conversation when the reply is published, outside of its document; the next reply needs none."""
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log)
        job = await talk.ask("What is a queue?")
        text = await published(log, job)
        snapshot, _ = await read_folded(log, job)
        conversation = await talk.read()
        assert (conversation.title, conversation.title_generated) == ("Queue", True)
        assert sections(snapshot) == [("reply", True), ("title", False)]
        assert "Queue\n" not in text
        later = await talk.ask("And a stack?")
        await published(log, later)
        assert sections((await read_folded(log, later))[0]) == [("reply", True)]
        assert (await talk.read()).title == "Queue"


async def test_a_title_that_cannot_be_had_fails_nothing(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """The provider refuses it: the first words of the question are the title, without a second try."""
    sim.add_fault("500", match="title for this conversation", count=None)
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log)
        job = await talk.ask("Why do queues in front of the bakery grow on Sundays?\n\nI wonder.")
        await published(log, job)
        assert (await talk.read()).title == "Why do queues in front of the bakery grow on Sundays?"
    assert sum("title for this" in request["prompt_preview"] for request in sim.requests()) == 1


async def test_a_title_that_a_person_gave_stays(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """Also one that was given while the reply was being written."""
    sim.set_speed(tokens_per_s=2)
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log)
        job = await talk.ask("What is a queue?")
        await until(log, job, "the reply has begun", lambda post: post.open_section == "reply")
        await talk.entitle("Ours")
        sim.set_speed(tokens_per_s=0)
        await published(log, job)
        assert (await talk.read()).title == "Ours"
        events = await talk.conversations.read(talk.conversation)
        assert sum(isinstance(one.event, TitleChanged) for one in events) == 1


async def test_what_exceeds_the_budget_is_summarised_once(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """A working step tells the oldest turns; the next reply starts from it, and pays for no turn before it again."""
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log, title="Queues", history_tokens=700)
        answers = [await published(log, await talk.ask(f"What is queue number {n}?")) for n in range(3)]
        sim.clear_requests()
        third = await talk.ask("And a stack?")
        answers.append(await published(log, third))
        snapshot, _ = await read_folded(log, third)
        step = snapshot.section("history")
        assert step is not None and step.data is not None and not step.in_document
        told = [message.message for message in (await talk.read()).standing]
        up_to = told.index(step.data["up_to"])
        summary, reply = prompts(sim)
        sim.clear_requests()
        await published(log, await talk.ask("Which one is older?"))
        last = replies(prompts(sim))[-1]
    assert 0 < up_to < len(told) - 2
    assert answers[0].rstrip() in summary[-1][1]
    assert answers[0].rstrip() not in str(reply) and step.data["summary"] in reply[1][1]
    assert answers[2].rstrip() in [text for role, text in reply if role == "assistant"]
    assert step.text == step.data["summary"] + "\n"
    history = "\n".join(text for _, text in last)
    assert answers[0].rstrip() not in history
    assert step.data["summary"] in history or "older messages" in history


async def test_a_message_that_the_api_could_not_write_is_written_by_the_worker(
    sim: SimServer, nats_url: str, tmp_path: Path
) -> None:
    """The job is the commit: with nothing else of it stored, question and answer stand, once, and it is answered."""
    async with open_log(nats_url) as log:
        talk = await Talk.begin(log)
        job = await talk.ask("What is a queue?", told=False)
        assert (await talk.read()).messages == []
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            await published(log, job)
            await until_idle(log)
        conversation = await talk.read()
    turn = turn_of(job)
    assert [message.message for message in conversation.messages] == [turn.message, turn.reply]
    assert conversation.messages[1].post == job.post


async def test_a_worker_killed_in_a_reply_loses_nothing(
    sim: SimServer, nats_url: str, tmp_path: Path, keep: Keep
) -> None:
    """Another one writes it anew from the same history; the summary that was finished is kept."""
    async with open_log(nats_url, QUICK_LEASE) as log:
        talk = await Talk.begin(log, history_tokens=300)
        process = generator_process(nats_url, sim, tmp_path, "first")
        keep(process)
        await process.start().ready()
        await published(log, await talk.ask("What is a queue?"))
        await published(log, await talk.ask("And a stack?"))
        sim.stall(REPLY)
        sim.clear_requests()
        job = await talk.ask("Which one do I need?")
        await until(
            log,
            job,
            "the reply has begun",
            lambda post: bool(post.open_section == "reply" and post.sections[-1].text),
        )
        await sim.until_stalled()
        process.kill9()
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            await published(log, job)
            await until_idle(log)
        snapshot, _ = await read_folded(log, job)
        summaries = [messages for messages in prompts(sim) if "Summarise its beginning" in messages[-1][1]]
        asked = replies(prompts(sim))
    assert snapshot.attempt == 2
    made = [section for section in snapshot.sections if section.section.startswith("history")]
    assert len(summaries) == len(made) > 0, "each is made, and paid for, once"
    assert len(asked) == 2 and asked[0] == asked[1]


async def test_an_answer_written_once_more_and_an_edited_question(
    sim: SimServer, nats_url: str, tmp_path: Path
) -> None:
    """Each has the path on which it stands: the old answer, or the old question and all after it, is unknown to it."""
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log, title="Queues")
        first = await published(log, await talk.ask("What is a queue?"))
        job = await talk.ask("And a stack?")
        await published(log, job)
        again = await talk.again(job)
        second = await published(log, again)
        await published(log, await talk.ask("Which one do I need?"))
        edited = await talk.ask("What about a heap?", replaces=turn_of(job).message)
        await published(log, edited)
        _, asked, asked_again, after, heap = replies(prompts(sim))
        standing = (await talk.read()).standing
    assert asked_again == asked
    assert after[3:] == [
        ("user", "<message>And a stack?</message>"),
        ("assistant", second.rstrip()),
        ("user", "<message>Which one do I need?</message>"),
    ]
    assert heap[2:] == [("assistant", first.rstrip()), ("user", "<message>What about a heap?</message>")]
    assert [message.message for message in standing][-1] == turn_of(edited).reply and len(standing) == 4


async def test_a_stopped_answer_is_gone_on_with_as_such(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """What it said before it was stopped is known, and that it is not whole."""
    sim.stall(REPLY)
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log, title="Queues")
        job = await talk.ask("What is a queue?")
        await until(log, job, "words are there", lambda post: len(document(post)) > 40)
        await sim.until_stalled()
        await commit_cancel(log, job)
        stopped = await until_final(log, job)
        assert stopped.status == "cancelled"
        await published(log, await talk.ask("Go on."))
        last = replies(prompts(sim))[-1]
    assert last[2] == ("assistant", document(stopped).rstrip())
    assert last[3][1].startswith("(That answer was stopped before its end.)\n\n<message>Go on.</message>")


@pytest.mark.parametrize("told", [True, False])
async def test_a_reply_in_a_conversation_that_was_deleted_fails(
    sim: SimServer, nats_url: str, tmp_path: Path, told: bool
) -> None:
    """With a code that says so, without a call to the model, and without a word in the conversation."""
    async with open_log(nats_url) as log:
        talk = await Talk.begin(log)
        job = await talk.ask("What is a queue?", told=told)
        await talk.delete()
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            snapshot = await until_final(log, job)
            await until_idle(log)
        conversation = await talk.read()
    assert sim.requests() == []
    assert snapshot.status == "failed" and snapshot.error is not None
    assert snapshot.error.code == "conversation_gone"
    assert conversation.messages == [] and conversation.title == ""


async def test_a_session_of_social_posts(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """ "Make it shorter" is asked with the post before it in sight; the session is called by its first request."""
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log, recipe="social", platform="Facebook")
        first = await published(log, await talk.ask("Botox safety"))
        sim.clear_requests()
        await published(log, await talk.ask("Make it shorter"))
        assert (await talk.read()).title == "Botox safety"
    asked = prompts(sim)
    assert asked and all(first.rstrip() in messages[-1][1] for messages in asked)
    assert all("<request>Make it shorter</request>" in messages[-1][1] for messages in asked)


async def test_a_question_of_its_own(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """A post of recipe chat outside of any conversation is answered, without history and without a title."""
    async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
        talk = await Talk.begin(log)
        job = await talk.ask("What is a queue?", told=False)
        alone = job.model_copy(
            update={"messages": [], "request": job.request.model_copy(update={"turn": None})}
        ).model_copy(update={"post": turn_of(job).reply})
        await log.ensure_requested(alone)
        await commit_job(log, alone)
        await published(log, alone)
        assert sections((await read_folded(log, alone))[0]) == [("reply", True)]


async def test_the_operators_rules_come_first(sim: SimServer, nats_url: str, tmp_path: Path) -> None:
    """Before what the conversation's author wishes, which is fenced."""
    settings = generator_settings(nats_url, sim, tmp_path, chat_rules="Never give legal advice.")
    async with open_log(nats_url) as log, running_generator(settings):
        talk = await Talk.begin(log, title="Law", instructions="You are a judge.")
        await published(log, await talk.ask("May I?"))
    [messages] = prompts(sim)
    system = messages[0][1]
    assert 0 < system.index("Never give legal advice.") < system.index("<persona>You are a judge.</persona>")


async def test_an_answers_words_come_from_store_or_log(nats_url: str) -> None:
    """The store where nothing can follow, the log where it is further, whichever is there; else nobody guesses."""
    async with open_log(nats_url) as log:
        store = MemoryStore()
        talks = StoredTalks(ConversationLog(log.jetstream), log, _stores(store))
        writer = await ScriptedWriter.begin(log)
        await writer.section("s1", "One.")
        post, owner = writer.job.post, writer.job.owner

        async def words() -> str | None:
            found = await talks.post(owner, post)
            return None if found is None else document(found)

        assert await words() == "One.", "only the log has it"
        store.posts[post] = StoredPost(writer.snapshot.model_copy(deep=True), 1, "")
        await writer.section("s2", " Two.")
        assert await words() == "One. Two.", "the store is behind"
        store.outages = [True]
        assert await words() == "One. Two.", "the store is away"
        await writer.publish()
        kept = writer.snapshot.model_copy(deep=True)
        kept.sections[1].set_text(" Two, as stored.")
        store.posts[post] = StoredPost(kept, 1, "")
        assert await words() == "One. Two, as stored.", "it has ended for good, so the log is not asked"
        assert await talks.post(owner, new_id()) is None
        store.outages = [True]
        with pytest.raises(StoreUnavailable):
            await talks.post(owner, new_id())


def _stores(posts: MemoryStore) -> Store:
    """Posts alone: conversations are not looked at here."""
    return cast(Store, SimpleNamespace(get=posts.get, conversations=None))
