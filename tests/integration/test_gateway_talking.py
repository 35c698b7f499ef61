"""A conversation as people have it: a real api, a real generator, and members at a real gateway."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inkwire_contracts.fold import document
from inkwire_gateway.app import Running
from tests.integration.conversation_support import Member, member
from tests.integration.gateway_support import running_gateway, settings
from tests.support.api import KEYS, Api, open_api, token
from tests.support.generator import generator_settings, running_generator
from tests.support.sim import SimServer

pytestmark = pytest.mark.nats


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def gateway(api: Api, nats_url: str, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway that knows the api and shares its keys."""
    async with running_gateway(settings(nats_url, tmp_path, jwt_keys=KEYS, api_url=api.base_url)) as running:
        yield running


async def begun(api: Api) -> str:
    """Ana's conversation with Bob."""
    answer = await api.ask("POST", "/conversations", json={"title": "Queues"})
    assert answer.status == 201, answer.json
    conversation = str(answer.json["id"])
    added = await api.ask("PUT", f"/conversations/{conversation}/members/bob", json={"name": "Bob"})
    assert added.status in (200, 201, 204), added.json
    return conversation


async def asked(api: Api, conversation: str) -> dict[str, Any]:
    """A question; what the api says of its answer."""
    answer = await api.ask("POST", f"/conversations/{conversation}/messages", json={"content": "Why queues?"})
    assert answer.status == 202, answer.json
    return dict(answer.json["reply"])


async def cancelled(m: Member, channel: str) -> dict[str, Any]:
    """Send ``cancel`` and wait for its answer."""
    await m.send(type="cancel", channel=channel, id=9)
    while True:
        frame = await m.next()
        if frame["type"] in ("cancelling", "error") and frame["id"] == 9:
            return frame


async def test_a_member_reads_an_answer_from_the_message_on(
    api: Api, gateway: Running, nats_url: str, tmp_path: Path
) -> None:
    """Added over HTTP, at once let in; the message names the post, and its text is the owner's to the letter."""
    with SimServer(tokens_per_s=2_000) as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            conversation = await begun(api)
            async with member(gateway.port, token("bob")) as bob, member(gateway.port, token("ana")) as ana:
                assert (await bob.enter(f"conversation:{conversation}"))["type"] == "subscribed"
                reply = await asked(api, conversation)
                while True:
                    told = await bob.until("conversation_event", name="message.created")
                    if told["event"]["data"]["post"] == reply["post"]:
                        break
                assert reply["channel"] == f"reply:{conversation}:{reply['post']}"
                await bob.follow(reply["channel"])
                await ana.follow(f"post:{reply['post']}")
                shared = await bob.read_to_end(reply["channel"])
                own = await ana.read_to_end(f"post:{reply['post']}")
    assert shared.status == "published" and document(shared) == document(own) != ""
    assert bob.exact and ana.exact


async def test_any_member_stops_an_answer_by_a_frame(api: Api, gateway: Running) -> None:
    """The wish goes through the conversation's own route: a member's is taken, a stranger's is for nothing there."""
    conversation = await begun(api)
    reply = await asked(api, conversation)
    async with member(gateway.port, token("bob")) as bob, member(gateway.port, token("eve")) as eve:
        assert (await cancelled(eve, reply["channel"]))["code"] == "not_found"
        answer = await cancelled(bob, reply["channel"])
        assert (answer["channel"], answer["run"], answer["accepted"]) == (reply["channel"], 1, True)
        assert (await cancelled(bob, reply["channel"]))["accepted"] is False
        elsewhere = f"reply:{conversation}:{'a' * 26}"
        assert (await cancelled(bob, elsewhere))["code"] == "not_found"
