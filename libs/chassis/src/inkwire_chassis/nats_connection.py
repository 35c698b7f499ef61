"""How every process connects to NATS; the reasons are measured ones (docs/architecture.md, The broker)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.client import Client

from inkwire_chassis.logs import get_logger

CONNECT_TIMEOUT_S = 2
RECONNECT_WAIT_S = 0.1
PING_INTERVAL_S = 5
MAX_PENDING_BYTES = 2 * 1024 * 1024
"""Publishes kept while disconnected; they are fenced or idempotent, so a late flush does no harm."""

Callback = Callable[[], Awaitable[None]]


async def _ignore() -> None:
    return None


def connection_options(
    service: str,
    *,
    on_reconnect: Callback = _ignore,
    on_error: Callable[[Exception], Awaitable[None]] | None = None,
) -> dict[str, Any]:
    """Keyword arguments for ``nats.connect`` and for FastStream's broker alike: never give up, come back fast."""

    async def disconnected() -> None:
        get_logger().warning("nats disconnected")

    async def reconnected() -> None:
        get_logger().info("nats reconnected")
        await on_reconnect()

    async def failed(error: Exception) -> None:
        get_logger().warning("nats error", error=str(error) or type(error).__name__)
        if on_error is not None:
            await on_error(error)

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
async def connected(url: str, service: str, **callbacks: Any) -> AsyncIterator[Client]:
    """A connection for the length of a block; waits for the server for as long as it takes."""
    client = await nats.connect(url, **connection_options(service, **callbacks))
    try:
        yield client
    finally:
        await client.close()


def probe(client: Client) -> Callback:
    """Readiness of the connection: a round trip to the server."""

    async def ask() -> None:
        if not client.is_connected:
            raise ConnectionError("not connected")
        await client.flush(timeout=1)

    return ask
