"""Ports and addresses of this machine."""

import errno
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress

import aiohttp

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROBE_TIMEOUT_S = 2.0
ROW_TRIES = 20
MAX_PORT = 65_535

Ready = Callable[[], Awaitable[bool]]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held while choosing, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def free_row(count: int) -> int:
    """The first of so many ports in a row that nobody listens on.

    Raises:
        OSError: none was found.
    """
    for first in free_ports(ROW_TRIES):
        if first + count <= MAX_PORT + 1 and all(
            port_is_free("127.0.0.1", port) for port in range(first, first + count)
        ):
            return first
    raise OSError(errno.EADDRINUSE, f"no {count} free ports in a row")


def port_is_free(host: str, port: int) -> bool:
    """Whether the address can be listened on.

    Raises:
        OSError: the host is not one of this machine.
    """
    family, kind, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with closing(socket.socket(family, kind)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
            sock.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise
            return False
        return True


def url_host(host: str) -> str:
    """The host as it stands in a URL that is opened on this machine."""
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - comparing, not binding
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def http_ready(session: aiohttp.ClientSession, url: str) -> Ready:
    """Ready once the address answers 200."""

    async def ask() -> bool:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)) as answer:
                return answer.status == 200
        return False

    return ask
