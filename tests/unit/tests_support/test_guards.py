"""The guards of unit tests, which are on while these tests run."""

import asyncio
import concurrent.futures
import socket
import subprocess
import sys
import time

import pytest

from tests.support.guards import LoopBlocked, NetworkUsed, no_blocking_in_loop, no_network


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_no_connection_leaves_a_unit_test(family: socket.AddressFamily, method: str) -> None:
    """Connecting is refused before a packet is sent, on loopback too."""
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family, socket.SOCK_STREAM) as opened, pytest.raises(NetworkUsed, match=address):
        getattr(opened, method)((address, 9))


def test_no_datagram_leaves_a_unit_test() -> None:
    """Sending a datagram is refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened, pytest.raises(NetworkUsed):
        opened.sendto(b"x", ("127.0.0.1", 9))


async def test_asyncio_cannot_connect_either() -> None:
    """The event loop's own connections and look-ups are refused."""
    with pytest.raises(NetworkUsed):
        await asyncio.open_connection("127.0.0.1", 9)
    with pytest.raises(NetworkUsed, match=r"example\.invalid"):
        await asyncio.open_connection("example.invalid", 9)


async def test_socket_pairs_still_work() -> None:
    """A pair inside the process may talk."""
    near, far = socket.socketpair()
    with near, far:
        reader, writer = await asyncio.open_connection(sock=near)
        far.sendall(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


async def test_sleeping_on_the_loop_is_refused() -> None:
    """time.sleep fails at once where an event loop runs."""
    with pytest.raises(LoopBlocked, match=r"time\.sleep"):
        time.sleep(0.001)  # noqa: ASYNC251 - refused here


async def test_waiting_for_a_process_on_the_loop_is_refused() -> None:
    """Waiting for a child process fails at once where an event loop runs."""
    child = subprocess.Popen([sys.executable, "-c", ""])  # noqa: ASYNC220 - refused below
    with pytest.raises(LoopBlocked, match=r"Popen\.wait"):
        child.wait()
    await asyncio.to_thread(child.wait)


async def test_waiting_for_a_future_on_the_loop_is_refused() -> None:
    """The result of an unfinished future is refused; of a finished one it is given."""
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    with pytest.raises(LoopBlocked, match=r"Future\.result"):
        future.result(timeout=0)
    future.set_result(1)
    assert future.result() == 1


async def test_other_threads_may_block() -> None:
    """Blocking is what threads are for."""
    await asyncio.to_thread(time.sleep, 0.001)


def test_the_guards_undo_themselves() -> None:
    """Nothing stays patched after a guard, whatever happened inside."""
    before = (socket.socket.connect, socket.getaddrinfo, time.sleep, subprocess.Popen.wait)
    with pytest.raises(KeyError), no_network(), no_blocking_in_loop():
        raise KeyError
    assert before == (socket.socket.connect, socket.getaddrinfo, time.sleep, subprocess.Popen.wait)
