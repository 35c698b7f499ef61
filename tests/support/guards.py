"""What unit and property tests must not do: reach the network, or block a running event loop."""

import asyncio
import concurrent.futures
import contextlib
import functools
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock


class NetworkUsed(AssertionError):
    """A test of pure code tried to reach the network."""


class LoopBlocked(AssertionError):
    """A blocking call was made on the thread of a running event loop."""


@contextlib.contextmanager
def no_network() -> Iterator[None]:
    """Refuse every connection but those inside the process or over a Unix socket, and every name look-up."""

    def refuse_look_up(host: object, *_: Any, **__: Any) -> Any:
        raise NetworkUsed(f"looked up {host!r}; this test may not use the network")

    with contextlib.ExitStack() as stack:
        for method in ("connect", "connect_ex", "sendto"):
            stack.enter_context(mock.patch.object(socket.socket, method, _local_only(method)))
        stack.enter_context(mock.patch.object(socket, "getaddrinfo", refuse_look_up))
        yield


def _local_only(method: str) -> Callable[..., Any]:
    original = getattr(socket.socket, method)

    @functools.wraps(original)
    def guarded(self: socket.socket, *arguments: Any) -> Any:
        if self.family != getattr(socket, "AF_UNIX", None):
            raise NetworkUsed(f"{method} to {arguments[-1]!r}; this test may not use the network")
        return original(self, *arguments)

    return guarded


@contextlib.contextmanager
def no_blocking_in_loop() -> Iterator[None]:
    """Refuse the usual blocking calls while an event loop runs on the calling thread; no clock is involved."""
    targets: list[tuple[Any, str]] = [
        (time, "sleep"),
        (subprocess.Popen, "wait"),
        (subprocess.Popen, "communicate"),
        (concurrent.futures.Future, "result"),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name in targets:
            stack.enter_context(mock.patch.object(owner, name, _outside_loop(owner, name)))
        yield


def _outside_loop(owner: Any, name: str) -> Callable[..., Any]:
    original = getattr(owner, name)

    @functools.wraps(original)
    def guarded(*arguments: Any, **options: Any) -> Any:
        if _loop_runs_here() and not _done(arguments):
            raise LoopBlocked(f"{getattr(owner, '__name__', owner)}.{name} blocks the event loop")
        return original(*arguments, **options)

    return guarded


def _done(arguments: tuple[Any, ...]) -> bool:
    # Taking the result of a finished future does not block.
    return bool(arguments) and isinstance(arguments[0], concurrent.futures.Future) and arguments[0].done()


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
