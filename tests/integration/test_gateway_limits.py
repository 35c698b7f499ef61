"""Limits on real sockets: each has its close code or its refusal, and is counted; a drain loses nobody's text."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage

from inkwire_chassis.lifecycle import Supervisor
from inkwire_contracts.fold import digest, document
from inkwire_gateway.app import running
from tests.integration.gateway_support import (
    Author,
    HeldTime,
    Reader,
    close_code,
    event_log,
    reader,
    running_gateway,
    settings,
    token,
    world,
)
from tests.support.wait import eventually

pytestmark = pytest.mark.nats

READERS = 120


async def test_idle_connection_is_closed(nats_url: str, tmp_path: Path) -> None:
    """Who follows nothing and sends nothing is closed with a code to come back by; who follows something stays."""
    async with world(nats_url, tmp_path, idle_timeout_s=60) as w, reader(w.port, token()) as busy:
        time = HeldTime(w.gateway)
        await busy.send(type="subscribe", channel="user:ada")
        await busy.until("posts")
        async with reader(w.port, token()) as idle:
            await idle.until("welcome")
            time.advance(61)
            assert await close_code(idle) == 4106
        await busy.send(type="ping", id=1)
        await busy.until("pong", id=1)
        assert w.gateway.hub.counters.closes == {4106: 1}


async def test_handshakes_are_bounded(nats_url: str, tmp_path: Path) -> None:
    """Connections that say nothing take no more than their bound; one more is cut off, and room comes back."""
    async with world(nats_url, tmp_path, max_handshakes=2, handshake_timeout_s=60) as w:
        counters = w.gateway.hub.counters
        silent = [await asyncio.open_connection("127.0.0.1", w.port) for _ in range(2)]
        await eventually(lambda: len(w.gateway.server.handshakes) == 2, what="both are there")
        with pytest.raises((OSError, InvalidMessage, EOFError)):
            async with reader(w.port, token()):
                raise AssertionError("it was let in")
        assert counters.refusals["too_many_handshakes"] == 1
        for _, outgoing in silent:
            outgoing.close()
        await eventually(lambda: not len(w.gateway.server.handshakes), what="they have gone")
        assert counters.refusals["handshake_unfinished"] == 2
        async with reader(w.port, token()) as r:
            await r.until("welcome")
            assert len(w.gateway.server.handshakes) == 0


async def test_the_time_for_a_handshake_is_bounded(nats_url: str, tmp_path: Path) -> None:
    """Who says nothing, or half of it, is cut off when the time is over, and counted; who is in has all the time."""
    async with world(nats_url, tmp_path, handshake_timeout_s=3) as w, reader(w.port, token()) as patient:
        await patient.until("welcome")
        assert tuple(await asyncio.gather(_all_said(w.port, ""), _all_said(w.port, HANDSHAKE))) == (b"", b"")
        await eventually(lambda: not len(w.gateway.server.handshakes), what="they have gone")
        assert w.gateway.hub.counters.refusals == {"handshake_unfinished": 2}
        await patient.send(type="ping", id=1)
        await patient.until("pong", id=1)


async def _all_said(port: int, words: str) -> bytes:
    """What the server says to them until it cuts the connection."""
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
    outgoing.write(words.encode())
    try:
        return await incoming.read()
    finally:
        outgoing.close()


HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def _cookies(size_bytes: int, each: int = 4_000) -> str:
    """A handshake of that size, by cookies."""
    left, lines = size_bytes - len(HANDSHAKE) - 2, []
    while left:
        size = each if left > each + 100 else left
        lines.append("Cookie: ".ljust(size - 2, "c") + "\r\n")
        left -= size
    return HANDSHAKE + "".join(lines) + "\r\n"


async def _answer(port: int, handshake: str) -> bytes:
    """The status line, to a handshake that comes in pieces; then the client goes."""
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
    words = handshake.encode()
    for start in range(0, len(words), 3_000):
        outgoing.write(words[start : start + 3_000])
        await outgoing.drain()
    try:
        return await incoming.readline()
    finally:
        outgoing.close()


@pytest.mark.parametrize(
    ("handshake", "status"),
    [
        (_cookies(16_384), b"101"),
        (_cookies(16_385), b"431"),
        (_cookies(60_000), b"431"),
        (_cookies(9_500, each=9_000), b"431"),
        (_cookies(1_000).replace("/ws", "/ws?" + "q" * 9_000), b"414"),
        (_cookies(9_500, each=60), b"431"),
        (_cookies(16_387).removesuffix("\r\n"), b"431"),
    ],
    ids=["the most", "one more", "much more", "a line", "the request line", "headers", "without an end"],
)
async def test_a_handshake_is_bounded_in_bytes(nats_url: str, tmp_path: Path, handshake: str, status: bytes) -> None:
    """Too large a handshake is answered at once, whether it ends or not, and counted; cookies of some sites fit in."""
    async with world(nats_url, tmp_path, handshake_timeout_s=60) as w:
        assert status in await _answer(w.port, handshake)
        await eventually(lambda: not (w.gateway.server.clients or len(w.gateway.server.handshakes)), what="it has gone")
        refusals = w.gateway.hub.counters.refusals
        assert refusals == ({} if status == b"101" else {"handshake_too_large": 1})


@pytest.mark.parametrize(
    ("handshake", "status", "reason"),
    [
        (HANDSHAKE.replace("Upgrade: websocket\r\n", "") + "\r\n", b"426", "no_websocket"),
        (HANDSHAKE.replace("Version: 13", "Version: 7") + "\r\n", b"400", "no_websocket"),
        (HANDSHAKE.replace("GET", "POST") + "\r\n", b"405", "no_websocket"),
        ("\x16\x03\x01\x02\r\n\r\n", b"", "no_websocket"),
        (HANDSHAKE + "Sec-WebSocket-Protocol: graphql-ws\r\n\r\n", b"400", "subprotocol"),
        (HANDSHAKE.replace("Host: 127.0.0.1\r\n", "") + "\r\n", b"400", "host"),
        (HANDSHAKE.replace("/ws", "/elsewhere") + "\r\n", b"404", "path"),
    ],
    ids=["no upgrade", "old version", "post", "tls", "other subprotocol", "no host", "other path"],
)
async def test_each_refused_handshake_counts_once(
    nats_url: str, tmp_path: Path, handshake: str, status: bytes, reason: str
) -> None:
    """Also where the library refuses it."""
    async with world(nats_url, tmp_path, handshake_timeout_s=60) as w:
        assert status in await _answer(w.port, handshake)
        await eventually(lambda: not len(w.gateway.server.handshakes), what="it has gone")
        assert w.gateway.hub.counters.refusals == {reason: 1}


async def test_closes_of_the_library_are_counted(nats_url: str, tmp_path: Path) -> None:
    """A frame that is too large is closed with 1009, and that is counted; a client's own leaving is not."""
    async with world(nats_url, tmp_path) as w:
        async with reader(w.port, token()) as r:
            await r.until("welcome")
            await r.socket.send("x" * 20_000)
            assert await close_code(r) == 1009
        async with reader(w.port, token()) as leaves:
            await leaves.until("welcome")
        await eventually(lambda: not w.gateway.server.clients, what="both have gone")
        assert w.gateway.hub.counters.closes == {1009: 1}


