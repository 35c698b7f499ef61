"""Who is there, across gateways: tabs, goodbyes, the death of a gateway, whispers; and hostile frames."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire_chassis.clock import new_id
from inkwire_gateway.app import Running
from inkwire_gateway.session import MAX_WHISPER_BYTES
from tests.integration.conversation_support import Talk, member
from tests.integration.gateway_support import (
    Author,
    HeldTime,
    World,
    close_code,
    gateway_process,
    running_gateway,
    settings,
    token,
    world,
)
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess
from tests.support.wait import eventually

pytestmark = pytest.mark.nats

Keep = Callable[[ManagedProcess], ManagedProcess]


@pytest_asyncio.fixture
async def w(nats_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world(nats_url, tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def other(w: World, nats_url: str, tmp_path: Path) -> AsyncIterator[Running]:
    """A second gateway."""
    async with running_gateway(settings(nats_url, tmp_path)) as gateway:
        yield gateway


async def test_a_person_is_there_once_and_goes_once(w: World, other: Running) -> None:
    """Tabs in two gateways are one person, who goes with the last of them; name and avatar are the token's."""
    talk = await Talk(w.log).begin("bob")
    bobs = token("bob", name="Bob", avatar="https://example.com/b.png")
    async with member(w.port, token("ada", name="Ada")) as ada:
        assert await ada.be_there(talk) == {"ada"}
        async with member(other.port, bobs) as tab, member(w.port, bobs) as second:
            assert await tab.be_there(talk) == {"ada", "bob"}
            joined = await ada.until("joined")
            assert joined["member"] == {"user": "bob", "name": "Bob", "avatar": "https://example.com/b.png"}
            assert await second.be_there(talk) == {"ada", "bob"}
            await tab.send(type="unsubscribe", channel=talk.presence)
            await tab.until("unsubscribed")
            await second.send(type="whisper", channel=talk.presence, name="still-here")
            await ada.until("whispered")
            assert not ada.told("left"), "one tab is left"
        left = await ada.until("left")
        assert left["member"]["user"] == "bob" and len(ada.told("joined")) == len(ada.told("left")) == 1
        async with member(other.port, token("bob")) as again:
            assert await again.be_there(talk) == {"ada", "bob"}
            await ada.until("joined")


async def test_whispers_reach_members_and_nobody_else(w: World, other: Running) -> None:
    """The others get it, other tabs of the sender too; who sent it is told by the token; other conversations do not."""
    talk, elsewhere = await Talk(w.log).begin("bob"), await Talk(w.log).begin("bob")
    async with (
        member(w.port, token("ada", name="Ada")) as ada,
        member(other.port, token("ada", name="Ada")) as tab,
        member(other.port, token("bob")) as bob,
        member(w.port, token("bob")) as away,
    ):
        for client in (ada, tab, bob):
            await client.be_there(talk)
        await away.be_there(elsewhere)
        lie = {"member": {"user": "bob"}, "user": {"id": "bob"}, "text": 'a","b'}
        await ada.send(type="whisper", channel=talk.presence, name="typing", data=lie)
        for client in (tab, bob):
            told = await client.until("whispered")
            assert told["member"] == {"user": "ada", "name": "Ada", "avatar": ""}
            assert told["data"] == lie and told["name"] == "typing"
        await bob.send(type="whisper", channel=talk.presence, name="seen")
        assert (await ada.until("whispered"))["name"] == "seen", "its own it did not get"
        await ada.send(type="whisper", channel=elsewhere.presence, name="typing", id=5)
        assert (await ada.until("error", id=5))["code"] == "not_subscribed"
        await away.send(type="ping", id=1)
        await away.until("pong")
        assert not away.whispers


