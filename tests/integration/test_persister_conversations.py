"""The persister as a process: what the store has of a conversation is what its log says, whatever dies."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inkwire_chassis.clock import rfc3339
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.provisioning import provision
from inkwire_contracts.conversations import Conversation, encode_conversation_event
from inkwire_contracts.dead_letters import dead_letter
from inkwire_contracts.subjects import conversation as subject_of
from inkwire_contracts.topology import CONVERSATIONS, DLQ, PERSISTER_DURABLE
from inkwire_persister import conversation_janitor
from inkwire_persister.app import running
from inkwire_persister.settings import Settings
from inkwire_stores import Store, open_store
from inkwire_stores.conversation_ports import StoredConversation
from inkwire_stores.conversation_reading import ConversationReader
from tests.integration.test_persister import LATE_S, Keep, metric, no_crashed_fetch, persister, sqlite_url, store_url
from tests.support.conversation_logs import ConversationScript
from tests.support.log import SMALL, open_log
from tests.support.post_logs import post_id
from tests.support.processes import http_status
from tests.support.servers import MongoFactory
from tests.support.wait import eventually

__all__ = ["no_crashed_fetch", "sqlite_url", "store_url"]
pytestmark = pytest.mark.nats


class Talk:
    """A conversation that is written to the log as it is scripted."""

    def __init__(self, events: EventLog, number: int = 900) -> None:
        self.log = ConversationLog(events.jetstream)
        self.script = ConversationScript(post_id(number))
        self.written = 0

    async def begin(self) -> "Talk":
        self.script.created(title="Bees", name="Ana")
        await self.write()
        return self

    async def say(self, *numbers: int) -> None:
        """Messages, one after the other."""
        for number in numbers:
            self.script.message(number, content=f"message {number} ✓")
        await self.write()

    async def write(self) -> None:
        """Publish what was scripted since."""
        for index in range(self.written, len(self.script.events)):
            event = self.script.events[index][1]
            self.script.events[index] = (await self.log.publish(event), event)
        self.written = len(self.script.events)

    async def until_stored(self, store: Store) -> StoredConversation:
        """Wait until the store has what the log says."""
        want, epoch = self.script.folded(), await self.log.epoch()

        async def equal() -> StoredConversation:
            held = await store.conversations.get(self.script.conversation)
            assert held is not None and held.conversation == want and held.epoch == epoch
            return held

        return await eventually(equal, what="the conversation is stored as the log says", timeout_s=LATE_S)


async def test_a_conversation_is_stored_as_its_log_says(nats_url: str, store_url: str, keep: Keep) -> None:
    """Everything that is said, reacted, renamed and deleted reaches the store, and members' lists."""
    async with open_log(nats_url) as events, open_store(store_url) as store:
        process = persister(keep, nats_url, store_url)
        await process.start().ready()
        talk = await Talk(events).begin()
        await talk.say(1, 2)
        talk.script.member("ben", name="Ben")
        talk.script.reaction(1, "👍", by="ben")
        talk.script.message(3, content="better", replaces=post_id(2))
        await talk.write()
        await talk.until_stored(store)
        (line,) = await store.conversations.list_conversations("ben", limit=5)
        assert (line.title, line.messages, line.owner) == ("Bees", 2, "ana")
        talk.script.deleted()
        talk.script.reaction(1, "❤️")
        await talk.write()
        held = await talk.until_stored(store)
        assert (held.conversation.status, held.conversation.messages) == ("deleted", [])
        assert await store.conversations.list_conversations("ben", limit=5) == []
        assert metric(process, "lost_conversations") == 0
        await asyncio.to_thread(process.assert_clean_exit)


