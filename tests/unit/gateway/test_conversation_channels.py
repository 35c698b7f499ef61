"""Conversations come to life for members alone, are repaired, and turn out who is no member any more."""

from typing import Any

import pytest

from inkwire_contracts.client_frames import Position, PresentMember
from inkwire_contracts.fold import Snapshot
from inkwire_gateway.channel import HubLimits
from inkwire_gateway.conversation_channel import ConversationChannel
from inkwire_gateway.dialects.native import NATIVE
from inkwire_gateway.live_post import Loaded
from inkwire_gateway.subscription import Subscription
from tests.support.wait import eventually
from tests.unit.gateway.builders import EPOCH, POST
from tests.unit.gateway.conversation_fakes import ADA, BOB, CONVERSATION, EVE
from tests.unit.gateway.fakes import FakeTransport
from tests.unit.gateway.stage import Stage

NAME = f"conversation:{CONVERSATION}"
PRESENCE = f"presence:{CONVERSATION}"
REPLY = f"reply:{CONVERSATION}:{POST}"


@pytest.fixture
def stage() -> Stage:
    """Fresh channels."""
    return Stage()


async def told(client: FakeTransport, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until a client has so many frames of a type."""
    await eventually(lambda: client.types.count(kind) >= count, what=f"{count} {kind}")
    return [frame for frame in client.told if frame["type"] == kind]


async def following(stage: Stage, name: str = NAME, who: PresentMember = ADA, **fields: Any) -> FakeTransport:
    """Somebody who follows."""
    client = stage.enter(name, who, **fields)
    await told(client, "subscribed")
    return client


def home(stage: Stage) -> ConversationChannel:
    """The conversation's channel."""
    return stage.hub.conversation_channel(CONVERSATION)


async def test_members_share_one_load_and_one_encoding(stage: Stage) -> None:
    """Whoever comes later reads memory, and one event's bytes are the same for everybody."""
    first = await following(stage)
    later = stage.enter(NAME, BOB)
    assert later.types == ["subscribed", "conversation"], "at once"
    assert stage.conversations.loads == 1
    stage.conversations.publish(stage.conversations.say("Hello"))
    assert first.frames[-1] is later.frames[-1] and first.types[-1] == "conversation_event"


async def test_strangers_are_refused_after_the_log_was_asked(stage: Stage) -> None:
    """Who is no member here may have become one just now: the log's leader is asked before anybody is refused."""
    await following(stage)
    stage.enter(NAME, EVE)
    assert await stage.refused() == "not_found"
    stage.conversations.member("eve")  # and the live message of it is lost
    eve = stage.enter(NAME, EVE)
    await told(eve, "conversation")
    assert len(stage.refusals) == 1 and stage.conversations.loads == 1


async def test_no_such_conversation(stage: Stage) -> None:
    """Nothing of a conversation that nobody knows stays here."""
    stage.conversations.log.clear()
    stage.enter(NAME, ADA)
    assert await stage.refused() == "not_found"
    assert stage.hub.channels == {}


async def test_a_removed_member_is_turned_out_of_everything(stage: Stage) -> None:
    """Conversation, answer and presence end in the same breath, and nothing that came with it is sent."""
    stage.broker.load = _reply  # type: ignore[method-assign]
    channels = {name: await following(stage, name, BOB) for name in (NAME, PRESENCE, REPLY)}
    ada = await following(stage)
    before = {name: len(client.frames) for name, client in channels.items()}
    stage.conversations.publish(stage.conversations.member("bob", present=False))
    assert sorted(s.name for s, _ in stage.refusals) == sorted(channels)
    assert {code for _, code in stage.refusals} == {"not_a_member"}
    assert before == {name: len(client.frames) for name, client in channels.items()}
    assert ada.types[-1] == "conversation_event"


async def test_a_deletion_ends_it_for_everybody(stage: Stage) -> None:
    """Members are told that it is gone, then and later; strangers that there is nothing."""
    await following(stage)
    await following(stage, PRESENCE, BOB)
    stage.conversations.publish(stage.conversations.delete())
    assert [code for _, code in stage.refusals] == ["conversation_gone"] * 2
    stage.enter(NAME, ADA)
    await eventually(lambda: len(stage.refusals) == 3, what="a refusal")
    stage.enter(PRESENCE, EVE)
    await eventually(lambda: len(stage.refusals) == 4, what="a refusal")
    assert [code for _, code in stage.refusals[2:]] == ["conversation_gone", "not_found"]


async def test_silence_is_checked_less_and_less_often(stage: Stage) -> None:
    """A conversation that stays silent is compared after 2, 4, 8 s and so on, after a message after 2 s again."""
    await following(stage)
    await eventually(lambda: not _working(stage), what="nothing is under way")
    intervals = []
    for _ in range(6):
        asked, waited_s = stage.conversations.asked, 0
        while stage.conversations.asked == asked:
            stage.clock.advance(1.0)
            waited_s += 1
            stage.channels.sweep()
            await eventually(lambda: not _working(stage), what="nothing is under way")
        intervals.append(waited_s)
    assert intervals == [2, 4, 8, 16, 32, 32]
    stage.conversations.publish(stage.conversations.say("Hello"))
    missed = stage.conversations.say("missed")
    stage.clock.advance(2.0)
    stage.channels.sweep()
    await eventually(lambda: home(stage).live.seq == missed.seq, what="the lost message is found")


async def test_another_log_is_told_anew(stage: Stage) -> None:
    """After a reconnect to another log readers get the conversation under its epoch; members of the old one go."""
    ada, bob = await following(stage), await following(stage, who=BOB)
    stage.channels.disconnected()
    del stage.conversations.log[1:]
    stage.conversations.log_epoch = "c-epoch-2"
    stage.channels.reconnected()
    await told(ada, "conversation", 2)
    assert ada.told[-1]["position"] == {"epoch": "c-epoch-2", "seq": 3}
    assert [code for _, code in stage.refusals] == ["not_a_member"] and bob.types.count("conversation") == 1


async def test_positions_before_the_ring_are_read_from_the_log(stage: Stage) -> None:
    """Who resumes from before what is in memory gets what the log has, without a new beginning."""
    stage = Stage(limits=HubLimits(ring_events=50))
    await following(stage)
    position = Position(epoch="c-epoch-1", seq=3)
    back = stage.enter(NAME, BOB, position)
    await told(back, "conversation_event")
    assert back.told[0]["recovered"] is True and back.told[1]["position"]["seq"] == 6
    assert stage.conversations.reads == 1


async def test_resumes_are_counted_by_where_it_was_read(stage: Stage) -> None:
    """Who comes back to a conversation or an answer counts once, as memory, log or store; who comes first does not."""
    counters, position = stage.hub.counters, Position(epoch="c-epoch-1", seq=6)
    await following(stage, position=position)
    assert counters.resumes == {"log": 1}
    await following(stage, who=BOB)
    await following(stage, who=BOB, position=position)
    assert counters.resumes == {"log": 1, "memory": 1}
    forgotten = Stage()
    forgotten.conversations.purged = forgotten.conversations.log[-1].seq
    await following(forgotten, position=position)
    assert forgotten.hub.counters.resumes == {"store": 1}


async def test_resumes_of_answers_are_counted(stage: Stage) -> None:
    """An answer is read as a post is, and who comes back to it counts as one who comes back to a post."""
    counters, position = stage.hub.counters, Position(epoch=EPOCH, seq=1)
    stage.broker.load = _reply  # type: ignore[method-assign]
    await following(stage, REPLY)
    assert not counters.resumes
    await following(stage, REPLY, who=BOB, position=position)
    assert counters.resumes == {"memory": 1}


async def test_a_slow_reader_gets_the_whole_anew(stage: Stage) -> None:
    """Beyond the ring a reader is told how things stand, and is up to date then; nobody waits for it."""
    stage = Stage(limits=HubLimits(ring_events=3))
    slow, fast = await following(stage, room=200), await following(stage, who=BOB)
    for n in range(10):
        stage.conversations.publish(stage.conversations.say(str(n)))
    assert len([t for t in fast.types if t == "conversation_event"]) == 10
    while slow.queue.paused:
        slow.empty()
    assert slow.types.count("conversation") == 2 and slow.told[-1]["position"]["seq"] == home(stage).live.seq


async def test_only_an_answer_of_the_conversation(stage: Stage) -> None:
    """The owner's other posts are not found under the conversation's name, whoever asks."""
    stage.enter(REPLY, ADA)
    assert await stage.refused() == "not_found"


async def test_an_answer_that_is_announced_is_waited_for(stage: Stage) -> None:
    """Between a message and its post's first event nobody is refused."""
    answer = stage.conversations.say("", role="assistant", author=None, post=POST)
    assert answer.seq
    begun = []

    async def load(owner: str, post: str) -> Loaded | None:
        return await _reply(owner, post) if begun else begun.append(1)  # type: ignore[func-returns-value]

    stage.broker.load = load  # type: ignore[method-assign]
    client = await following(stage, REPLY, BOB)
    assert client.types == ["subscribed", "snapshot", "live"] and not stage.refusals


async def test_a_conversation_stays_as_long_as_its_parts(stage: Stage) -> None:
    """Nobody follows the conversation itself, but the roster of presence needs it; later all of it goes."""
    ada = await following(stage, PRESENCE)
    stage.clock.advance(100.0)
    for _ in range(2):
        stage.channels.sweep()
    assert home(stage).live.roster == {"ada", "bob"}
    stage.hub.leave_all(ada.queue)
    for _ in range(5):
        stage.channels.sweep()
        await eventually(lambda: not _working(stage), what="nothing is under way")
        stage.clock.advance(31.0)
    assert stage.hub.channels == {}
    await eventually(lambda: not any(w.on for w in stage.conversations.watches), what="the interest is given up")


async def test_a_connection_that_breaks_as_it_is_let_in_is_nowhere_in(stage: Stage) -> None:
    """What else it waited for is not entered on its behalf: nobody would ever take it out again."""

    class Breaking(FakeTransport):
        def lost(self) -> None:
            super().lost()
            self.queue.hub.leave_all(self.queue)

    clients = [Breaking(stage.hub) for _ in range(10)]  # a channel keeps no order among those who wait
    for number, client in enumerate(clients):
        client.fails = True
        for name in (NAME, PRESENCE):
            asked = Subscription(name, client.queue, NATIVE, None, None, who=ADA, connection=str(number))
            stage.channels.join("ada", asked)
    await eventually(lambda: all(c.ends for c in clients) and not _working(stage), what="it is over")
    assert [channel.name for channel in stage.hub.channels.values() if channel.subscriptions] == []


def _working(stage: Stage) -> bool:
    return any(upkeep.task is not None for upkeep in stage.channels._upkeep.values())


async def _reply(owner: str, post: str) -> Loaded | None:
    turn = {"conversation": CONVERSATION, "message": "m" * 26, "reply": "r" * 26}
    snapshot = Snapshot.model_validate({"post": post, "owner": owner, "seq": 1, "key_seq": 1, "turn": turn})
    return Loaded(snapshot, 10, EPOCH) if owner == "ada" else None
