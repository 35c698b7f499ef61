"""Channels that could not be kept whole at once are seen to again, whatever goes on meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar
from unittest.mock import AsyncMock

import pytest

from inkwire_contracts.client_frames import Position
from inkwire_gateway.live_conversation import LiveConversation
from inkwire_gateway.live_log import Phase
from inkwire_gateway.live_post import LivePost, Loaded, LogEvent
from inkwire_gateway.ports import OnMessage, Unavailable
from inkwire_gateway.upkeep import LOG_TRIES
from tests.support.wait import eventually
from tests.unit.gateway.builders import EPOCH, OWNER, POST, Script
from tests.unit.gateway.conversation_fakes import ADA, BOB, CONVERSATION, FakeConversations
from tests.unit.gateway.stage import FakeWatch, Stage

P = ParamSpec("P")
T = TypeVar("T")
HOME = f"conversation:{CONVERSATION}"


async def idle(stage: Stage) -> None:
    """Wait until no channel is being seen to."""
    await eventually(lambda: not any(u.task for u in stage.channels._upkeep.values()), what="nothing is under way")


def phase(live: LivePost | LiveConversation) -> Phase:
    """Where a channel stands now."""
    return live.phase


def stalled(stage: Stage) -> bool:
    """Whether a monitor is told that a channel's readers may wait."""
    return any(channel.stalled for channel in stage.hub.channels.values())


async def rounds(stage: Stage, publish: Callable[[], object]) -> None:
    """Some seconds of a channel that is never silent for as long as a check waits for."""
    for _ in range(4):
        stage.clock.advance(1.5)
        publish()
        stage.channels.sweep()
        await idle(stage)


async def test_a_repair_that_failed_is_made_up_for_while_text_goes_on() -> None:
    """A post whose repair met no answer is read as soon as there is one, although messages keep coming."""
    stage = Stage(load_timeout_s=0.5)
    client = await stage.live(stage.join())
    stage.broker.script.chunk(" lost")
    stage.broker.down = True
    stage.broker.publish(stage.broker.script.chunk(" found"))
    await idle(stage)
    assert phase(stage.channel.live) is Phase.BUFFERING and stalled(stage)
    stage.broker.down = False
    await rounds(stage, lambda: stage.broker.publish(stage.broker.script.chunk(".")))
    assert phase(stage.channel.live) is Phase.LIVE and not stalled(stage)
    assert client.seqs[-1] == stage.broker.script.truth.seq


async def test_a_conversation_s_repair_that_failed_is_made_up_for_while_its_members_talk() -> None:
    """The same of a conversation."""
    stage = Stage(load_timeout_s=0.5)
    log = stage.conversations
    client = stage.enter(HOME, ADA)
    await eventually(lambda: "conversation" in client.types, what="it follows")
    await idle(stage)
    log.say("lost")
    log.down = True
    log.publish(log.say("found"))
    await idle(stage)
    live = stage.hub.conversation_channel(CONVERSATION).live
    assert phase(live) is Phase.BUFFERING
    log.down = False
    await rounds(stage, lambda: log.publish(log.say("more")))
    assert phase(live) is Phase.LIVE and live.conversation == log.truth


async def test_a_sweep_leaves_alone_what_is_being_seen_to() -> None:
    """A check that takes long is not followed by another one at once for the time that it took."""
    stage = Stage()
    await stage.live(stage.join())
    asked, answer = 0, asyncio.Event()

    async def slow(owner: str, post: str, *, now: bool) -> int:
        nonlocal asked
        asked += 1
        await answer.wait()
        return stage.broker.script.truth.seq

    stage.broker.newest_seq = slow  # type: ignore[method-assign]
    for _ in range(3):
        stage.clock.advance(2.0)
        stage.channels.sweep()
        await eventually(lambda: asked, what="it is asked")
    answer.set()
    await idle(stage)
    assert asked == 1


async def after_an_outage(stage: Stage) -> None:
    """The broker was lost and came back as it was, some time ago."""
    stage.channels.disconnected()
    stage.channels.reconnected()
    await eventually(lambda: stage.channels._desk.certain.is_set(), what="the logs are compared")
    await idle(stage)


