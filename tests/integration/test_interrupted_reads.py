"""Reads of a stream whose answer comes over two connections."""

import asyncio

import pytest
from nats.errors import StaleConnectionError

from inkwire_chassis.jetstream import BrokerError, JetStream
from inkwire_chassis.nats_client import NatsClient
from inkwire_chassis.nats_connection import connected
from inkwire_gateway.adapters.direct_nats import DirectClient
from tests.support.faulty_nats import FaultyConnection, faulty_nats
from tests.support.wait import eventually

QUERY = {"seq": 1, "next_by_subj": "a", "batch": 10}


class Answers:
    """A server's answer to one direct get: the first of these on the connection that was asked, the others on the next.

    What is sent for nobody in between is not among them.
    """

    def __init__(self, *, breaks: bool) -> None:
        self._breaks = breaks
        self._inbox: list[bytes] = []

    def __call__(self, connection: FaultyConnection, line: bytes) -> None:
        words = line.split()
        if words and words[0] == b"SUB" and not words[1].endswith(b".*"):
            again, self._inbox = bool(self._inbox), [words[1], words[-1]]
            if again and self._breaks:
                connection.send(self._stored(5) + self._end())
        elif words and words[0] == b"PUB" and b"DIRECT.GET" in words[1]:
            connection.send(self._stored(1) + self._stored(2))
            if self._breaks:
                connection.hang_up()
            else:
                connection.send(self._end())

    def _stored(self, seq: int) -> bytes:
        return self._message(b"NATS/1.0\r\nNats-Subject: a\r\nNats-Sequence: %d\r\n\r\n" % seq)

    def _end(self) -> bytes:
        return self._message(b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n")

    def _message(self, headers: bytes) -> bytes:
        inbox, sid = self._inbox
        return b"HMSG %s %s %d %d\r\n%s\r\n" % (inbox, sid, len(headers), len(headers), headers)


@pytest.mark.parametrize("kind", [NatsClient, DirectClient])
async def test_a_read_whose_connection_was_lost_is_no_answer(kind: type[NatsClient]) -> None:
    """What the broker sent while the client was away is missing in the middle; the end comes all the same."""
    async with faulty_nats(Answers(breaks=True)) as faulty, connected(faulty.url, "test", kind()) as client:
        jetstream = JetStream(client)
        with pytest.raises(BrokerError, match="connection was lost"):
            await jetstream.direct_batch("EVENTS", QUERY, timeout_s=10.0)


@pytest.mark.parametrize("kind", [NatsClient, DirectClient])
async def test_a_read_that_was_asked_without_a_connection_is_answered_by_the_next(kind: type[NatsClient]) -> None:
    """It waits, is sent when the broker is back, and is whole."""
    held = asyncio.Event()
    async with (
        faulty_nats(Answers(breaks=False)) as faulty,
        connected(faulty.url, "test", kind(), on_disconnect=held.wait) as client,
    ):
        jetstream = JetStream(client)
        await client._process_op_err(StaleConnectionError())
        await eventually(lambda: client.is_reconnecting, what="the broker is away")
        asyncio.get_running_loop().call_soon(held.set)
        messages, left, _ = await jetstream.direct_batch("EVENTS", QUERY, timeout_s=10.0)
        assert ([message.seq for message in messages], left) == ([1, 2], 0)
