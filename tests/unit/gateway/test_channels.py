"""Channels come to life, are repaired and let go, on ports that fail on demand."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import pytest

from inkwire_contracts.client_frames import Position
from inkwire_contracts.fold import document
from inkwire_gateway.live_post import Loaded, LogEvent
from inkwire_gateway.subscription import State
from tests.support.wait import eventually
from tests.unit.gateway.builders import EPOCH, OWNER, POST, Script
from tests.unit.gateway.conversation_fakes import ADA, CONVERSATION
from tests.unit.gateway.stage import NAME, Stage


@pytest.fixture
def stage() -> Stage:
    """Fresh channels."""
    return Stage()


async def test_concurrent_joins_share_one_load(stage: Stage) -> None:
    """However many come at once, the broker is read once; who comes later reads memory."""
    first = [stage.join() for _ in range(20)]
    for client in first:
        await stage.live(client)
    later = stage.join()
    assert "live" in later.types, "at once"
    assert stage.broker.loads == 1 and len(stage.broker.watches) == 1
    assert (stage.hub.counters.joins_loaded, stage.hub.counters.joins_from_memory) == (20, 1)


@pytest.mark.parametrize("source", ["log", "store"])
async def test_where_posts_come_from_is_counted(stage: Stage, source: Literal["log", "store"]) -> None:
    """A load counts once for its source; who comes back with a position counts for where its post came from."""
    stage.broker.source = source
    at = Position(epoch=EPOCH, seq=3)
    for client in [stage.join(position=at), stage.join(position=at), stage.join()]:
        await stage.live(client)
    await stage.live(stage.join(position=at))
    counters = stage.hub.counters
    assert (counters.loads_from_log, counters.loads_from_store) == ((1, 0) if source == "log" else (0, 1))
    assert counters.resumes == {source: 2, "memory": 1}


async def test_unknown_post(stage: Stage) -> None:
    """A post that neither log nor store knows is refused, and nothing of it stays."""
    stage.broker.known = False
    stage.join()
    assert await stage.refused() == "not_found"
    await eventually(lambda: not any(w.on for w in stage.broker.watches), what="the interest is given up")
    assert stage.hub.channels == {}


async def test_anothers_post_is_unknown(stage: Stage) -> None:
    """Another owner's subject holds nothing, so the answer is the same as for no post at all."""
    stage.join(owner="eve")
    assert await stage.refused() == "not_found"


async def test_deleted_post(stage: Stage) -> None:
    """A deleted post is refused with its own code, also when it is in memory."""
    stage.broker.script.add("deleted")
    stage.join()
    assert await stage.refused() == "gone"
    stage.join()
    assert [code for _, code in stage.refusals] == ["gone", "gone"]


async def test_broker_away_is_told_and_survived() -> None:
    """A join waits for a bounded time, is refused, and works once the broker is back."""
    stage = Stage(load_timeout_s=0.5)
    stage.broker.down = True
    stage.join()
    assert await stage.refused() == "broker_unavailable"
    stage.broker.down = False
    await stage.live(stage.join())


async def test_damaged_history_is_refused(stage: Stage) -> None:
    """A log that does not fold is never papered over."""
    stage.broker.damaged = True
    stage.join()
    assert await stage.refused() == "internal"


async def test_lost_message_is_read_from_the_log(stage: Stage) -> None:
    """A gap in the live messages is filled from the log, and readers see each event once."""
    client = await stage.live(stage.join())
    stage.broker.script.chunk(" lost")
    stage.broker.publish(stage.broker.script.chunk(" found"))
    await eventually(lambda: stage.channel.live.seq == 6, what="the gap is filled")
    assert client.seqs[-1] == 6 and document(stage.channel.live.snapshot) == "Hello lost found"
    assert stage.hub.counters.gaps == 1


async def test_silence_is_checked(stage: Stage) -> None:
    """The last message before a silence may be the lost one: the log is asked."""
    client = await stage.live(stage.join())
    stage.broker.script.chunk(" lost")
    stage.channels.sweep()
    assert stage.channel.live.seq == 4, "not yet silent for long"
    stage.clock.advance(2.0)
    stage.channels.sweep()
    await eventually(lambda: client.seqs == [5], what="the reader has the lost event")


async def test_ended_post_is_not_checked(stage: Stage) -> None:
    """Silence is normal after the end."""
    stage.broker.script.publish()
    await stage.live(stage.join())
    asked = stage.hub.counters.repairs
    stage.clock.advance(60.0)
    stage.broker.down = True  # a check would now be seen as a refusal or a log line, and would hang
    stage.channels.sweep()
    assert stage.hub.counters.repairs == asked
    assert not [t for t in asyncio.all_tasks() if t.get_name() == f"channel {NAME}"]