def slowly(load: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A load that lets others have their turn, as each over a network does."""

    async def loaded(*args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(0)
        return await load(*args, **kwargs)

    return loaded


async def test_a_log_made_anew_under_a_broker_that_stays_is_read() -> None:
    """Readers, those of other posts too, are told of another log without an outage, also where there was one before."""
    stage = Stage(load_timeout_s=10.0)
    client, idler = await stage.live(stage.join()), stage.enter(HOME, ADA)
    await after_an_outage(stage)
    stage.broker.script = Script().begin()
    stage.broker.log_epoch = "epoch-2"
    stage.conversations.log_epoch = "c-epoch-2"
    stage.broker.load = slowly(stage.broker.load)  # type: ignore[method-assign]
    stage.clock.advance(2.0)
    stage.channels.sweep()
    await eventually(lambda: client.types.count("live") == 2, what="the reader starts again")
    assert client.told[-1]["position"] == {"epoch": "epoch-2", "seq": 3}
    await eventually(lambda: idler.types.count("conversation") == 2, what="it was compared, too")
    later = await stage.live(stage.join())
    assert later.told[-1]["position"] == {"epoch": "epoch-2", "seq": 3} and not stage.refusals


@pytest.mark.parametrize("ready", [True, False], ids=["read before", "not read yet"])
async def test_messages_of_a_lost_log_are_not_added_to_the_one_that_came_back(ready: bool) -> None:
    """What was kept while the old log was being read would follow upon the new one's events by its number."""
    stage = Stage(load_timeout_s=10.0)
    broker, load = stage.broker, stage.broker.load
    if ready:
        await stage.live(stage.join())
        stage.channel.live.suspend()
    else:
        broker.load = AsyncMock(side_effect=Unavailable("busy"))  # type: ignore[method-assign]
    client = stage.join()
    await eventually(lambda: broker.watches, what="it is listened to")
    broker.publish(broker.script.chunk(" old"))
    stage.channels.disconnected()
    broker.script, broker.log_epoch, broker.load = Script().begin(), "epoch-2", load  # type: ignore[method-assign]
    broker.script.chunk("Hello")
    stage.channels.reconnected()
    await eventually(lambda: stage.channel.live.epoch == "epoch-2", what="the other log is read")
    await idle(stage)
    broker.publish(broker.script.chunk(" new"))
    assert stage.channel.live.snapshot.sections[0].text == "Hello new"
    assert client.told[-1]["event"]["data"]["text"] == " new" and not stage.refusals


async def test_a_conversations_log_made_anew_under_a_broker_that_stays_is_read() -> None:
    """The same where the other log is found by a reader who comes to a conversation."""
    stage = Stage(load_timeout_s=10.0)
    await after_an_outage(stage)
    stage.conversations.log_epoch = "c-epoch-2"
    stage.conversations.load = slowly(stage.conversations.load)  # type: ignore[method-assign]
    client = stage.enter(HOME, ADA)
    await eventually(lambda: "conversation" in client.types or stage.refusals, what="an answer")
    assert client.told[-1]["position"]["epoch"] == "c-epoch-2" and stage.conversations.loads == 1


async def test_a_log_that_never_stays_the_same_is_not_followed() -> None:
    """Where each answer comes of another log a reader is told so after a few, and the loop is left alone."""
    stage = Stage()
    await after_an_outage(stage)
    load = stage.broker.load

    async def never_the_same(owner: str, post: str) -> Loaded | None:
        await asyncio.sleep(0)
        loaded = await load(owner, post)
        return loaded and replace(loaded, epoch=f"epoch-{stage.broker.loads}a")

    stage.broker.load = never_the_same  # type: ignore[method-assign]
    stage.join()
    assert await stage.refused() == "broker_unavailable"
    assert stage.broker.loads == LOG_TRIES


def late_comparison(stage: Stage) -> tuple[asyncio.Event, asyncio.Event]:
    """The log is slow to say how far it goes: set when it was asked, and to be set for it to answer."""
    asked, answer = asyncio.Event(), asyncio.Event()
    real = stage.broker.newest_seq

    async def late(owner: str, post: str, *, now: bool) -> int:
        asked.set()
        await answer.wait()
        return await real(owner, post, now=now)

    stage.broker.newest_seq = late  # type: ignore[method-assign]
    return asked, answer


async def test_what_a_comparison_says_during_a_load_is_not_taken_back() -> None:
    """A log that is replaced while what was loaded is being repaired is read once more."""
    stage = Stage()
    client = await stage.live(stage.join())
    asked, answer = late_comparison(stage)
    script, loads = stage.broker.script, stage.broker.load

    async def behind(owner: str, post: str) -> Loaded | None:
        await asyncio.sleep(0)
        return script.loaded(4) if script is stage.broker.script else await loads(owner, post)

    stage.broker.load = behind  # type: ignore[method-assign]
    stage.broker.watches[0].on_message("chunk", b"{", 50)  # damage: it is loaded anew
    script.chunk(" lost")
    stage.broker.publish(script.chunk(" found"))
    await eventually(asked.is_set, what="what was loaded is repaired")
    stage.channels.disconnected()
    stage.broker.script = Script().begin()
    for text in ("New", " and", " other", " and longer"):
        stage.broker.script.chunk(text)
    stage.broker.log_epoch = "epoch-2"
    stage.channels.reconnected()
    await eventually(lambda: stage.channels._desk.post_epoch == "epoch-2", what="the log is compared")
    answer.set()
    await idle(stage)
    assert stage.channel.live.epoch == "epoch-2" and client.told[-1]["position"]["epoch"] == "epoch-2"
    assert stage.channel.live.snapshot.sections[0].text == "New and other and longer"


async def test_a_reader_who_is_ahead_has_no_two_logs_mixed() -> None:
    """The log is replaced while what was loaded is repaired; for who has seen more it is not repaired once more."""
    stage = Stage()
    client = await stage.live(stage.join())
    script, load = stage.broker.script, stage.broker.load
    asked, answer = late_comparison(stage)
    stage.broker.load = AsyncMock(return_value=script.loaded(4))  # type: ignore[method-assign]
    stage.broker.watches[0].on_message("chunk", b"{", 50)  # damage: it is loaded anew
    stage.join(position=Position(epoch=EPOCH, seq=9))
    script.chunk(" lost")
    stage.broker.publish(script.chunk(" found"))
    await eventually(asked.is_set, what="what was loaded is repaired")
    stage.channels.disconnected()
    stage.broker.script, stage.broker.log_epoch, stage.broker.load = Script().begin(), "epoch-2", load  # type: ignore[method-assign]
    for text in ("World", " and", " other", " and longer"):
        stage.broker.script.chunk(text)
    repair = stage.channels._upkeep[stage.channel].task
    assert repair is not None
    answer.set()
    await asyncio.wait({repair})
    stage.channels.reconnected()
    await eventually(lambda: stage.channel.live.epoch == "epoch-2", what="the other log is read")
    await idle(stage)
    assert stage.channel.live.snapshot.sections[0].text == "World and other and longer"
    assert client.seqs == [], "nothing of the other log is added to what was shown of the lost one"


async def test_answers_that_have_not_begun_hold_up_nobody() -> None:
    """Who waits for an announced answer's first event takes no turn away from those whose post can be read."""
    conversations = FakeConversations().begin()
    replies = [letter * 26 for letter in "qrst"]
    for post in replies:
        conversations.say("", role="assistant", author=None, post=post)
    stage = Stage(conversations=conversations, max_loads=len(replies), load_timeout_s=60.0)
    asked, load = set(), stage.broker.load

    async def only_what_began(owner: str, post: str) -> Loaded | None:
        asked.add(post)
        return await load(owner, post) if post == POST else None

    stage.broker.load = only_what_began  # type: ignore[method-assign]
    for post in replies:
        stage.enter(f"reply:{CONVERSATION}:{post}", ADA)
    await eventually(lambda: asked == {*replies}, what="the answers are waited for")
    await stage.live(stage.join())
    assert not stage.refusals, "and they are waited for on"
    await stage.channels.stop()


async def test_loads_that_hang_hold_up_no_repair() -> None:
    """As many joins as may be read at once wait for a store that hangs; who is live is repaired all the same."""
    stage = Stage(max_loads=2, load_timeout_s=60.0)
    client = await stage.live(stage.join())
    asked, load = set(), stage.broker.load

    async def hangs(owner: str, post: str) -> Loaded | None:
        asked.add(post)
        if post != POST:
            await asyncio.Event().wait()
        return await load(owner, post)

    stage.broker.load = hangs  # type: ignore[method-assign]
    ended = ["q" * 26, "r" * 26, "s" * 26]
    for post in ended:
        stage.join(f"post:{post}")
    await eventually(lambda: len(asked) == 2, what="all turns are taken")
    stage.broker.script.chunk(" lost")
    stage.broker.publish(stage.broker.script.chunk(" found"))
    await eventually(lambda: client.seqs == [6], what="the lost event is read")
    await stage.channels.stop()


async def test_a_part_that_ends_while_it_is_loaded_leaves_nothing() -> None:
    """An answer that is given up with its conversation is followed no more, and fills no ring."""
    stage = Stage()
    stage.enter(HOME, ADA)
    await idle(stage)
    asked, answer, watch = asyncio.Event(), asyncio.Event(), stage.broker.watch_post

    async def late(owner: str, post: str, on_message: OnMessage) -> FakeWatch:
        asked.set()
        await answer.wait()
        return await watch(owner, post, on_message)

    stage.broker.watch_post = late  # type: ignore[method-assign]
    stage.enter(f"reply:{CONVERSATION}:{POST}", ADA)
    await asked.wait()
    stage.channels._give_up(stage.hub.conversation_channel(CONVERSATION), "internal")
    answer.set()
    await eventually(lambda: not stage.channels._leftovers, what="nothing is under way")
    assert stage.hub.channels == {} and stage.hub.limits.rings.used_bytes == 0
    assert not any(w.on for w in stage.broker.watches) and not any(w.on for w in stage.conversations.watches)


async def test_what_is_heard_of_a_channel_that_is_forgotten_counts_for_nobody() -> None:
    """Until its interest has ended something may still come in; it takes nothing of the rings' budget."""
    stage = Stage()
    client = stage.enter(f"presence:{CONVERSATION}", ADA)
    await eventually(lambda: "here" in client.types, what="it is told who is there")
    (watch, _), *_ = stage.presence.presence.listeners
    stage.channels._give_up(stage.hub.conversation_channel(CONVERSATION), "internal")
    watch.listener.heard(BOB, "bob-1")
    assert stage.hub.channels == {} and stage.hub.limits.rings.used_bytes == 0


async def test_a_loss_while_a_list_is_read_is_made_good_by_another_one() -> None:
    """An owner's events that may have been lost while the list is read make it be read once more, for all readers."""
    stage = Stage()
    client = stage.join(f"user:{OWNER}")
    await eventually(lambda: client.types == ["subscribed", "posts"], what="the list")
    stage.clock.advance(2.0)
    stage.channels.sweep()
    await eventually(lambda: client.types[2:] == ["posts"], what="the settled list")
    asked, answer, lists = asyncio.Event(), asyncio.Event(), stage.broker.newest_posts

    async def late(owner: str) -> list[dict[str, Any]]:
        found = await lists(owner)
        asked.set()
        await answer.wait()
        return found

    stage.broker.newest_posts = late  # type: ignore[method-assign]
    stage.channels.suspect(OWNER)
    await asked.wait()
    stage.broker.items = [{"id": "new"}]
    stage.channels.suspect(OWNER)
    answer.set()
    await eventually(lambda: client.told[-1].get("items") == [{"id": "new"}], what="the list that has it")


async def test_a_load_that_meets_no_answer_stalls_nobody() -> None:
    """Who comes first to a channel that cannot be read is refused; nobody waits there any more."""
    stage = Stage(load_timeout_s=0.5)
    stage.broker.down = True
    stage.join()
    assert await stage.refused() == "broker_unavailable"
    assert not stalled(stage)


async def test_after_an_outage_channels_are_made_whole_one_after_the_other() -> None:
    """A bounded number is asked about at a time, those with readers first; each gets all it missed at once."""
    stage = Stage(max_loads=2)
    posts = [letter * 26 for letter in "qrstuvwx"]
    for post in posts:
        await stage.live(stage.join(f"post:{post}"))
    for post in posts[:3]:
        (reader,) = stage.hub.post_channel(OWNER, post).subscriptions
        stage.channels.leave(reader)
    compared: list[str] = []
    read: list[str] = []
    under_way: list[int] = []
    newest_seq, events_after = stage.broker.newest_seq, stage.broker.events_after

    async def compare(owner: str, post: str, *, now: bool) -> int:
        compared.append(post)
        under_way.append(len(compared) - len(read))
        return await slowly(newest_seq)(owner, post, now=now)

    async def missing(owner: str, post: str, stream_seq: int) -> Sequence[LogEvent]:
        found = await slowly(events_after)(owner, post, stream_seq)
        read.append(post)
        return found

    stage.broker.newest_seq, stage.broker.events_after = compare, missing  # type: ignore[method-assign]
    stage.broker.script.chunk(" lost")
    await after_an_outage(stage)
    assert compared == [*posts[3:], *posts[:3]] and sorted(read) == posts
    assert max(under_way) == 2
    assert {stage.hub.post_channel(OWNER, post).live.seq for post in posts} == {stage.broker.script.truth.seq}


async def test_after_an_outage_nothing_is_read_where_nothing_was_missed() -> None:
    """One question for a channel is all: reading an end in vain would cost the broker nearly as much as a post."""
    stage = Stage()
    client = await stage.live(stage.join())
    reads = stage.broker.reads
    await after_an_outage(stage)
    assert phase(stage.channel.live) is Phase.LIVE
    assert stage.broker.reads == reads and not stage.hub.counters.repairs
    stage.broker.publish(stage.broker.script.chunk(" more"))
    assert client.seqs == [5]


async def test_a_post_that_left_the_log_during_an_outage_is_read_anew() -> None:
    """It has ended, and nobody here heard of it: it is not taken for one that is as it was."""
    stage = Stage()
    client = await stage.live(stage.join())
    stage.broker.script.publish()
    stage.broker.lag = 10**9
    await after_an_outage(stage)
    assert stage.broker.loads == 2 and stage.channel.live.snapshot.status == "published"
    assert client.types.count("snapshot") == 2
