"""The broker's wire protocol, gone through by offsets: the same messages wherever a read is cut."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError

from inkwire_gateway.adapters.direct_parser import DirectParser

HEAD = b"NATS/1.0\r\nNats-Sequence: 7\r\n\r\n"
STREAM = b"".join(
    (
        b"HMSG live.a 3 %d %d\r\n%sone\r\n" % (len(HEAD), len(HEAD) + 3, HEAD),
        b"PING\r\n",
        b"MSG live.b 3 reply.to 5\r\n\r\ntwo\r\n",  # a payload with a line's end in it
        b"MSG other 4 5\r\nlater\r\n",
        b"HMSG other 4 reply.to %d %d\r\n%sHMSG \r\n" % (len(HEAD), len(HEAD) + 5, HEAD),
        b"+OK\r\n",
        b"HMSG live.c 3 reply.to %d %d\r\n%s\r\n" % (len(HEAD), len(HEAD), HEAD),
        b"PONG\r\n",
        b"MSG live.d 3 0\r\n\r\n",
    )
)
TAKEN = [(b"live.a", b"one", HEAD), (b"live.b", b"\r\ntwo", b""), (b"live.c", b"", HEAD), (b"live.d", b"", b"")]
TOLD = ["ping", (4, b"other", b"", b"later", None), (4, b"other", b"reply.to", b"HMSG ", HEAD), "pong"]


class Client:
    """What the library's parser tells its client."""

    def __init__(self) -> None:
        self.stats = {"in_msgs": 0, "in_bytes": 0}
        self.told: list[Any] = []
        self.failures: list[tuple[bytes, Exception]] = []

    async def _process_ping(self) -> None:
        self.told.append("ping")

    async def _process_pong(self) -> None:
        self.told.append("pong")

    async def _process_msg(self, *message: Any) -> None:
        self.told.append(message)

    async def undelivered(self, subject: bytes, error: Exception) -> None:
        """A taker failed."""
        self.failures.append((subject, error))


class Reading:
    """A parser whose subscription 3 has a taker."""

    def __init__(self) -> None:
        self.client = Client()
        self.taken: list[tuple[bytes, bytes, bytes]] = []
        self.parser = DirectParser(self.client, {b"3": self.take})  # type: ignore[arg-type]

    def take(self, subject: bytes, payload: bytes, headers: bytes) -> None:
        """Keep a message."""
        self.taken.append((subject, payload, headers))

    async def read(self, *parts: bytes) -> "Reading":
        """Read one part after the other."""
        for part in parts:
            await self.parser.parse(part)
        return self


@given(st.sets(st.integers(1, len(STREAM) - 1)))
async def test_a_read_may_be_cut_anywhere(cuts: set[int]) -> None:
    """Takers get their messages and the library the rest, all of it once and in order."""
    edges = [0, *sorted(cuts), len(STREAM)]
    reading = await Reading().read(*(STREAM[a:b] for a, b in pairwise(edges)))
    assert reading.taken == TAKEN
    assert reading.client.told == TOLD
    assert reading.client.stats == {"in_msgs": 4, "in_bytes": 8}


async def test_work_is_done_once_behind_all_messages_of_a_read() -> None:
    """Whoever asks for it while a message is taken; outside of a read there is nothing to wait for."""
    reading = Reading()
    order: list[bytes] = []

    def take(subject: bytes, _payload: bytes, _headers: bytes) -> None:
        order.append(subject)
        assert reading.parser.afterwards(lambda: order.append(b"work"))

    reading.parser = DirectParser(reading.client, {b"3": take})  # type: ignore[arg-type]
    message = b"MSG %s 3 1\r\nx\r\n"
    await reading.read(message % b"a" + message % b"b", message % b"c")
    assert order == [b"a", b"b", b"work", b"c", b"work"]
    assert not reading.parser.afterwards(lambda: order.append(b"never"))
    assert order[-1] == b"work"


async def test_a_taker_that_fails_is_told_behind_the_others() -> None:
    """The messages after it are handed over; the client is told which one failed."""
    reading, error = Reading(), RuntimeError("cannot")

    def fail(*_message: bytes) -> None:
        raise error

    reading.parser = DirectParser(reading.client, {b"3": reading.take, b"4": fail})  # type: ignore[arg-type]
    await reading.read(b"MSG bad 4 0\r\n\r\nMSG good 3 0\r\n\r\n")
    assert reading.taken == [(b"good", b"", b"")]
    assert reading.client.failures == [(b"bad", error)]


@pytest.mark.parametrize(
    "line", [b"MSG a 3 x\r\n", b"HMSG a 3 x 5\r\n", b"HMSG a 3 12 x\r\n", b"NONSENSE\r\n", b"\r\n"]
)
async def test_what_is_not_the_brokers_is_an_error(line: bytes) -> None:
    """The library then gives the connection up and makes a new one."""
    with pytest.raises(ProtocolError):
        await Reading().read(line + b"abcde\r\nPING\r\n")


async def test_another_connection_begins_with_nothing_read() -> None:
    """Half a message of the connection before is forgotten."""
    reading = await Reading().read(b"MSG a 3 10\r\nhal")
    reading.parser.reset()
    await reading.read(b"MSG b 3 1\r\nx\r\n")
    assert reading.taken == [(b"b", b"x", b"")]
