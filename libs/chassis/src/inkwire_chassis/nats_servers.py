"""Where NATS is, as settings say it. Needs no client: who only reads settings does not load one."""

from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = frozenset({"nats", "tls", "ws", "wss"})


def server_list(url: str) -> list[str]:
    """The servers of a cluster, from ``INKWIRE_NATS_URL``: one address, or several with commas between them.

    Each needs its own user and password, if there are any: ``nats://u:p@one:4222,nats://u:p@two:4222``.

    Raises:
        ValueError: there is none, or one is no address of a NATS server.
    """
    servers = [part.strip() for part in url.split(",") if part.strip()]
    if not servers:
        raise ValueError("no server is named")
    if not all(map(_is_server, servers)):
        raise ValueError("each server must be like nats://host:4222, with commas between several")
    return servers


def _is_server(address: str) -> bool:
    parts = urlsplit(address if "://" in address else f"nats://{address}")
    try:
        return parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its own text would show what was typed, a password among it
        return False