async def test_silent_connections_do_not_hold_a_stop_up(nats_url: str, tmp_path: Path) -> None:
    """A connection that never sent its handshake is cut off when the gateway stops."""
    async with event_log(nats_url):
        async with running_gateway(settings(nats_url, tmp_path, handshake_timeout_s=300)) as gateway:
            incoming, outgoing = await asyncio.open_connection("127.0.0.1", gateway.port)
            await eventually(lambda: len(gateway.server.handshakes) == 1, what="it is there")
        with suppress(ConnectionResetError):
            assert await incoming.read() == b""
        outgoing.close()


@asynccontextmanager
async def following(stack: AsyncExitStack, port: int, author: Author) -> AsyncIterator[Reader]:
    """A reader that is live."""
    r = await stack.enter_async_context(reader(port, token()))
    await r.follow(author.channel)
    yield r


async def read_over(r: Reader, other_port: int, author: Author, codes: list[int]) -> Reader:
    """Read to the end; when the gateway closes, go on at the other one with what was had."""
    try:
        await r.read_to_end(author.channel)
        return r
    except ConnectionClosed:
        codes.append(r.socket.close_code or 0)
    async with reader(other_port, token()) as again:
        again.snapshots, again.outcomes = r.snapshots, r.outcomes
        await again.follow(author.channel, r.positions[author.channel])
        assert again.recovered[author.channel], "resumed, not begun anew"
        await again.read_to_end(author.channel)
        return again


async def test_a_drain_loses_nothing(nats_url: str, tmp_path: Path) -> None:
    """Many readers in mid-text are moved to another gateway while it is written: all end with the published digest."""
    async with event_log(nats_url) as log, AsyncExitStack() as stack:
        author, supervisor, codes = Author(log), Supervisor(), list[int]()
        await author.begin("s")
        await author.open_section("s")
        async with running_gateway(settings(nats_url, tmp_path)) as other:
            async with running(settings(nats_url, tmp_path, drain_s=0.5), supervisor) as gateway:
                readers = [await stack.enter_async_context(following(stack, gateway.port, author))
                           for _ in range(READERS)]  # fmt: skip
                reading = [asyncio.create_task(read_over(r, other.port, author, codes)) for r in readers]
                for n in range(20):
                    await author.chunk(f"{n} åß\U0001f600 ")
                writing = asyncio.create_task(_until(author, codes))
                supervisor.request_stop("test")
            await writing
            await author.complete()
            await author.publish()
            ended = await asyncio.gather(*reading)
        await supervisor.cancel_all()
    assert codes == [4200] * READERS
    assert gateway.hub.counters.closes == {4200: READERS}
    for r in ended:
        assert r.exact and digest(document(r.snapshots[author.channel])) == digest(author.text)


async def _until(author: Author, codes: list[int]) -> None:
    """Write for as long as readers are being moved."""
    n = 0
    while len(codes) < READERS:
        await author.chunk(f"{json.dumps(n)} and on ")
        n += 1