async def test_a_killed_gateways_people_go_once(w: World, nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """After kill -9 who comes back in time was never away, and who does not is gone once, within the setting's time."""
    port = free_port()
    process = keep(gateway_process(tmp_path, port, INKWIRE_NATS_URL=nats_url))
    process.start()
    await eventually(lambda: '"ready"' in process.log, what="the gateway is ready", timeout_s=30)
    talk = await Talk(w.log).begin("bob", "eve")
    async with (
        running_gateway(settings(nats_url, tmp_path, presence_ttl_s=20.0)) as watching,
        member(watching.port, token("ada")) as ada,
    ):
        time = HeldTime(watching)
        await ada.be_there(talk)
        async with member(port, token("bob")) as bob, member(port, token("eve")) as eve:
            await bob.follow_conversation(talk)
            await bob.be_there(talk)
            await eve.be_there(talk)
            while ada.here[talk.presence] != {"ada", "bob", "eve"}:
                await ada.next()
            process.kill9()
            await close_code(bob)
        await talk.say("meanwhile")
        async with member(watching.port, token("bob")) as back:
            back.conversations = bob.conversations
            answer = await back.follow_conversation(talk, bob.positions[talk.channel])
            assert answer["recovered"] is True
            assert [f["event"]["type"] for f in back.told("conversation_event")] == ["message_created"]
            await back.be_there(talk)
            time.advance(21.0)
            assert (await ada.until("left"))["member"]["user"] == "eve"
            await back.send(type="whisper", channel=talk.presence, name="here")
            await ada.until("whispered")
            assert ada.here[talk.presence] == {"ada", "bob"} and len(ada.told("joined")) == 2


async def test_a_gateway_that_stops_takes_nobody_away(w: World, nats_url: str, tmp_path: Path) -> None:
    """Its clients come back elsewhere at once, so a stop in order is told to nobody."""
    talk = await Talk(w.log).begin("bob")
    async with member(w.port, token("ada")) as ada:
        await ada.be_there(talk)
        async with running_gateway(settings(nats_url, tmp_path)) as stopping:
            bob = await asyncio.wait_for(_present(stopping, talk), 20)
            await ada.until("joined")
        assert bob is not None
        async with member(w.port, token("bob")) as back:
            assert await back.be_there(talk) == {"ada", "bob"}
            await back.send(type="whisper", channel=talk.presence, name="back")
            await ada.until("whispered")
        assert len(ada.told("joined")) == 1 and not ada.told("left")


async def _present(gateway: Running, talk: Talk) -> object:
    """Somebody whose connection ends with the gateway."""
    opened = member(gateway.port, token("bob"))
    bob = await opened.__aenter__()
    await bob.be_there(talk)
    return opened


HOSTILE = [
    '"name":"n","data":[]',
    '"name":"n","data":{"n":1' + "0" * 400 + "}",
    '"name":"n","data":{"s":"\\ud800"}',
    '"name":"n","data":{"x":"' + "x" * MAX_WHISPER_BYTES + '"}',
    '"name":"Typing"',
    '"name":""',
    '"name":"a\\",\\"b"',
    '"name":"' + "n" * 41 + '"',
]


async def test_hostile_whispers(w: World) -> None:
    """Whispers that are too large, misnamed or cannot be passed on are refused, and after ten the connection ends."""
    talk = await Talk(w.log).begin("bob")
    async with member(w.port, token("ada")) as ada, member(w.port, token("bob")) as bob:
        await ada.be_there(talk)
        await bob.be_there(talk)
        for number, rest in enumerate(HOSTILE):
            await ada.socket.send(f'{{"type":"whisper","channel":"{talk.presence}",{rest},"id":{number}}}')
            assert (await ada.until("error"))["code"] == "invalid_frame", rest
        await ada.socket.send(f'{{"type":"whisper","channel":"{talk.presence}","name":"n","data":{{"n":1e99999}}}}')
        assert (await bob.until("whispered"))["data"] == {"n": None}, "nothing that is not JSON"
        for _ in range(10 - len(HOSTILE)):
            await ada.socket.send("[]")
        assert await close_code(ada) == 4000
        await bob.until("left")
        assert len(bob.whispers) == 1


async def test_whispers_are_bounded_and_in_their_place(w: World) -> None:
    """A flood is refused beyond its burst; channels that are none, or no presence, are refused by name."""
    talk = await Talk(w.log).begin("bob")
    async with member(w.port, token("ada")) as ada, member(w.port, token("bob")) as bob:
        await ada.be_there(talk)
        await bob.be_there(talk)
        for n in range(60):
            await ada.send(type="whisper", channel=talk.presence, name="flood", id=n)
        assert (await ada.until("error"))["code"] == "rate_limited"
        await bob.send(type="whisper", channel=talk.channel, name="typing", id=8)
        assert (await bob.until("error", id=8))["code"] == "invalid_channel"
        for channel in ("presence:x", "reply:a:b", f"reply:{talk.conversation}", "conversation:*", "conversation:a.b"):
            await bob.send(type="subscribe", channel=channel, id=9)
            assert (await bob.until("error", id=9))["code"] == "invalid_channel"


async def test_tokens_that_name_channels(w: World) -> None:
    """A token for one channel of a conversation opens no other one of it."""
    talk = await Talk(w.log).begin()
    async with member(w.port, token("ada", channels=[talk.channel])) as ada:
        await ada.follow_conversation(talk)
        assert (await ada.enter(talk.presence))["code"] == "forbidden_channel"
        answer = f"reply:{talk.conversation}:{new_id()}"
        await ada.send(type="cancel", channel=answer, id=3)
        assert (await ada.until("error", id=3))["code"] == "forbidden_channel"
        other = Author(w.log)
        assert (await ada.enter(other.channel))["code"] == "forbidden_channel"
