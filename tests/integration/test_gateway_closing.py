"""Connections that end: whoever began it, the other side has a bounded time, and the end is counted for what it is."""

import asyncio
import json
from contextlib import closing
from pathlib import Path

import pytest

from inkwire_contracts.fold import document
from inkwire_gateway.framing import text_frame
from tests.integration.gateway_support import Author, event_log, reader, running_gateway, settings, token, world
from tests.support.loops import on_loops
from tests.support.raw_websocket import RawWebSocket, connected_socket, opened
from tests.support.rfc6455 import TEXT, client_frame, close, handshake, new_key
from tests.support.wait import eventually, scaled_s

pytestmark = pytest.mark.nats

RESERVED_BITS = b"\xf1\x80\0\0\0\0"


async def nobody_yet(raw: RawWebSocket, port: int) -> None:
    """A handshake without any token."""
    await raw.send_bytes(handshake(f"127.0.0.1:{port}", "/ws", new_key(), ()))


@pytest.mark.parametrize(
    ("last_words", "closes"),
    [
        (close(1000), {}),
        (client_frame(TEXT, b"x" * 20_000), {1009: 1}),
        (client_frame(TEXT, b"\xff"), {1007: 1}),
        (RESERVED_BITS, {1002: 1}),
    ],
    ids=["close", "too large", "no text", "bad frame"],
)
@on_loops("asyncio", "uvloop")
async def test_who_never_ends_a_close_is_cut(
    nats_url: str, tmp_path: Path, last_words: bytes, closes: dict[int, int]
) -> None:
    """A client that closes, or has to be closed, and then keeps the line open gives its place back all the same."""
    limits = {"max_connections": 1, "close_timeout_s": 0.2, "authenticate_timeout_s": 60}
    async with world(nats_url, tmp_path, **limits) as w:
        with closing(await connected_socket(w.port)) as sock:
            raw = RawWebSocket(sock)
            await nobody_yet(raw, w.port)
            await eventually(lambda: w.gateway.server.clients, what="the client is there")
            await raw.send_bytes(last_words)
            await eventually(lambda: not w.gateway.server.clients, what="it is cut")
            assert w.gateway.server.closing == w.gateway.server.count.total == 0
            assert w.gateway.hub.counters.closes == closes
            async with reader(w.port, token()) as other:
                await other.until("welcome")


@on_loops("asyncio", "uvloop")
async def test_who_sends_no_more_and_reads_nothing_is_cut(nats_url: str, tmp_path: Path) -> None:
    """A client that half-closes while text waits for it, and never takes that, is not waited for without end."""
    async with world(nats_url, tmp_path, close_timeout_s=0.2) as w:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        for _ in range(40):
            await author.chunk("é" * 3_000)
        with closing(await connected_socket(w.port, receive_bytes=4096)) as sock:
            raw = await opened(sock, w.port, token())
            await raw.send(json.dumps({"type": "subscribe", "channel": author.channel}))
            await eventually(lambda: len(w.gateway.server.waiting), what="something waits for it")
            raw.finish()
            await eventually(lambda: not w.gateway.server.clients, what="it is cut")
        assert w.gateway.hub.counters.closes == {}


@on_loops("asyncio", "uvloop")
async def test_an_open_end_does_not_hold_a_stop_up(nats_url: str, tmp_path: Path) -> None:
    """A gateway ends although a client that said goodbye keeps its line."""
    async with event_log(nats_url), asyncio.timeout(scaled_s(20)):
        async with running_gateway(settings(nats_url, tmp_path, close_timeout_s=0.2)) as gateway:
            sock = await connected_socket(gateway.port)
            raw = await opened(sock, gateway.port, token())
            await raw.send_bytes(close(1000))
            await eventually(lambda: gateway.server.closing == 1, what="it is closing")
        assert not gateway.server.clients
        sock.close()


@on_loops("asyncio", "uvloop")
async def test_who_vanishes_is_no_fault_of_ours(nats_url: str, tmp_path: Path) -> None:
    """Clients that are reset, and written to before the loop has seen it, are gone; that is no close of ours."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as stays:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        await stays.follow(author.channel)
        others = [await opened(await connected_socket(w.port), w.port, token()) for _ in range(10)]
        for raw in others:
            await raw.send(json.dumps({"type": "subscribe", "channel": author.channel}))
            while json.loads(await raw.recv())["type"] != "live":
                pass
        for raw in others:
            raw.cut()
        for client in list(w.gateway.server.clients.values()):
            client.queue.reply(text_frame(b'{"type":"pong","id":1}'))
        assert w.gateway.server.closing == len(others)
        await author.chunk("for one")
        await author.complete()
        await author.publish()
        assert document(await stays.read_to_end(author.channel)) == author.text and stays.exact
        await eventually(lambda: len(w.gateway.server.clients) == 1, what="the others are gone")
        assert w.gateway.hub.counters.closes == {}


@on_loops("asyncio", "uvloop")
@pytest.mark.parametrize("after", [b"", RESERVED_BITS], ids=["no text", "no text, then a bad frame"])
async def test_an_end_is_seen_behind_messages_that_nobody_takes(nats_url: str, tmp_path: Path, after: bytes) -> None:
    """A client whose text was refused, with more behind it than is taken in, is gone when it goes, not in the end."""
    words = client_frame(TEXT, b"\xff") + client_frame(TEXT, b"{}") * 20 + after
    async with world(nats_url, tmp_path, close_timeout_s=60, stop_timeout_s=90) as w:
        with closing(await connected_socket(w.port)) as sock:
            raw = await opened(sock, w.port, token())
            await raw.send_bytes(words)
            await raw.end()
            assert raw.close_code == (1002 if after else 1007)
        await eventually(lambda: not w.gateway.server.clients, what="it is gone")
