"""Live messages past the broker client's queues: all of them, in order, through faults and reconnects."""

import asyncio
from collections.abc import Awaitable, Callable
from unittest.mock import Mock

import pytest
from nats.aio.msg import Msg

from inkwire_chassis.nats_connection import connected
from inkwire_gateway.adapters import tail as tail_module
from inkwire_gateway.adapters.direct_nats import DirectClient, Undelivered, number_in
from inkwire_gateway.adapters.presence import NatsPresence
from inkwire_gateway.adapters.tail import NatsTail
from inkwire_gateway.hub import Hub
from inkwire_gateway.lag import LagSampler
from inkwire_gateway.ports import PresenceListener, Unavailable, Watch
from tests.support.faulty_nats import faulty_nats
from tests.support.wait import eventually

POST, CONVERSATION = "p" * 26, "c" * 26
WATCHES: dict[str, Callable[[NatsTail], Awaitable[Watch]]] = {
    "post": lambda tail: tail.watch_post("ada", POST, lambda *_: None),
    "owner": lambda tail: tail.watch_owner("ada", lambda *_: None),
    "conversation": lambda tail: tail.watch_conversation(CONVERSATION, lambda *_: None),
    "presence": lambda tail: tail.watch_presence(CONVERSATION, Mock(spec=PresenceListener)),
}


def tail_of(client: DirectClient) -> NatsTail:
    """A tail that measures nothing."""
    hub = Hub(lambda: None)
    return NatsTail(client, Mock(spec=NatsPresence), LagSampler(hub.counters, hub))


@pytest.mark.parametrize("kind", WATCHES)
@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "no answer"])
async def test_a_watch_that_did_not_come_about_leaves_nothing(
    kind: str, cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up by its channel's patience, or for want of an answer: what was asked for so far is given up, too."""
    monkeypatch.setattr(tail_module, "FLUSH_TIMEOUT_S", 30 if cancelled else 0.05)
    client = DirectClient()
    async with faulty_nats() as faulty, connected(faulty.url, "test", client):
        (server,) = faulty.connections
        server.answers = False
        watching = asyncio.ensure_future(WATCHES[kind](tail_of(client)))
        await eventually(lambda: server.lines.count(b"PING") == 2, what="the broker is asked")
        if cancelled:
            watching.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else Unavailable):
            await watching
        assert (client._subs, client._takers) == ({}, {})
        words = [line.split() for line in server.lines]
        asked = {line[-1] for line in words if line[0] == b"SUB"}
        await eventually(
            lambda: {line.split()[1] for line in server.lines if line.startswith(b"UNSUB")} == asked,
            what="the broker is told",
        )


async def test_a_taker_gets_every_message_in_order(nats_url: str) -> None:
    """Payload and header block come as they were published, without the client's queue."""
    seen: list[tuple[bytes, bytes, int]] = []
    client = DirectClient()
    async with connected(nats_url, "test", client), connected(nats_url, "other") as other:
        subject = client.new_inbox()
        subscription = await client.take(
            subject, lambda where, data, headers: seen.append((where, data, number_in(headers, b"\r\nN: ")))
        )
        await client.flush()
        for n in range(500):
            await other.publish(subject, b"%d" % n, headers={"N": str(n)} if n else None)
        await eventually(lambda: len(seen) == 500, what="all messages are taken")
        assert seen == [(subject.encode(), b"%d" % n, n) for n in range(500)]
        assert subscription.pending_msgs == 0
        await client.leave(subscription)
        await other.publish(subject, b"late")
        await other.flush()
        await client.flush()
        assert len(seen) == 500


async def test_a_taker_that_fails_is_told_and_others_go_on(nats_url: str) -> None:
    """The connection reads on, and the error names the subject, so that its channel is compared with the log."""
    seen: list[bytes] = []
    told: list[Exception] = []

    async def failed(error: Exception) -> None:
        told.append(error)

    def take(_subject: bytes, data: bytes, _headers: bytes) -> None:
        if data == b"bad":
            raise RuntimeError("cannot")
        seen.append(data)

    client = DirectClient()
    async with connected(nats_url, "test", client, on_error=failed):
        subject = client.new_inbox()
        await client.take(subject, take)
        for data in (b"one", b"bad", b"two"):
            await client.publish(subject, data)
        await eventually(lambda: seen == [b"one", b"two"], what="the messages around the bad one")
        assert [type(e) for e in told] == [Undelivered]
        assert isinstance(told[0], Undelivered) and told[0].subject == subject


async def test_subscriptions_with_callbacks_are_as_they_were(nats_url: str) -> None:
    """Requests, callbacks and headers of the client itself still work beside takers."""
    got: list[Msg] = []

    async def called(msg: Msg) -> None:
        got.append(msg)
        await msg.respond(b"pong")

    client = DirectClient()
    async with connected(nats_url, "test", client):
        subject = client.new_inbox()
        await client.subscribe(subject, cb=called)
        answer = await client.request(subject, b"ping", headers={"A": "b"})
        assert answer.data == b"pong" and got[0].headers == {"A": "b"}


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        (b"NATS/1.0\r\nNats-Sequence: 12\r\n\r\n", 12),
        (b"NATS/1.0\r\nNats-Sequence: 1\r\nA: b\r\nNats-Sequence: 7\r\n\r\n", 7),
        (b"NATS/1.0\r\nNats-Last-Sequence: 12\r\n\r\n", 0),
        (b"", 0),
    ],
)
def test_numbers_in_headers(headers: bytes, number: int) -> None:
    """The broker's own come last; a header of a longer name is another one."""
    assert number_in(headers, b"\r\nNats-Sequence: ") == number