async def test_killed_in_the_middle_it_catches_up(nats_url: str, store_url: str, keep: Keep) -> None:
    """A persister that is killed (-9) while people write, again and again, leaves no word out."""
    async with open_log(nats_url) as events, open_store(store_url) as store:
        process = persister(keep, nats_url, store_url, INKWIRE_PERSISTER_BATCH_MESSAGES="3")
        talks = [await Talk(events, 900 + n).begin() for n in range(3)]
        for round_ in range(3):
            await process.start().ready()
            writing = [talk.say(*range(10 * round_, 10 * round_ + 8)) for talk in talks]
            one = talks[round_].script.conversation
            reached = 0 if (held := await store.conversations.get(one)) is None else held.conversation.seq

            async def kill(one: str = one, reached: int = reached) -> None:
                async def moved() -> bool:
                    found = await store.conversations.get(one)
                    return found is not None and found.conversation.seq > reached

                await eventually(moved, what="something is stored", timeout_s=LATE_S)
                process.kill9()

            await asyncio.gather(kill(), *writing)
        await process.start().ready()
        for talk in talks:
            held = await talk.until_stored(store)
            assert len(held.conversation.messages) == 24


async def test_two_persisters_store_each_event_once(nats_url: str, store_url: str, keep: Keep) -> None:
    """Two processes on one durable get a conversation's events in any order; one may die."""
    async with open_log(nats_url) as events, open_store(store_url) as store:
        first, second = (persister(keep, nats_url, store_url, INKWIRE_PERSISTER_BATCH_MESSAGES="1") for _ in range(2))
        await asyncio.gather(first.start().ready(), second.start().ready())
        talks = [await Talk(events, 900 + n).begin() for n in range(3)]
        await asyncio.gather(*(talk.say(*range(1, 9)) for talk in talks))
        for talk in talks:
            await talk.until_stored(store)
        first.kill9()
        await talks[0].say(20, 21)
        await talks[0].until_stored(store)


@pytest.mark.mongo
@pytest.mark.slow
async def test_nothing_is_skipped_while_the_store_is_away(
    nats_url: str, keep: Keep, mongo_factory: MongoFactory
) -> None:
    """What is said while the database is stopped is stored once it is back; meanwhile readers have the log."""
    server = mongo_factory()
    url = f"{server.url}posts"
    async with open_log(nats_url) as events, open_store(url) as store:
        process = persister(keep, nats_url, url)
        await process.start().ready()
        talk = await Talk(events).begin()
        await talk.until_stored(store)
        await asyncio.to_thread(server.stop)
        await talk.say(1, 2)
        await eventually(lambda: metric(process, "retries"), what="the store is missed", timeout_s=LATE_S)
        assert '"conversation_writes": "ok"' not in http_status(process.ready_url)[1]
        read = await ConversationReader(talk.log, store.conversations).read(talk.script.conversation)
        assert read is not None and read.conversation == talk.script.folded()
        server.start()  # from this thread: the child dies with the one that starts it
        await talk.until_stored(store)
        await process.ready()


async def test_what_is_no_event_is_put_aside_alone(nats_url: str, sqlite_url: str, keep: Keep) -> None:
    """Garbage and another's event go to the dead letters; every real event is stored, and nothing waits."""
    async with open_log(nats_url) as events, open_store(sqlite_url) as store:
        talk = await Talk(events).begin()
        foreign = encode_conversation_event(talk.script.events[0][1])
        garbage = [(talk.script.conversation, b"\xffno json"), (post_id(1), foreign)]
        for name, payload in garbage:
            await events.jetstream.publish(subject_of(name), payload, {})
        await talk.say(1)
        process = persister(keep, nats_url, sqlite_url)
        await process.start().ready()
        await talk.until_stored(store)
        await eventually(lambda: metric(process, "dead_letters") == 2, what="both are put aside")
        for name, payload in garbage:
            dead = await events.jetstream.leader_last(DLQ, f"dlq.events.{subject_of(name)}")
            assert dead is not None and dead.payload == payload
            letter = dead_letter(dead.seq, dead.subject, dead.payload, dead.headers, stored_at=dead.time)
            assert (letter.kind, letter.reason, letter.subject) == ("event", "not_an_event", subject_of(name))
        assert await store.conversations.get(post_id(1)) is None
        await until_answered(events)


