"""What an opening handshake is asked: which path, from which page, with which token. Pure functions on headers."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from inkwire_contracts.client_frames import SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX

BEARER = "bearer "
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_allowed(origin: str | None, host: str, allowed: Sequence[str]) -> bool:
    """Whether a page of that origin may connect: our own page, or one that the operator named.

    Args:
        origin: the Origin header; ``None`` for clients that are no browsers.
        host: the Host header, as the client sent it.
        allowed: origins such as ``https://example.org``.
    """
    if origin is None or origin in allowed:
        return True
    try:
        page, ours = urlsplit(origin), urlsplit(f"//{host}")
        default = _DEFAULT_PORTS[page.scheme]
        return (
            page.hostname is not None
            and page.hostname == ours.hostname
            and (page.port or default) == (ours.port or default)
        )
    except (ValueError, KeyError):
        return False


def host_valid(hosts: Sequence[str]) -> bool:
    """Whether there is exactly one Host header that names a host."""
    if len(hosts) != 1:
        return False
    try:
        parts = urlsplit(f"//{hosts[0]}")
        return bool(parts.hostname) and parts.netloc == hosts[0] and "@" not in hosts[0] and parts.port != 0
    except ValueError:
        return False


def offered_token(subprotocols: Sequence[str], authorization: str | None) -> str | None:
    """The token that a handshake carries: as a subprotocol (browsers), or as a header (everyone else)."""
    for offered in subprotocols:
        if offered.startswith(TOKEN_SUBPROTOCOL_PREFIX):
            return offered.removeprefix(TOKEN_SUBPROTOCOL_PREFIX)
    if authorization is not None and authorization[: len(BEARER)].lower() == BEARER:
        return authorization[len(BEARER) :].strip()
    return None


def chosen_subprotocol(offered: Sequence[str]) -> str | None:
    """Our one subprotocol; ``None`` if nothing was offered, which means it too.

    Raises:
        ValueError: only others were offered.
    """
    if not offered:
        return None
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    raise ValueError(f"offer the subprotocol {SUBPROTOCOL}")