async def test_reader_ahead_of_this_process(stage: Stage) -> None:
    """Who has seen more than we have makes us look into the log first, and then needs no snapshot."""
    await stage.live(stage.join())
    stage.broker.script.chunk(" more")
    client = await stage.live(stage.join(position=Position(epoch=EPOCH, seq=5)))
    assert client.types == ["subscribed", "live"] and client.told[0]["recovered"] is True


async def test_reader_ahead_who_joins_during_a_comparison(stage: Stage) -> None:
    """A reader who comes back while an older answer is on its way is not sent back to what that answer knew."""
    await stage.live(stage.join())
    asked, answer = asyncio.Event(), asyncio.Event()
    ask = stage.broker.newest_seq

    async def late_answer(owner: str, post: str, *, now: bool) -> int:
        newest = await ask(owner, post, now=now)
        asked.set()
        await answer.wait()
        return newest

    stage.broker.newest_seq = late_answer  # type: ignore[method-assign]
    stage.channels.suspect()
    await asked.wait()
    missed = stage.broker.script.chunk(" again")
    client = stage.join(position=Position(epoch=EPOCH, seq=missed.event.seq))
    answer.set()
    await stage.live(client)
    assert client.types == ["subscribed", "live"]
    assert client.told[-1]["position"]["seq"] == missed.event.seq


async def test_a_replica_that_lags_sends_no_reader_back(stage: Stage) -> None:
    """A reader who has seen more than this process is served by what the leader has, whatever a replica says."""
    await stage.live(stage.join())
    stage.broker.lag = 2
    missed = [stage.broker.script.chunk(text) for text in (" two", " more")][-1]
    client = await stage.live(stage.join(position=Position(epoch=EPOCH, seq=missed.event.seq)))
    assert client.types == ["subscribed", "live"]
    assert client.told[-1]["position"]["seq"] == missed.event.seq


async def test_a_first_load_from_a_replica_that_lags_sends_no_reader_back(stage: Stage) -> None:
    """The same where nobody followed the post here before: what was loaded is brought up to date first."""
    behind = stage.broker.script.loaded()
    missed = stage.broker.script.chunk(" more")
    load = stage.broker.load

    async def old_load(owner: str, post: str) -> Loaded | None:
        assert await load(owner, post) is not None
        return Loaded(behind.snapshot, behind.stream_seq, EPOCH, behind.recent)

    stage.broker.load = old_load  # type: ignore[method-assign]
    client = await stage.live(stage.join(position=Position(epoch=EPOCH, seq=missed.event.seq)))
    assert client.told[-1]["position"]["seq"] == missed.event.seq


async def test_another_log_starts_everybody_again(stage: Stage) -> None:
    """After a reconnect to a broker whose log is another one, readers get its snapshot under its epoch."""
    client = await stage.live(stage.join())
    stage.broker.script = Script().begin()
    stage.broker.script.chunk("New")
    stage.broker.log_epoch = "epoch-2"
    stage.channels.reconnected()
    await eventually(lambda: client.types.count("live") == 2, what="the reader starts again")
    assert client.told[-1]["position"] == {"epoch": "epoch-2", "seq": 4}
    assert client.told[-2]["text"] == "New"


async def test_nothing_of_another_log_is_added_before_it_is_known(stage: Stage) -> None:
    """Events of a new log that continue the old one by their numbers are never shown on top of it."""
    client = await stage.live(stage.join())
    stage.channels.disconnected()
    stage.broker.script = Script().begin()
    for text in ("New", " and", " other"):
        stage.broker.script.chunk(text)
    stage.broker.log_epoch = "epoch-2"
    stage.broker.publish(stage.broker.script.chunk(" words"))
    stage.clock.advance(2.0)
    stage.channels.sweep()
    await asyncio.sleep(0)
    assert client.types.count("live") == 1 and client.seqs == []
    stage.channels.reconnected()
    await eventually(lambda: client.types.count("live") == 2, what="the reader starts again")
    assert client.told[-1]["position"] == {"epoch": "epoch-2", "seq": 7}
    assert client.seqs == []
    assert stage.channel.live.snapshot.sections[0].text == "New and other words"


async def test_a_repair_that_an_outage_met_adds_nothing(stage: Stage) -> None:
    """A comparison that began with the old broker and is answered by the new one is thrown away."""
    client = await stage.live(stage.join())
    stage.broker.down = True
    stage.clock.advance(2.0)
    stage.channels.sweep()
    await asyncio.sleep(0)
    stage.channels.disconnected()
    stage.broker.script = Script().begin()
    for text in ("New", " and", " other"):
        stage.broker.script.chunk(text)
    stage.broker.log_epoch, stage.broker.down = "epoch-2", False
    stage.channels.reconnected()
    await eventually(lambda: client.types.count("live") == 2, what="the reader starts again")
    assert client.seqs == [] and stage.channel.live.snapshot.sections[0].text == "New and other"


