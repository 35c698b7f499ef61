"""Free TCP ports on loopback."""

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_MOST_TRIES: Final = 100
_given: set[int] = set()


def free_port(*, in_a_row: int = 1) -> int:
    """A loopback port that nobody listens on and that this run has not given out before; the first of several
    `in_a_row` that are free.

    Another process can still take it before it is used: where a server can choose its own port, let it.
    """
    for _ in range(_MOST_TRIES):
        first = _chosen_by_the_system()
        row = range(first, first + in_a_row)
        if _given.isdisjoint(row) and all(map(_free, row)):
            _given.update(row)
            return first
    raise RuntimeError(f"no {in_a_row} unused ports in {_MOST_TRIES} tries")


def _chosen_by_the_system() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):  # taken, or beyond the last port
            return False
    return True
