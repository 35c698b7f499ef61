"""Serve an ASGI application inside a process that owns its own signals, and the health addresses for all services."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from inkwire_chassis.health import Health
from inkwire_chassis.lifecycle import Supervisor

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

GRACE_S = 2
"""How long requests in flight may finish when the server stops."""
KEEP_ALIVE_S = 150
"""How long an idle connection stays: longer than a proxy keeps it (Caddy: 120 s), which so never sends into a close."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the chassis."""
        yield


@asynccontextmanager
async def serve_asgi(
    app: AsgiApp, *, host: str, port: int, supervisor: Supervisor, name: str = "http"
) -> AsyncIterator[int]:
    """Serve until the block is left; yields the port (the one chosen where 0 was given).

    Raises:
        OSError: the port cannot be bound.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
        log_config=None,
    )
    server = _Server(config)
    listener = _listen(host, port, config.backlog)
    task = supervisor.spawn(name, server.serve(sockets=[listener]))
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait({task}, timeout=GRACE_S + 1)
        listener.close()


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    """Not uvicorn's ``bind_socket``: that exits the process, and does not listen before the server's first turn.

    The protocol is named because asyncio sets TCP_NODELAY only then; without it an answer may wait 40 ms for an ACK.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def health_app(health: Health) -> AsgiApp:
    """``/livez`` and ``/readyz`` for services that serve nothing else."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, body = await health_answer(health, scope["path"])
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def health_answer(health: Health, path: str) -> tuple[int, bytes]:
    """Status and JSON body for a health address (404 for any other)."""
    if path == "/livez":
        return 200, json.dumps({"service": health.service, "status": "alive"}).encode()
    if path == "/readyz":
        ready, checks = await health.ready()
        word = "ready" if ready else "not ready"
        body = {"service": health.service, "status": word, "checks": checks}
        return (200 if ready else 503), json.dumps(body).encode()
    return 404, b'{"status":"not found"}'
