"""The write protocol on a real broker, one server and three: claims, fences, verdicts, histories."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg

from inkwire_chassis import event_log as event_log_module
from inkwire_chassis import log_parts
from inkwire_chassis.clock import new_id
from inkwire_chassis.event_log import EventLog, Fenced
from inkwire_chassis.jetstream import (
    H_EXPECTED_SUBJECT_SEQ,
    H_MSG_ID,
    BrokerError,
    JetStream,
    Stored,
    TooLarge,
    WrongLastSequence,
)
from inkwire_chassis.lifecycle import spawn
from inkwire_chassis.nats_client import NatsClient
from inkwire_chassis.nats_connection import connected
from inkwire_chassis.provisioning import Drift, provision, verify
from inkwire_contracts import events, subjects
from inkwire_contracts.commands import CancelIntent, Job
from inkwire_contracts.events import ChunkData, ChunkProduced, Started, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, document, fold
from inkwire_contracts.topology import EVENTS, JOBS, PERSISTER_DURABLE, topology
from inkwire_gateway.adapters.direct_nats import DirectClient
from tests.support.log import SMALL, TIME, ScriptedWriter, make_job, open_log, read_now
from tests.support.servers import NatsFactory
from tests.support.wait import eventually


async def test_provisioning_is_repeatable_and_verified(nats_url: str) -> None:
    """A second run of provisioning changes nothing, and what it made passes verification."""
    async with open_log(nats_url) as log:
        assert await provision(log.jetstream, SMALL) == []
        await verify(log.jetstream, SMALL, consumers=(PERSISTER_DURABLE,))


async def test_drift_is_named(nats_url: str) -> None:
    """A stream that was changed by hand fails verification with its name and the setting."""
    async with open_log(nats_url) as log:
        info = await log.jetstream.stream_info(EVENTS)
        await log.jetstream.api(f"STREAM.UPDATE.{EVENTS}", {**info["config"], "allow_direct": False})
        with pytest.raises(Drift, match="stream EVENTS differs in allow_direct"):
            await verify(log.jetstream, SMALL)


async def test_missing_streams_are_named(nats_url: str) -> None:
    """A broker without our streams fails verification and says what to run."""
    async with open_log(nats_url, topology(events_max_bytes=8 * 1024**2, conversations_max_bytes=1024**2)) as log:
        await log.jetstream.api("STREAM.DELETE.JOBS")
        with pytest.raises(Drift, match="stream JOBS is missing: run `inkwire provision`"):
            await verify(log.jetstream, SMALL)


async def test_requested_exists_once_whoever_writes_it(either_nats_url: str) -> None:
    """Api and workers may all write ``requested``; one event of seq 1 is stored and the others are content."""
    async with open_log(either_nats_url) as log:
        job = make_job()
        other = make_job(post=job.post, title="Another body")
        await asyncio.gather(*(log.ensure_requested(job) for _ in range(5)), log.ensure_requested(other))
        assert len(await read_now(log, job)) == 1


async def test_a_zombies_late_write_is_refused(either_nats_url: str) -> None:
    """After a take-over the old claim cannot add anything, and the post folds as the new holder wrote it."""
    async with open_log(either_nats_url) as log:
        zombie = await ScriptedWriter.begin(log)
        await zombie.open("s1")
        await zombie.chunk("old ")
        heir = await ScriptedWriter.begin(log, zombie.job, deliveries=2)
        with pytest.raises(Fenced):
            await zombie.chunk("late")
        await heir.section("s1", "new ", "text")
        await heir.publish()
        history = await log.history(zombie.job.owner, zombie.job.post)
        assert document(history.snapshot) == "new text"
        assert history.snapshot.status == "published"


async def test_a_claim_given_back_is_remembered_and_ends_its_holders_right(either_nats_url: str) -> None:
    """Nothing can be written under it any more, the next one has the next number, and who counts attempts sees it."""
    async with open_log(either_nats_url) as log:
        writer = await ScriptedWriter.begin(log)
        await log.release(writer.held)
        with pytest.raises(Fenced):
            await writer.open("s1")
        heir = await log.claim(writer.job.post, run=1, deliveries=2, holder="heir")
        assert heir.attempt == 2
        await log.release(writer.held)
        assert await log.released_attempts(writer.job.post, up_to=heir.token) == {1}
        assert (await log.read_claim(writer.job.post))[1] == heir.token, "somebody else's claim is left alone"


async def test_claims_beyond_one_batch_are_counted_too(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A post of many claims is judged by all of them, up to the newest, and is not stuck for having so many."""
    monkeypatch.setattr(event_log_module, "CLAIMS_BATCH", 2)
    async with open_log(nats_url) as log:
        post = make_job().post
        for deliveries in range(1, 7):
            held = await log.claim(post, run=1, deliveries=deliveries, holder="stops")
            await log.release(held)
        heir = await log.claim(post, run=1, deliveries=7, holder="heir")
        assert await log.released_attempts(post, up_to=heir.token) == {1, 2, 3, 4, 5, 6}