async def test_without_its_beginning_it_is_told_not_stored(nats_url: str, sqlite_url: str, keep: Keep) -> None:
    """Store and log have both lost how it began: its events are put aside, loudly, and others are stored."""
    async with open_log(nats_url) as events, open_store(sqlite_url) as store:
        lost, fine = await Talk(events, 900).begin(), await Talk(events, 950).begin()
        await lost.say(1, 2)
        await lost.log.purge(lost.script.conversation, up_to=lost.script.events[1][0])
        await fine.say(1)
        process = persister(keep, nats_url, sqlite_url)
        await process.start().ready()
        await fine.until_stored(store)
        await eventually(lambda: metric(process, "lost_conversations"), what="the loss is counted")
        dead = await events.jetstream.leader_last(DLQ, f"dlq.events.{subject_of(lost.script.conversation)}")
        assert dead is not None and dead.headers["Inkwire-Reason"] == "history_lost"
        assert "history is gone" in process.log
        assert await store.conversations.get(lost.script.conversation) is None
        await until_answered(events)


async def test_a_lost_log_takes_nobodys_words(nats_url: str, store_url: str, keep: Keep) -> None:
    """The stream is lost and made anew: what is said then comes after all that is stored, in both."""
    async with open_log(nats_url) as events, open_store(store_url) as store:
        process = persister(keep, nats_url, store_url)
        await process.start().ready()
        talk = await Talk(events).begin()
        await talk.say(1, 2)
        before = (await talk.until_stored(store)).conversation
        await events.jetstream.api(f"STREAM.DELETE.{CONVERSATIONS}")
        await provision(events.jetstream, SMALL)
        talk.script.message(3, content="Are you there?")
        await talk.write()

        async def joined() -> Conversation:
            held = await store.conversations.get(talk.script.conversation)
            assert held is not None and held.epoch == await talk.log.epoch()
            return held.conversation

        after = await eventually(joined, what="the new log is stored", timeout_s=LATE_S)
        assert [m.content for m in after.messages] == [*(m.content for m in before.messages), "Are you there?"]
        read = await ConversationReader(talk.log, store.conversations).read(talk.script.conversation)
        assert read is not None and read.conversation == after


async def test_old_events_leave_the_log_and_readers_notice_nothing(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored events leave the log after the retention; the newest stays, and what is said then is joined to it."""
    monkeypatch.setattr(conversation_janitor, "MIN_AGE_S", 0.0)
    url = f"sqlite:///{tmp_path}/store/posts.sqlite3"
    settings = Settings(
        nats_url=nats_url, store_url=url, health_port=0, purge_after_s=0.0, purge_interval_s=0.1, longest_retry_s=1.0
    )
    supervisor = Supervisor()
    async with open_log(nats_url) as events, open_store(url) as store, running(settings, supervisor) as service:
        talk = await Talk(events).begin()
        reader = ConversationReader(talk.log, store.conversations)
        for number in range(1, 8, 2):
            await talk.say(number, number + 1)
            newest = talk.script.events[-1][0]

            async def trimmed(newest: int = newest) -> bool:
                return [stored.seq for stored in await talk.log.read(talk.script.conversation)] == [newest]

            await eventually(trimmed, what="only the newest event is left", timeout_s=LATE_S)
            read = await reader.read(talk.script.conversation)
            assert read is not None and read.conversation == talk.script.folded()
        gone = len(talk.script.events) - 1
        await eventually(lambda: service.counters.purged_conversation_events == gone, what="what is gone is counted")

        async def rested() -> bool:
            at = rfc3339(datetime.now(UTC))
            return not await store.conversations.due_cuts(epoch=await talk.log.epoch(), before=at, limit=5)

        await eventually(rested, what="nothing is left to be cut", timeout_s=LATE_S)


async def until_answered(events: EventLog) -> None:
    """No delivery is pending or waits for its acknowledgement."""

    async def nothing_left() -> bool:
        info = await events.jetstream.api(f"CONSUMER.INFO.{CONVERSATIONS}.{PERSISTER_DURABLE}")
        return bool(info["num_ack_pending"] == 0 and info["num_pending"] == 0)

    await eventually(nothing_left, what="every message is answered", timeout_s=LATE_S)
