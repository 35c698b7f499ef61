"""Ports of this machine, and addresses that are not its own."""

import socket
import sys
from contextlib import closing

import pytest

from inkwire.network import free_ports, free_row, held, port_is_free

ELSEWHERE = "192.0.2.1"
"""An address for documentation: no machine has it."""


def test_a_port_is_free_until_somebody_listens() -> None:
    """What is told as free can be listened on, and then is not free."""
    port = free_ports(1)[0]
    assert port_is_free("127.0.0.1", port)
    with closing(socket.create_server(("127.0.0.1", port))):
        assert not port_is_free("127.0.0.1", port)


def test_an_address_of_another_machine_is_an_error_and_not_a_taken_port() -> None:
    """Another port would not help, so the caller is told."""
    with pytest.raises(OSError, match="assign"):
        port_is_free(ELSEWHERE, free_ports(1)[0])


def test_ports_in_a_row_are_all_free() -> None:
    """From the first on, so many can be listened on."""
    first = free_row(3, public=0)
    for port in range(first, first + 3):
        socket.create_server(("127.0.0.1", port)).close()


def test_ports_in_a_row_leave_out_the_one_that_somebody_is_about_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public port is chosen first, and nobody listens there until everything else runs."""
    first, other = free_ports(2)
    monkeypatch.setattr("inkwire.network.free_ports", lambda count: [first, other])
    assert free_row(1, public=first) == other


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere two sockets cannot have one port, whether they listen or not"
)
def test_a_port_is_held_for_a_server_of_ours() -> None:
    """Who asks for a port is not given it, a server that says SO_REUSEADDR listens, ends, and listens again."""
    (port,) = free_ports(1)
    with held([port]):
        with closing(socket.socket()) as asking, pytest.raises(OSError, match="in use"):
            asking.bind(("127.0.0.1", port))
        for options in ({}, {"reuse_port": True}):
            socket.create_server(("127.0.0.1", port), **options).close()
    with closing(socket.socket()) as asking:
        asking.bind(("127.0.0.1", port))
