"""Clients that other people wrote follow a post to its end, each with a WebSocket of its own making."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from inkwire_contracts.fold import digest, document
from tests.integration.gateway_support import Author, Reader, World, reader, token, world
from tests.support.loops import on_loops
from tests.support.mongo_server import CACHE
from tests.support.node import node
from tests.support.raw_websocket import raw_websocket
from tests.support.wait import scaled_s

pytestmark = pytest.mark.nats

SUPPORT = Path(__file__).resolve().parents[1] / "support"
BUILD_TIMEOUT_S = 120.0

Line = Callable[[], Awaitable[str]]


class Lines:
    """What a reader of lines and a reader of frames have in common."""

    def __init__(self, line: Line) -> None:
        self.recv = line


async def joined(line: Line, author: Author) -> Reader:
    """Fold the messages that a client gets until it is live."""
    r = Reader(cast(Any, Lines(line)))
    await r.until("live", channel=author.channel)
    return r


async def to_end(r: Reader, author: Author) -> None:
    """Fold the rest; the text, and the digest of it, must be the author's."""
    end = await r.read_to_end(author.channel)
    assert document(end) == author.text and r.exact
    assert digest(document(end)) == end.sha256


async def write(author: Author) -> None:
    """A post with small and large chunks, in every width of UTF-8."""
    for name in ("s0", "s1", "s2"):
        await author.open_section(name)
        for size in (1, 30, 300, 3_000, 9_000, 1):
            await author.chunk("aé€\U0001f600" * size)
        await author.complete()
    await author.publish()


@asynccontextmanager
async def by_websockets(w: World, author: Author) -> AsyncIterator[Line]:
    """The library that the server is made of, at the other end."""
    async with reader(w.port, token(), compression="deflate") as r:
        await r.send(type="subscribe", channel=author.channel)
        yield cast(Line, r.socket.recv)


@asynccontextmanager
async def by_aiohttp(w: World, author: Author) -> AsyncIterator[Line]:
    """aiohttp's client, which offers compression."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"http://127.0.0.1:{w.port}/ws",
            protocols=("inkwire.v1", f"token.{token()}"),
            compress=15,
            max_msg_size=2**24,
            heartbeat=20,
        ) as ws,
    ):
        await ws.ping(b"between")
        await ws.send_json({"type": "subscribe", "channel": author.channel})
        yield ws.receive_str
        assert await ws.close() and ws.close_code == 1000


@asynccontextmanager
async def by_our_own(w: World, author: Author) -> AsyncIterator[Line]:
    """The strict reader of tests/support."""
    offers = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
    async with raw_websocket(w.port, token(), headers=(offers,)) as raw:
        await raw.send(json.dumps({"type": "subscribe", "channel": author.channel}))
        yield raw.recv
        assert await raw.leave() == 1000


@pytest.mark.parametrize("compression", [False, True], ids=["plain", "deflated"])
@on_loops("asyncio", "uvloop")
async def test_clients_in_python(nats_url: str, tmp_path: Path, compression: bool) -> None:
    """aiohttp, websockets and a client without any library read the same post at once, each to the character."""
    async with world(nats_url, tmp_path, compression=compression) as w:
        author = Author(w.log)
        await author.begin("s0", "s1", "s2")
        async with (
            by_websockets(w, author) as first,
            by_aiohttp(w, author) as second,
            by_our_own(w, author) as third,
        ):
            readers = [await joined(line, author) for line in (first, second, third)]
            async with asyncio.TaskGroup() as tasks:
                for r in readers:
                    tasks.create_task(to_end(r, author))
                tasks.create_task(write(author))


async def program(argv: list[str], w: World) -> None:
    """Have a program follow a post while it is written, and fold what it printed."""
    author = Author(w.log)
    await author.begin("s0", "s1", "s2")
    subscribe = json.dumps({"type": "subscribe", "channel": author.channel})
    running = await asyncio.create_subprocess_exec(
        *argv,
        f"ws://127.0.0.1:{w.port}/ws",
        token(),
        subscribe,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    stdout = running.stdout
    assert stdout is not None

    async def line() -> str:
        return (await stdout.readline()).decode()

    try:
        async with asyncio.timeout(scaled_s(30)):
            r = await joined(line, author)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(to_end(r, author))
                tasks.create_task(write(author))
        async with asyncio.timeout(scaled_s(20)):
            rest, errors = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0 and rest == b"", errors.decode()


def node_arguments() -> list[str]:
    """Node.js with a WebSocket of its own; skips the test, with the reason, where there is none."""
    path = node()
    for flags in ([], ["--experimental-websocket"]):
        asked = [path, *flags, "-p", "typeof WebSocket"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=scaled_s(20), check=False)
        if done.stdout.strip() == "function":
            return [path, *flags, str(SUPPORT / "ws_client.mjs")]
    pytest.skip("this Node.js has no WebSocket of its own")


@pytest.mark.parametrize("compression", [False, True], ids=["plain", "deflated"])
async def test_client_in_javascript(nats_url: str, tmp_path: Path, compression: bool) -> None:
    """Node's own WebSocket, the one that browsers' specification describes, reads a post to its end."""
    argv = node_arguments()
    async with world(nats_url, tmp_path, compression=compression) as w:
        await program(argv, w)


def gorilla() -> Path:
    """The client in Go, built once; skips the test, with the reason, where it cannot be."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go; gorilla/websocket was not run here")
    built = CACHE / "gorilla_client" / "client"
    built.parent.mkdir(parents=True, exist_ok=True)
    argv = [go, "build", "-o", str(built), "."]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    try:
        done = subprocess.run(
            argv,
            cwd=SUPPORT / "gorilla_client",
            env=environment,
            capture_output=True,
            text=True,
            timeout=scaled_s(BUILD_TIMEOUT_S),
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("Go needed too long to build the client with gorilla/websocket")
    if done.returncode:
        pytest.skip(f"Go could not build the client with gorilla/websocket: {done.stderr.strip()[-200:]}")
    return built


@pytest.mark.parametrize("compression", [False, True], ids=["plain", "deflated"])
async def test_client_in_go(nats_url: str, tmp_path: Path, compression: bool) -> None:
    """gorilla/websocket, which also pings after each message, reads a post to its end."""
    argv = [str(gorilla())]
    async with world(nats_url, tmp_path, compression=compression) as w:
        await program(argv, w)
