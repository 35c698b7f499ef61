"""Ports that several processes listen on together."""

import socket

import pytest

from inkwire_chassis.machine import SHARES_PORTS, reserved_port

pytestmark = pytest.mark.skipif(not SHARES_PORTS, reason="the kernel spreads connections on Linux only")


def listener(port: int, *, shared: bool) -> socket.socket:
    """Listens on loopback."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    sock.listen()
    return sock


def test_a_reserved_port_is_listened_on_by_several() -> None:
    """The port is chosen, is one for all, and is free again afterwards."""
    with reserved_port("127.0.0.1", 0) as port:
        assert port > 0
        with listener(port, shared=True), listener(port, shared=True), pytest.raises(OSError, match="in use"):
            listener(port, shared=False)
    listener(port, shared=False).close()


@pytest.mark.parametrize("shared", [True, False])
def test_a_port_that_somebody_listens_on_is_taken(shared: bool) -> None:
    """Also where the kernel would let us in: two groups on one port would share readers that are not theirs."""
    with listener(0, shared=shared) as other:
        port = int(other.getsockname()[1])
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}"), reserved_port("127.0.0.1", port):
            pass


def test_a_reserved_port_answers_nobody() -> None:
    """What is reserved refuses connections until somebody listens."""
    with reserved_port("127.0.0.1", 0) as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
