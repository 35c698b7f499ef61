"""Free TCP ports on loopback."""

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_MOST_TRIES: Final = 100
_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on and that this run has not given out before.

    Another process can still take it before it is used: where a server can choose its own port, let it.
    """
    for _ in range(_MOST_TRIES):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port
    raise RuntimeError(f"no unused port in {_MOST_TRIES} tries")
