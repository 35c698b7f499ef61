"""What a process may use of its machine: cores, and ports that several processes listen on together."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

SHARES_PORTS = sys.platform == "linux"
"""Whether the kernel spreads connections over all who listen on one port (SO_REUSEPORT); elsewhere it does not."""

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""A container's share of the machine: microseconds it may use, in a period of so many."""


def usable_cores(quota: Path = CPU_QUOTA) -> int:
    """Cores that this process may use, at least 1: those it may run on, or fewer where a quota allows less."""
    # Not on every system; there all cores count.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        used_us, period_us = quota.read_text(encoding="ascii").split()[:2]
        allowed = min(allowed, int(used_us) // int(period_us))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no such file, or "max": no quota
    return max(1, allowed)


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """Keep a port for processes that will listen on it together (SO_REUSEPORT); yields it, chosen if ``port`` is 0.

    What is bound and does not listen gets no connection. That somebody listens there already is found here: later
    nobody would notice, and connections would go to the one as well as to the other.

    Raises:
        OSError: the port is taken, or the host is no address of this machine.
    """
    with ExitStack() as held:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            if port:
                with socket.socket(family, kind, protocol) as probe:
                    _bind(probe, (address[0], port, *address[2:]))
            sock = held.enter_context(socket.socket(family, kind, protocol))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _bind(sock, (address[0], port, *address[2:]))
            port = int(sock.getsockname()[1])
        yield port


def _bind(sock: socket.socket, address: tuple[Any, ...]) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind(address)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address[0]} port {address[1]}: {error.strerror}") from None
