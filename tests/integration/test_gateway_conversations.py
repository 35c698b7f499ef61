"""Conversations over a real gateway and broker: members and strangers, resume, gaps, answers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire_chassis.clock import new_id
from inkwire_contracts.fold import document
from inkwire_contracts.topology import CONVERSATIONS
from inkwire_stores.conversation_ports import StoredConversation
from tests.integration.conversation_support import Talk, member
from tests.integration.gateway_support import Author, World, running_gateway, settings, token, world
from tests.integration.gateway_support import without_republish as without_live_messages
from tests.support.wait import eventually

pytestmark = pytest.mark.nats


@pytest_asyncio.fixture
async def w(nats_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world(nats_url, tmp_path) as opened:
        yield opened


async def test_members_follow_a_conversation(w: World) -> None:
    """Who joins at any time and who follows live fold the same conversation; each event comes once."""
    talk = await Talk(w.log).begin("bob")
    async with member(w.port, token("ada")) as ada, member(w.port, token("bob")) as bob:
        answer = await ada.follow_conversation(talk)
        assert answer["recovered"] is False
        await talk.say("Hello")
        await talk.react("👍", by="bob")
        await bob.follow_conversation(talk)
        await talk.say("Once more", replaces=talk.truth.messages[-1].message)
        await ada.until_same(talk)
        await bob.until_same(talk)
        assert len(ada.told("conversation")) == len(bob.told("conversation")) == 1
        assert bob.conversations[talk.channel].title == "Talk" and len(talk.truth.standing) == 1


async def test_strangers_are_told_nothing(w: World) -> None:
    """For who is no member every channel of a conversation is as one that does not exist; deleted ones too."""
    talk = await Talk(w.log).begin("bob")
    answer = await talk.answer()
    await answer.author.begin("s1", turn=answer.turn)
    nothing = Talk(w.log)
    async with member(w.port, token("eve")) as eve, member(w.port, token("ada")) as ada:
        refusals = []
        for channel in (talk.channel, talk.presence, answer.channel, nothing.channel, nothing.presence):
            refusals.append(await eve.enter(channel))
        assert {(f["type"], f["code"], f["message"]) for f in refusals} == {
            ("error", "not_found", refusals[0]["message"])
        }
        await ada.follow_conversation(talk)
        await talk.say("secret")
        await ada.until_same(talk)
        await talk.delete()
        assert (await eve.enter(talk.channel))["code"] == "not_found"
        assert (await ada.until("unsubscribed"))["code"] == "conversation_gone"
        assert (await ada.enter(talk.channel))["code"] == "conversation_gone"
        assert "secret" not in str(eve.frames) and not eve.told("conversation")


async def test_who_is_removed_loses_everything_at_once(w: World) -> None:
    """A removed member's three channels end, nothing said later arrives; who is added can join at once."""
    talk = await Talk(w.log).begin("bob")
    answer = await talk.answer()
    await answer.author.begin("s1", turn=answer.turn)
    await answer.author.open_section("s1")
    async with member(w.port, token("ada")) as ada, member(w.port, token("bob")) as bob:
        await ada.follow_conversation(talk)
        await bob.follow_conversation(talk)
        await bob.follow(answer.channel)
        await bob.be_there(talk)
        assert await ada.be_there(talk) == {"ada", "bob"}
        await talk.member("bob", present=False)
        await talk.say("among us")
        await answer.author.chunk("among us")
        await ada.until_same(talk)
        ended = {(await bob.until("unsubscribed"))["channel"] for _ in range(3)}
        assert ended == {talk.channel, talk.presence, answer.channel}
        assert {f["code"] for f in bob.told("unsubscribed")} == {"not_a_member"}
        assert (await bob.enter(talk.channel))["code"] == "not_found"
        assert "among us" not in str(bob.frames)
        while ada.here[talk.presence] != {"ada"}:
            await ada.next()
        await talk.member("bob")
        await bob.follow_conversation(talk)
        assert "among us" in str(bob.frames)


async def test_resume_on_another_gateway(w: World, nats_url: str, tmp_path: Path) -> None:
    """A reader goes on elsewhere with exactly what it missed; a position of another log gets the whole."""
    talk = await Talk(w.log).begin("bob")
    await talk.say("one")
    async with member(w.port, token("bob")) as bob:
        await bob.follow_conversation(talk)
    old, position = bob.conversations[talk.channel], bob.positions[talk.channel]
    for text in ("two", "three"):
        await talk.say(text)
    async with (
        running_gateway(settings(nats_url, tmp_path)) as other,
        member(other.port, token("bob")) as bob,
        member(other.port, token("ada")) as ada,
    ):
        await ada.follow_conversation(talk)
        bob.conversations[talk.channel] = old
        answer = await bob.follow_conversation(talk, position)
        assert answer["recovered"] is True
        assert [f["event"]["data"]["content"] for f in bob.told("conversation_event")] == ["two", "three"]
        await bob.send(type="unsubscribe", channel=talk.channel)
        foreign = await bob.enter(talk.channel, {"epoch": "another", "seq": 3})
        assert foreign["recovered"] is False
        await bob.until("conversation")