async def test_an_outage_during_a_comparison_sends_no_reader_back(stage: Stage) -> None:
    """Who came back with more than there is here waits for the comparison after the outage."""
    await stage.live(stage.join())
    missed = stage.broker.script.chunk(" more")
    asked, answer = asyncio.Event(), asyncio.Event()
    read = stage.broker.events_after

    async def late_answer(owner: str, post: str, stream_seq: int) -> Sequence[LogEvent]:
        events = await read(owner, post, stream_seq)
        asked.set()
        await answer.wait()
        return events

    stage.broker.events_after = late_answer  # type: ignore[method-assign]
    client = stage.join(position=Position(epoch=EPOCH, seq=missed.event.seq))
    await asked.wait()
    stage.channels.disconnected()
    answer.set()
    stage.channels.reconnected()
    await stage.live(client)
    assert client.types == ["subscribed", "live"]
    assert client.told[-1]["position"]["seq"] == missed.event.seq


async def test_a_log_that_is_provisioned_late_is_still_compared(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is back without its streams is asked on, however long; an ended post is compared too."""
    monkeypatch.setattr("inkwire_gateway.upkeep.RETRY_FIRST_S", 0.001)
    stage.broker.script.publish()
    client = await stage.live(stage.join())
    stage.channels.disconnected()
    stage.broker.down = True
    stage.channels.reconnected()
    stage.broker.log_epoch = "epoch-2"
    await eventually(lambda: stage.broker.refusals >= 5, what="it asks again and again")
    assert client.types.count("live") == 1
    stage.broker.down = False
    await eventually(lambda: client.types.count("live") == 2, what="the reader starts again")
    assert client.told[-1]["position"]["epoch"] == "epoch-2"


async def test_readers_go_on_after_a_reconnect_to_the_same_log(stage: Stage) -> None:
    """What was published in the outage is read from the log, what comes after it is live, and no snapshot is sent."""
    client = await stage.live(stage.join())
    stage.channels.disconnected()
    stage.broker.script.chunk(" missed")
    stage.channels.reconnected()
    await eventually(lambda: client.seqs == [5], what="the missed event")
    stage.broker.publish(stage.broker.script.chunk("!"))
    assert client.seqs == [5, 6] and client.types.count("live") == 1


async def test_another_log_without_a_reconnect(stage: Stage) -> None:
    """A log that is suddenly shorter is looked at closely: under another epoch the post is loaded anew."""
    client = await stage.live(stage.join())
    stage.broker.script = Script().begin()
    stage.broker.log_epoch = "epoch-2"
    stage.clock.advance(2.0)
    stage.channels.sweep()
    await eventually(lambda: client.types.count("live") == 2, what="the reader starts again")
    assert client.told[-1]["position"] == {"epoch": "epoch-2", "seq": 3}


async def test_contradicting_message_reloads(stage: Stage) -> None:
    """A live message that cannot be read makes the post be loaded anew; readers go on."""
    client = await stage.live(stage.join())
    stage.broker.watches[0].on_message("chunk", b"{", 50)
    await eventually(lambda: client.types.count("live") == 2, what="the post is loaded anew")
    stage.broker.publish(stage.broker.script.chunk("!"))
    assert client.seqs == [5]


async def test_dropped_messages_are_suspected(stage: Stage) -> None:
    """When the NATS client had to drop messages of a post, that post is compared with the log."""
    client = await stage.live(stage.join())
    stage.broker.script.chunk(" dropped")
    stage.channels.suspect(OWNER, "q" * 26)
    stage.channels.suspect("eve", POST)
    assert stage.hub.counters.repairs == 0
    stage.channels.suspect(OWNER, POST)
    await eventually(lambda: client.seqs == [5], what="the dropped event is read")


async def test_channel_is_released_after_its_last_reader() -> None:
    """Without readers a post stays for a while, then goes with its interest; within that time it is served again."""
    stage = Stage(linger_s=10.0)
    client = await stage.live(stage.join())
    stage.hub.leave_all(client.queue)
    stage.channels.sweep()
    stage.clock.advance(9.0)
    stage.channels.sweep()
    again = stage.join()
    assert "live" in again.types and stage.broker.loads == 1
    stage.hub.leave_all(again.queue)
    stage.channels.sweep()
    stage.clock.advance(10.0)
    stage.channels.sweep()
    assert stage.hub.channels == {}
    await eventually(lambda: not stage.broker.watches[0].on, what="the interest is given up")


async def test_reader_who_left_while_loading(stage: Stage) -> None:
    """A load that nobody waits for any more ends quietly."""
    client = stage.join()
    stage.hub.leave_all(client.queue)
    await eventually(lambda: stage.channel.ready, what="the post is loaded")
    assert client.frames == [] and stage.refusals == []


async def test_user_channel_lists_and_settles(stage: Stage) -> None:
    """A subscriber gets the list, and once more when the store has had time to follow the log."""
    stage.broker.items = [{"id": "old"}]
    client = stage.join(f"user:{OWNER}")
    await eventually(lambda: client.types == ["subscribed", "posts"], what="the list")
    stage.broker.items = [{"id": "new"}]
    stage.clock.advance(2.0)
    stage.channels.sweep()
    await eventually(lambda: client.types[2:] == ["posts"], what="the settled list")
    assert client.told[-1]["items"] == [{"id": "new"}]
    stage.clock.advance(60.0)
    stage.channels.sweep()
    await asyncio.gather(*(t for t in asyncio.all_tasks() if t.get_name().startswith("channel ")))
    assert stage.broker.lists == 2, "and not again"


async def test_user_channel_after_a_reconnect(stage: Stage) -> None:
    """Lifecycle events that were missed while the broker was away are made good by the list."""
    client = stage.join(f"user:{OWNER}")
    await eventually(lambda: client.types == ["subscribed", "posts"], what="the list")
    stage.channels.reconnected()
    await eventually(lambda: client.types[2:] == ["posts"], what="the list again")


async def test_user_channel_tells_lifecycle_events(stage: Stage) -> None:
    """Events carry the dotted name that frontends know."""
    client = stage.join(f"user:{OWNER}")
    await eventually(lambda: "posts" in client.types, what="the list")
    stage.broker.publish(stage.broker.script.events[0])
    assert client.told[-1]["name"] == "generate.requested"


async def test_lifecycle_events_are_counted_as_they_come_in(stage: Stage) -> None:
    """Each once, whether it is told, kept until more is known of its post, or an answer's and never told."""
    client = stage.join(f"user:{OWNER}")
    await eventually(lambda: "posts" in client.types, what="the list")
    counters = stage.hub.counters
    stage.broker.publish(stage.broker.script.events[0])
    assert counters.events == 1
    stage.broker.down = True
    stage.broker.replies.add("r" * 26)
    stage.broker.publish(Script("r" * 26).begin().add("cancelled"))
    stage.broker.down = False
    await eventually(lambda: stage.broker.lookups, what="it is looked up")
    assert (counters.events, counters.deliveries) == (2, 1)


async def test_a_join_is_counted_for_what_was_asked_for(stage: Stage) -> None:
    """Who asks for a part of a conversation waits at the conversation first, and counts once all the same."""
    counters = stage.hub.counters
    here = stage.enter(f"presence:{CONVERSATION}", ADA)
    await eventually(lambda: "here" in here.types, what="it is told who is there")
    assert (counters.joins_loaded, counters.joins_from_memory) == (1, 0)
    again = stage.enter(f"conversation:{CONVERSATION}", ADA)
    assert "conversation" in again.types, "at once"
    assert (counters.joins_loaded, counters.joins_from_memory) == (1, 1)
    stage.enter(f"reply:{CONVERSATION}:{POST}", ADA)
    assert await stage.refused() == "not_found"
    assert (counters.joins_loaded, counters.joins_from_memory) == (2, 1)


async def test_stop_lets_go_of_everything(stage: Stage) -> None:
    """At the end no interest and no task is left, also in the middle of a load."""
    client = await stage.live(stage.join())
    stage.broker.down = True
    waiting = stage.join(f"user:{OWNER}")
    await stage.channels.stop()
    assert not any(watch.on for watch in stage.broker.watches)
    assert stage.hub.channels == {}
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith(("channel ", "release "))]
    for reader in (client, waiting):
        assert all(s.state is State.CLOSED for s in reader.queue.subscriptions)


async def test_an_owners_channel_looks_up_what_it_does_not_know(stage: Stage) -> None:
    """Events of a post that nobody described wait for a look into log or store; those of answers are never told."""
    client = stage.join(f"user:{OWNER}")
    await eventually(lambda: client.types[-1:] == ["posts"], what="the list")
    stage.broker.down = True
    stage.broker.publish(stage.broker.script.add("cancelled"))
    assert "event" not in client.types
    stage.broker.down = False
    await eventually(lambda: "event" in client.types, what="the event is told after all")
    assert stage.broker.lookups == [POST]
    other = Script("r" * 26).begin()
    stage.broker.replies.add("r" * 26)
    stage.broker.publish(other.add("cancelled"))
    await eventually(lambda: len(stage.broker.lookups) == 2, what="it is looked up")
    assert client.types.count("event") == 1
    stage.broker.publish(other.events[0])
    await eventually(lambda: client.types.count("event") == 2, what="a request that names no conversation")
    assert client.told[-1]["name"] == "generate.requested"
