"""Live messages past the broker client's queues: all of them, in order, through faults and reconnects."""

import pytest
from nats.aio.msg import Msg

from inkwire_chassis.nats_connection import connected
from inkwire_gateway.adapters.direct_nats import DirectClient, Undelivered, number_in
from tests.support.wait import eventually


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