async def test_what_the_log_forgot_cannot_be_resumed(w: World) -> None:
    """Where events after a position are purged, the conversation comes whole, from the store."""
    talk = await Talk(w.log).begin()
    async with member(w.port, token("ada")) as ada:
        await ada.follow_conversation(talk)
        position = ada.positions[talk.channel]
        for text in ("one", "two", "three"):
            await talk.say(text)
        await ada.until_same(talk)
    epoch = await talk.log.epoch()
    assert await w.store.conversations.put(StoredConversation(talk.truth.model_copy(deep=True), epoch), expected=None)
    await talk.log.purge(talk.conversation, up_to=talk.truth.seq - 1)
    await eventually(lambda: not w.gateway.hub.channels, what="the gateway has forgotten the conversation")
    async with member(w.port, token("ada")) as ada:
        answer = await ada.follow_conversation(talk, position)
        assert answer["recovered"] is False
        await talk.say("four")
        await ada.until_same(talk)
        position = ada.positions[talk.channel]
    async with member(w.port, token("ada")) as again:
        again.conversations[talk.channel] = ada.conversations[talk.channel]
        assert (await again.follow_conversation(talk, position))["recovered"] is True


async def test_lost_live_messages_are_read_from_the_log(w: World) -> None:
    """A gap is filled when the next message shows it; a lost last message is found by the tail check."""
    talk = await Talk(w.log).begin("bob")
    async with member(w.port, token("ada")) as ada:
        await ada.follow_conversation(talk)
        async with without_live_messages(w.log, CONVERSATIONS):
            await talk.say("lost")
        await talk.say("found")
        await ada.until_same(talk)
        assert w.gateway.hub.counters.gaps == 1
        async with without_live_messages(w.log, CONVERSATIONS):
            await talk.say("lost at the end")
        await ada.until_same(talk)
        assert len(ada.told("conversation")) == 1, "nothing had to be told anew"


async def test_added_while_live_messages_are_lost(w: World) -> None:
    """Who was added just now is let in although this gateway has not heard of it."""
    talk = await Talk(w.log).begin()
    async with member(w.port, token("ada")) as ada, member(w.port, token("bob")) as bob:
        await ada.follow_conversation(talk)
        assert (await bob.enter(talk.channel))["code"] == "not_found"
        async with without_live_messages(w.log, CONVERSATIONS):
            await talk.member("bob")
        await bob.follow_conversation(talk)


async def test_an_answer_is_a_post_for_all_members(w: World) -> None:
    """Members who join at different places and resume have the owner's text, character by character."""
    talk = await Talk(w.log).begin("bob")
    answer = await talk.answer()
    async with member(w.port, token("bob")) as bob, member(w.port, token("ada")) as ada:
        waiting = asyncio.create_task(bob.follow(answer.channel))  # the message is there before the post
        await answer.author.begin("s1", turn=answer.turn)
        await waiting
        await answer.author.open_section("s1")
        for n in range(20):
            await answer.author.chunk(f"{n} é😀 ")
        await ada.follow(answer.channel)
        await ada.send(type="unsubscribe", channel=answer.channel)
        await ada.until("unsubscribed")
        position = ada.positions[answer.channel]
        await answer.author.chunk("more")
        await answer.author.complete()
        await ada.follow(answer.channel, position)
        assert ada.recovered[answer.channel] is True
        await answer.author.publish()
        for reader in (ada, bob):
            assert document(await reader.read_to_end(answer.channel)) == answer.author.text
            assert reader.exact


async def test_only_answers_of_the_conversation_are_replies(w: World) -> None:
    """Another post of the owner, or an answer elsewhere, is not found under a conversation's name."""
    talk, other = await Talk(w.log).begin("bob"), await Talk(w.log).begin("eve")
    article, elsewhere = Author(w.log), await other.answer()
    await article.begin("s1")
    await elsewhere.author.begin("s1", turn=elsewhere.turn)
    async with member(w.port, token("bob")) as bob:
        for post in (article.post, elsewhere.author.post, new_id()):
            assert (await bob.enter(f"reply:{talk.conversation}:{post}"))["code"] == "not_found"
        assert (await bob.enter(f"post:{elsewhere.author.post}"))["code"] == "not_found"


async def test_an_owners_channel_leaves_answers_out(w: World) -> None:
    """Lifecycle events of answers are not told, also of those that began before anybody listened; articles' are."""
    talk = await Talk(w.log).begin()
    early = await talk.answer()
    await early.author.begin("s1", turn=early.turn)
    article = Author(w.log)
    await article.begin("s1")
    async with member(w.port, token("ada")) as ada:
        await ada.enter("user:ada")
        await ada.until("posts")
        late = await talk.answer()
        await late.author.begin("s1", turn=late.turn)
        await late.author.publish()
        await early.author.publish()
        await article.publish()
        told = await ada.until("event", name="post.published")
        assert told["event"]["post"] == article.post
        marker = Author(w.log)
        await marker.begin("s1")
        await ada.until("event", name="generate.requested")
        assert {f["event"]["post"] for f in ada.told("event")} <= {article.post, marker.post}