async def test_wishes_to_cancel_are_read_together(either_nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many posts, those whose very run is meant; also where a claim is gone, without which no replica can tell."""
    monkeypatch.setattr(event_log_module, "INTENTS_BATCH", 2)
    async with open_log(either_nats_url) as log:
        jobs = [(await ScriptedWriter.begin(log)).job for _ in range(5)]
        assert await log.cancel_intents(jobs) == set() == await log.cancel_intents([])
        meant, late = jobs[0].post, jobs[3].post
        await log.store_cancel_intent(wish(jobs[0]))
        await log.store_cancel_intent(wish(jobs[1], run=2))
        await log.store_cancel_intent(wish(jobs[3]))
        assert await log.cancel_intents(jobs) == {meant, late}
        _, last = await log.read_claim(jobs[4].post)
        await log.purge(subjects.claim(jobs[1].post), up_to=last)
        await log.purge(subjects.claim(jobs[3].post), up_to=last)
        assert await log.cancel_intents(jobs[:4]) == {meant, late}


def wish(job: Job, *, run: int = 1) -> CancelIntent:
    """As the api stores it."""
    return CancelIntent(post=job.post, owner=job.owner, run=run, time=TIME)


async def test_a_worker_that_stalled_before_its_first_event_is_fenced(either_nats_url: str) -> None:
    """A holder that wakes up after another has claimed and finished writes nothing, not even ``started``."""
    async with open_log(either_nats_url) as log:
        job = make_job()
        await log.ensure_requested(job)
        stalled = await log.claim(job.post, run=1, deliveries=1, holder="stalled")
        heir = await ScriptedWriter.begin(log, job, deliveries=2)
        await heir.section("s1", "text")
        await heir.publish()
        late = Started(post=job.post, owner=job.owner, run=1, attempt=1, seq=2, prev=1, time=TIME)
        with pytest.raises(Fenced):
            await log.append(late, stalled)


async def test_an_older_delivery_cannot_claim_again(either_nats_url: str) -> None:
    """Deliveries order the claims of a run: a sleeper with an older one gives up."""
    async with open_log(either_nats_url) as log:
        post = new_id()
        await log.claim(post, run=1, deliveries=2, holder="new")
        with pytest.raises(Fenced):
            await log.claim(post, run=1, deliveries=1, holder="old")


async def test_racing_claims_leave_one_writer(either_nats_url: str) -> None:
    """Of many claimers of equal rank each gets its own token, and only the last token can write."""
    async with open_log(either_nats_url) as log:
        job = make_job()
        await log.ensure_requested(job)
        held = await asyncio.gather(*(log.claim(job.post, run=1, deliveries=1, holder=f"w{n}") for n in range(8)))
        assert len({h.token for h in held}) == 8
        wrote = []
        for claim in sorted(held, key=lambda h: h.token):
            event = Started(post=job.post, owner=job.owner, run=1, attempt=claim.attempt, seq=2, prev=1, time=TIME)
            try:
                wrote.append(await log.append(event, claim))
            except Fenced:
                continue
        assert len(wrote) == 1


async def test_a_repeated_write_is_stored_once(either_nats_url: str) -> None:
    """A write whose answer was lost is repeated under its Msg-Id and does not double the event."""
    async with open_log(either_nats_url) as log:
        writer = await ScriptedWriter.begin(log)
        await writer.open("s1")
        event = await writer.chunk("once")
        await log.append(event, writer.held)
        stored = await read_now(log, writer.job)
        assert [s.event.seq for s in stored] == [1, 2, 3, 4]


async def test_a_duplicate_beyond_the_window_changes_nothing(either_nats_url: str) -> None:
    """The same event stored twice (the broker forgot its Msg-Id) is folded once."""
    async with open_log(either_nats_url) as log:
        writer = await ScriptedWriter.begin(log)
        await writer.open("s1")
        event = await writer.chunk("once")
        subject = subjects.post_event(event.owner, event.post, event.type)
        await log.jetstream.publish(subject, events.encode_event(event), {H_MSG_ID: new_id()})
        await writer.chunk(" more")
        history = await log.history(event.owner, event.post)
        assert document(history.snapshot) == "once more"


async def test_long_histories_are_read_in_batches(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A post of more events than a batch, among those of another, is read whole and in order, by either client."""
    monkeypatch.setattr(event_log_module, "BATCH_MESSAGES", 100)
    async with open_log(nats_url) as log, connected(nats_url, "test", DirectClient()) as client:
        one, two = await ScriptedWriter.begin(log), await ScriptedWriter.begin(log)
        await asyncio.gather(one.open("s1"), two.open("s1"))
        for _ in range(250):
            await asyncio.gather(one.chunk("ab"), two.chunk("cd"))
        history = await log.history(one.job.owner, one.job.post)
        assert document(history.snapshot) == "ab" * 250
        newest = await log.newest(two.job.owner, two.job.post)
        assert newest is not None
        assert newest.event.seq == two.snapshot.seq
        jetstream = JetStream(client)
        await jetstream.start()
        direct, whole = EventLog(jetstream, new_id), await read_now(log, one.job)
        assert await direct.read(one.job.owner, one.job.post) == whole
        for reading in (direct, log):
            parts = [part async for part in log_parts.whole(reading, one.job.owner, one.job.post)]
            assert [stored for part in parts for stored in part] == [(e.raw, e.stream_seq) for e in whole]
            assert len(parts) > 2


@pytest.mark.parametrize("kind", [NatsClient, DirectClient])
async def test_a_read_ends_with_what_the_broker_says(nats_url: str, kind: type[NatsClient]) -> None:
    """Nothing there is nothing read; a query that is refused, or a stream that is missing, is an error at once."""
    async with open_log(nats_url), connected(nats_url, "test", kind()) as client:
        jetstream = JetStream(client)
        await jetstream.start()
        query = {"seq": 1, "next_by_subj": subjects.post_events("nobody", new_id()), "batch": 10}
        assert await jetstream.direct_batch(EVENTS, query) == ([], 0, 0)
        with pytest.raises(BrokerError, match=r"Bad Request|Empty Request|invalid"):
            await jetstream.direct_batch(EVENTS, {"seq": 1, "last_by_subj": "a", "batch": 10})
        with pytest.raises(BrokerError) as missing:
            await jetstream.direct_batch("NO_SUCH_STREAM", query)
        assert missing.value.code == 503


@pytest.mark.parametrize("kind", [NatsClient, DirectClient])
async def test_a_read_whose_connection_is_closed(nats_url: str, kind: type[NatsClient]) -> None:
    """Who waits for a batch when the connection is closed learns that none came; who is cancelled then is cancelled."""
    asked: list[Msg] = []
    query = {"seq": 1, "next_by_subj": "a", "batch": 10}

    async def say_nothing(msg: Msg) -> None:
        asked.append(msg)

    async with connected(nats_url, "silent") as silent, connected(nats_url, "test", kind()) as client:
        await silent.subscribe("$JS.API.DIRECT.GET.SILENT", cb=say_nothing)
        await silent.flush()
        jetstream = JetStream(client)
        patient = spawn("patient", jetstream.direct_batch("SILENT", query, timeout_s=0.5))
        cancelled = spawn("cancelled", jetstream.direct_batch("SILENT", query, timeout_s=60.0))
        await eventually(lambda: len(asked) == 2, what="both have asked")
        await client.close()
        cancelled.cancel()
        with pytest.raises(BrokerError, match="in time"):
            await patient
        with pytest.raises(asyncio.CancelledError):
            await cancelled


async def _all(parts: AsyncIterator[list[Stored]]) -> list[Stored]:
    return [stored async for part in parts for stored in part]


async def test_a_long_history_is_read_without_what_is_finished(either_nats_url: str) -> None:
    """Key events, and all that follows the last of them which has enough events behind it, fold to the same post."""
    async with open_log(either_nats_url) as log:
        writer = await ScriptedWriter.begin(log)
        for number in range(3):
            await writer.section(f"s{number}", *(f"word {word} " for word in range(20)))
        await writer.open("s3")
        await writer.chunk("open")
        where = {"owner": writer.job.owner, "post": writer.job.post}
        whole = await read_now(log, writer.job)
        part = await _all(log_parts.unfinished(log, **where, newest_seq=writer.snapshot.seq, recent=10))
        snapshot = Snapshot(post=writer.job.post)
        assert [fold(snapshot, parse_event(payload)) for payload, _ in part] == [Outcome.APPLIED] * len(part)
        assert snapshot == writer.snapshot
        assert len(part) < 35 < len(whole)
        assert part[-10:] == [(stored.raw, stored.stream_seq) for stored in whole[-10:]]
        assert await _all(log_parts.unfinished(log, **where, newest_seq=writer.snapshot.seq, recent=len(whole))) == []


async def test_a_short_history_is_the_whole_one(either_nats_url: str) -> None:
    """Key events and what follows them fold to the same post, in mid-section and between two, over a retry too."""
    async with open_log(either_nats_url) as log:
        writer = await ScriptedWriter.begin(log)
        for number in range(3):
            await writer.open(f"s{number}")
            for word in range(20):
                await writer.chunk(f"word {word} ")
            await assert_short_is_whole(log, writer)
            if number == 1:
                await writer.write(events.Retrying, section="s1", code="provider_cut", message="", delay_ms=1, retry=1)
                await writer.open("s1")
                await assert_short_is_whole(log, writer)
                await writer.chunk("again ")
            await writer.close()
            await assert_short_is_whole(log, writer)
        short = await log.read_short(writer.job.owner, writer.job.post)
        assert len(short) < 15 < len(await log.read(writer.job.owner, writer.job.post))


async def assert_short_is_whole(log: EventLog, writer: ScriptedWriter) -> None:
    """Both ways of reading end at what was written."""
    for short in (False, True):
        history = await log.history(writer.job.owner, writer.job.post, short=short)
        assert history.snapshot == writer.snapshot


async def test_a_history_is_continued_from_where_it_ended(either_nats_url: str) -> None:
    """A base that was folded earlier is only brought up to date."""
    async with open_log(either_nats_url) as log:
        writer = await ScriptedWriter.begin(log)
        await writer.section("s1", "a", "b")
        base = await log.history(writer.job.owner, writer.job.post)
        await writer.section("s2", "c")
        again = await log.history(writer.job.owner, writer.job.post, base=base)
        assert again is base
        assert document(again.snapshot) == "abc"


async def test_a_post_of_another_owner_is_not_there(either_nats_url: str) -> None:
    """Reads name the owner: with the wrong one there is nothing."""
    async with open_log(either_nats_url) as log:
        writer = await ScriptedWriter.begin(log)
        assert await log.newest("somebody", writer.job.post) is None
        assert (await log.history("somebody", writer.job.post)).snapshot.seq == 0


async def test_job_is_committed_once_per_run(either_nats_url: str) -> None:
    """The second publish of a run's job is a duplicate that names where the first is stored."""
    async with open_log(either_nats_url) as log:
        job = make_job()
        subject = subjects.job("general", "normal", job.owner)
        first = await log.jetstream.publish(subject, job.model_dump_json().encode(), {H_MSG_ID: job.msg_id})
        second = await log.jetstream.publish(subject, b"{}", {H_MSG_ID: job.msg_id})
        assert (second.seq, second.duplicate) == (first.seq, True)
        stored = await log.jetstream.leader_get(JOBS, second.seq)
        assert stored is not None
        assert stored.payload == job.model_dump_json().encode()


async def test_wrong_expectation_is_the_only_verdict(either_nats_url: str) -> None:
    """A refused expectation is told apart from everything that may be asked again."""
    async with open_log(either_nats_url) as log:
        with pytest.raises(WrongLastSequence) as verdict:
            await log.jetstream.publish(subjects.claim(new_id()), b"{}", {H_EXPECTED_SUBJECT_SEQ: "7"})
        assert not verdict.value.transient
        with pytest.raises(BrokerError) as refusal:
            await log.jetstream.publish("nobody.listens", b"{}", {})
        assert refusal.value.transient


async def test_a_write_waits_out_a_broker_restart(nats_factory: NatsFactory) -> None:
    """A write begun while the server is away is stored once when it is back, and the log keeps its epoch."""
    server = nats_factory()
    async with open_log(server.url) as log:
        writer = await ScriptedWriter.begin(log)
        await writer.open("s1")
        epoch = await log.epoch()
        server.kill9()
        writing = asyncio.ensure_future(writer.chunk("through the outage"))
        await asyncio.sleep(0)
        server.start()
        await writing
        history = await log.history(writer.job.owner, writer.job.post)
        assert document(history.snapshot) == "through the outage"
        assert await log.epoch() == epoch


async def test_too_large_an_event_is_refused_not_lost(either_nats_url: str) -> None:
    """The broker refuses an event above the limit and the post stays as it was."""
    async with open_log(either_nats_url) as log:
        writer = await ScriptedWriter.begin(log)
        await writer.open("s1")
        text = "x" * (events.MAX_EVENT_BYTES + 1)
        event = ChunkProduced(
            post=writer.job.post,
            owner=writer.job.owner,
            run=1,
            attempt=1,
            seq=writer.snapshot.seq + 1,
            time=TIME,
            data=ChunkData(section="s1", start=0, end=len(text), text=text),
        )
        with pytest.raises(TooLarge):
            await log.append(event, writer.held)
        assert (await log.history(event.owner, event.post)).snapshot.seq == writer.snapshot.seq
