"""Ports and addresses of this machine."""

import errno
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

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


def free_row(count: int, *, public: int) -> int:
    """The first of so many ports in a row that nobody listens on, or is about to: ``public``.

    Raises:
        OSError: none was found.
    """
    for first in free_ports(ROW_TRIES):
        row = range(first, first + count)
        if row.stop <= MAX_PORT + 1 and public not in row and all(port_is_free("127.0.0.1", port) for port in row):
            return first
    raise OSError(errno.EADDRINUSE, f"no {count} free ports in a row")


@contextmanager
def held(ports: Iterable[int]) -> Iterator[None]:
    """Nobody else is given these ports of loopback while our processes have yet to listen on them, or do so again.

    Linux only: there, who sets SO_REUSEADDR, as servers do, may listen beside a socket that set it and does not listen.
    """
    with ExitStack() as sockets:
        for port in ports if sys.platform == "linux" else ():
            sock = sockets.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):  # somebody was quicker: whose process it is says so
                sock.bind(("127.0.0.1", port))
        yield


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
