"""A stopping gateway stops listening first: whoever comes, or comes back, is given to another one."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from inkwire_chassis.machine import SHARES_PORTS
from inkwire_gateway.adapters import server as server_module
from inkwire_gateway.settings import Settings
from tests.integration.gateway_support import Author, close_code, event_log, reader, running_gateway, settings, token
from tests.support.loops import on_loops
from tests.support.ports import free_port
from tests.support.processes import http_status
from tests.support.rfc6455 import handshake, new_key
from tests.support.wait import DEFAULT_TIMEOUT_S, eventually

pytestmark = pytest.mark.nats

NEW_READERS = 20


class HeldDrain:
    """In the place of :func:`drain`: begins to send readers away when the test says so."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_go = asyncio.Event()

    async def __call__(self, connections: Sequence[Any], close: Callable[[Any], None], **_times: Any) -> None:
        self.begun.set()
        await self.may_go.wait()
        for connection in connections:
            close(connection)


@asynccontextmanager
async def stopping_gateway(
    chosen: Settings, patch: pytest.MonkeyPatch, before: Callable[[int], Awaitable[None]]
) -> AsyncIterator[HeldDrain]:
    """A gateway that was told to stop, after ``before``, and has not sent anybody away until the block is left."""
    held = HeldDrain()
    patch.setattr(server_module, "drain", held)

    async def life() -> None:
        async with running_gateway(chosen) as gateway:
            await before(gateway.port)

    living = asyncio.create_task(life())
    begun = asyncio.create_task(held.begun.wait())
    try:
        await asyncio.wait({living, begun}, return_when=asyncio.FIRST_COMPLETED)
        assert held.begun.is_set(), living
        yield held
    finally:
        held.may_go.set()
        begun.cancel()
        await living


async def refused(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        _, outgoing = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    outgoing.close()
    return False


@on_loops("asyncio", "uvloop")
async def test_who_comes_while_it_drains_finds_nobody(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not listen any more, the admin port says why, and readers are served until they are sent away."""
    port, admin = free_port(), free_port()
    chosen = settings(nats_url, tmp_path, port=port, admin_port=admin)
    async with event_log(nats_url) as log, AsyncExitStack() as stack:
        author = Author(log)
        await author.begin("s")
        await author.open_section("s")
        r: Any = None

        async def follow(_port: int) -> None:
            nonlocal r
            r = await stack.enter_async_context(reader(port, token()))
            await r.follow(author.channel)

        async with stopping_gateway(chosen, monkeypatch, follow) as held:
            await eventually(lambda: refused(port), what="nobody listens")
            status, body = await asyncio.to_thread(http_status, f"http://127.0.0.1:{admin}/readyz")
            assert status == 503 and "draining" in body
            await author.chunk("while it drains")
            await r.until("event", name="chunk.produced")
            held.may_go.set()
            assert await close_code(r) == 4200
        assert r.exact


@on_loops("asyncio", "uvloop")
async def test_who_waits_to_be_accepted_is_answered(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that the kernel holds when the stop begins are told to try again; none is reset."""
    waiting: list[socket.socket] = []

    async def come(port: int) -> None:
        for _ in range(NEW_READERS):  # in one turn of the loop, which accepts nobody meanwhile
            waiting.append(socket.create_connection(("127.0.0.1", port)))
            waiting[-1].sendall(handshake(f"127.0.0.1:{port}", "/ws", new_key(), ()))

    async with event_log(nats_url), stopping_gateway(settings(nats_url, tmp_path), monkeypatch, come):
        for sock in waiting:
            incoming, outgoing = await asyncio.open_connection(sock=sock)
            assert b"503" in await incoming.readline()
            outgoing.close()
    assert len(waiting) == NEW_READERS


@on_loops("asyncio", "uvloop")
async def test_who_waits_to_be_accepted_and_says_nothing_holds_no_stop_up(nats_url: str, tmp_path: Path) -> None:
    """Such a connection is cut with the others in their handshake; the stop would wait for that one's time limit."""
    chosen = settings(nats_url, tmp_path, handshake_timeout_s=60)
    with ExitStack() as stack:
        async with event_log(nats_url), asyncio.timeout(DEFAULT_TIMEOUT_S), running_gateway(chosen) as gateway:
            for _ in range(NEW_READERS):  # as above
                stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))


class ShortTime:
    """A clock on which an hour passes after some looks."""

    def __init__(self, looks: int) -> None:
        self._looks = looks

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        self._looks -= 1
        return 0.0 if self._looks >= 0 else 3600.0


@pytest.mark.parametrize("looks", [3, 4, 5])
@on_loops("uvloop")
async def test_when_the_time_to_accept_is_up_who_was_accepted_is_a_connection(looks: int) -> None:
    """So the drain knows of it; uvloop accepts one in a turn, and asyncio all of them."""
    made: list[object] = []

    class Noted(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(self)
            super().connection_made(transport)

    server = await serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, create_connection=Noted)
    with ExitStack() as stack:
        for _ in range(NEW_READERS):
            stack.enter_context(socket.create_connection(server.sockets[0].getsockname()[:2]))
        await server_module._stop_listening(server, ShortTime(looks))
        known = len(made)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert known == len(made) > 0
    await server.wait_closed()


@pytest.mark.skipif(not SHARES_PORTS, reason="the kernel does not spread connections here")
@on_loops("asyncio", "uvloop")
async def test_the_other_one_on_a_shared_port_gets_everybody(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two gateways on one port the one that drains is given nobody any more."""
    shared = settings(nats_url, tmp_path, port=free_port(), worker_ports="shared")

    async def nobody(_port: int) -> None:
        """It stops at once."""

    async with (
        event_log(nats_url),
        running_gateway(shared) as other,
        AsyncExitStack() as stack,
        stopping_gateway(shared, monkeypatch, nobody),
    ):
        for _ in range(NEW_READERS):
            r = await stack.enter_async_context(reader(other.port, token()))
            await r.until("welcome")
        assert len(other.server.clients) == NEW_READERS
