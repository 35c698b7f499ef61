"""Ports of this machine, and addresses that are not its own."""

import socket
from contextlib import closing

import pytest

from inkwire.network import free_ports, free_row, port_is_free

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
    first = free_row(3)
    for port in range(first, first + 3):
        socket.create_server(("127.0.0.1", port)).close()
