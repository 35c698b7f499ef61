"""How every process connects to NATS; the reasons are measured ones (docs/architecture.md, The broker)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from inkwire_chassis.health import Unready
from inkwire_chassis.logs import get_logger
from inkwire_chassis.nats_client import NatsClient
from inkwire_chassis.nats_servers import server_list

CONNECT_TIMEOUT_S = 2
RECONNECT_WAIT_S = 0.1
PING_INTERVAL_S = 5
MAX_PENDING_BYTES = 2 * 1024 * 1024
"""Publishes kept while disconnected; they are fenced or idempotent, so a late flush does no harm."""

Callback = Callable[[], Awaitable[None]]


async def _ignore() -> None:
    return None


async def _call(work: Awaitable[None]) -> None:
    """A callback's fault is not the client's, whose reading, or coming back, it would end."""
    try:
        await work
    except Exception:  # noqa: BLE001 - see above
        get_logger().error("nats callback failed", exc_info=True)


def connection_options(
    service: str,
    *,
    on_disconnect: Callback = _ignore,
    on_reconnect: Callback = _ignore,
    on_error: Callable[[Exception], Awaitable[None]] | None = None,
) -> dict[str, Any]:
    """Keyword arguments for a client's ``connect`` and for FastStream's broker alike: never give up, come back fast.

    ``on_disconnect`` is called before the first try to come back, ``on_reconnect`` after all subscriptions are back.
    What they raise is logged. An end on purpose calls neither (of the library's own client: :func:`end`).
    """
    told = ""

    async def disconnected() -> None:
        get_logger().warning("nats disconnected")
        await _call(on_disconnect())

    async def reconnected() -> None:
        get_logger().info("nats reconnected")
        await _call(on_reconnect())

    async def failed(error: Exception) -> None:
        nonlocal told
        text = str(error) or type(error).__name__
        # It is tried ten times a second while the server is away, or turns us away in words of its own: told once.
        about = "refused" if isinstance(error, ConnectionRefusedError) else text if type(error) is NatsError else ""
        tell = get_logger().debug if about and about == told else get_logger().warning
        told = about
        tell("nats error", error=text)
        if on_error is not None:
            await _call(on_error(error))

    return {
        "name": f"inkwire-{service}",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": RECONNECT_WAIT_S,
        "ping_interval": PING_INTERVAL_S,
        "max_outstanding_pings": 2,
        "pending_size": MAX_PENDING_BYTES,
        "disconnected_cb": disconnected,
        "reconnected_cb": reconnected,
        "error_cb": failed,
    }


@asynccontextmanager
async def connected(
    url: str, service: str, client: NatsClient | None = None, **callbacks: Any
) -> AsyncIterator[NatsClient]:
    """A connection for the length of a block, to any of the servers in ``url`` (see :func:`server_list`).

    Waits for a server for as long as it takes. ``client`` is one of a special kind, not connected yet.
    """
    client = client or NatsClient()
    await client.connect(server_list(url), **connection_options(service, **callbacks))
    try:
        yield client
    finally:
        await end(client)


async def end(client: Client) -> None:
    """Close a connection on purpose: what was not lost is not told as lost."""
    client._disconnected_cb = None
    await client.close()


def probe(client: Client) -> Callback:
    """Readiness of the connection: a round trip to the server."""

    async def ask() -> None:
        if not client.is_connected:
            raise Unready("not connected")
        await client.flush(timeout=1)

    return ask
