"""Channels that could not be kept whole at once are seen to again, whatever goes on meanwhile."""

import asyncio
from collections.abc import Callable

from inkwire_gateway.live_conversation import LiveConversation
from inkwire_gateway.live_post import LivePost, Phase
from tests.support.wait import eventually
from tests.unit.gateway.conversation_fakes import ADA, CONVERSATION
from tests.unit.gateway.stage import Stage

HOME = f"conversation:{CONVERSATION}"


async def idle(stage: Stage) -> None:
    """Wait until no channel is being seen to."""
    await eventually(lambda: not any(u.task for u in stage.channels._upkeep.values()), what="nothing is under way")


def phase(live: LivePost | LiveConversation) -> Phase:
    """Where a channel stands now."""
    return live.phase


async def rounds(stage: Stage, publish: Callable[[], object]) -> None:
    """Some seconds of a channel that is never silent for as long as a check waits for."""
    for _ in range(4):
        stage.clock.advance(1.5)
        publish()
        stage.channels.sweep()
        await idle(stage)


async def test_a_repair_that_failed_is_made_up_for_while_text_goes_on() -> None:
    """A post whose repair met no answer is read as soon as there is one, although messages keep coming."""
    stage = Stage(load_timeout_s=0.05)
    client = await stage.live(stage.join())
    stage.broker.script.chunk(" lost")
    stage.broker.down = True
    stage.broker.publish(stage.broker.script.chunk(" found"))
    await idle(stage)
    assert phase(stage.channel.live) is Phase.BUFFERING
    stage.broker.down = False
    await rounds(stage, lambda: stage.broker.publish(stage.broker.script.chunk(".")))
    assert phase(stage.channel.live) is Phase.LIVE
    assert client.seqs[-1] == stage.broker.script.truth.seq


async def test_a_conversation_s_repair_that_failed_is_made_up_for_while_its_members_talk() -> None:
    """The same of a conversation."""
    stage = Stage(load_timeout_s=0.05)
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
