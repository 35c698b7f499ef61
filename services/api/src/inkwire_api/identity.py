"""Who is calling: bearer tokens, narrowing them, and the rules of signing in on a developer's machine. Pure."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from inkwire_chassis.auth import MEMBERS_CHANNELS, SCOPES, Principal
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id

LOCAL_SUBJECT = "local"
MIN_LIFETIME_S = 1


@dataclass(frozen=True, slots=True)
class Grant:
    """What a new token will say."""

    subject: str
    scopes: frozenset[str]
    channels: frozenset[str]
    lifetime_s: int
    name: str = ""
    avatar: str = ""


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bearer_token(headers: Sequence[str]) -> str:
    """The token of the Authorization headers.

    Raises:
        InkwireError: ``unauthenticated`` unless there is exactly one, of the form ``Bearer TOKEN``.
    """
    scheme, _, token = (headers[0] if len(headers) == 1 else "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise InkwireError("unauthenticated")
    return token


def require_read(principal: Principal, post: str) -> None:
    """Whether the token may read this post at all; whose it is, is asked elsewhere."""
    _require_channel(principal, f"post:{post}")


def require_steer(principal: Principal, post: str, scope: str) -> None:
    """Whether the token may change this post's course: it has the scope, and its channels leave the post in."""
    principal.require(scope)
    channel = f"post:{post}"
    if principal.channels and channel not in principal.channels:
        raise InkwireError("forbidden_channel", channel=channel)


def require_list(principal: Principal) -> None:
    """Whether the token may list its owner's posts."""
    _require_channel(principal, f"user:{principal.owner}")


def require_documents(principal: Principal, scope: str) -> None:
    """Whether the token reaches its owner's documents: it has the scope, and is not for certain channels alone."""
    principal.require(scope)
    if principal.channels:
        raise InkwireError("forbidden_channel", channel=f"user:{principal.owner}")


def _require_channel(principal: Principal, channel: str) -> None:
    principal.require("post:read")
    if not principal.may_follow(channel):
        raise InkwireError("forbidden_channel", channel=channel)


def narrow(
    principal: Principal,
    *,
    scopes: Sequence[str] | None,
    channels: Sequence[str] | None,
    lifetime_s: int | None,
    now: datetime,
) -> Grant:
    """A token of the same subject that allows the same or less, and ends no later.

    Raises:
        InkwireError: ``forbidden`` or ``forbidden_channel`` where more is asked for, ``token_expired`` where
            nothing is left of the caller's own.
    """
    wanted = principal.scopes & SCOPES if scopes is None else frozenset(scopes)
    if beyond := wanted - principal.scopes:
        raise InkwireError("forbidden", scope=min(beyond))
    chosen = principal.channels if channels is None else frozenset(channels)
    for channel in sorted(chosen):
        if not _grantable(principal, channel):
            raise InkwireError("forbidden_channel", channel=channel)
    left_s = int((principal.expires_at - now).total_seconds())
    if left_s < MIN_LIFETIME_S:
        raise InkwireError("token_expired")
    lifetime = left_s if lifetime_s is None else min(lifetime_s, left_s)
    # No channels would mean all channels, so a caller with some must keep some.
    return Grant(principal.subject, wanted, chosen or principal.channels, lifetime, principal.name, principal.avatar)


def _grantable(principal: Principal, channel: str) -> bool:
    if principal.channels:
        return channel in principal.channels
    kind, _, name = channel.partition(":")
    if kind == "reply":
        conversation, _, post = name.partition(":")
        return is_id(conversation) and is_id(post)
    return (kind in MEMBERS_CHANNELS and is_id(name)) or (kind == "user" and name == principal.owner)


def check_local_page(
    *, host: str, origin: str | None, fetch_site: str | None, public_url: str, allowed_origins: Sequence[str]
) -> None:
    """Let only a page of this very machine, or a program on it, sign in without credentials.

    ``host`` stops DNS rebinding, ``origin`` and ``fetch_site`` stop other pages in the same browser.

    Raises:
        InkwireError: ``forbidden_origin``.
    """
    if not is_loopback(_host_name(host)):
        raise InkwireError("forbidden_origin")
    if fetch_site == "cross-site" and origin not in allowed_origins:
        raise InkwireError("forbidden_origin")
    if origin is not None and origin not in (public_url, f"http://{host}", *allowed_origins):
        raise InkwireError("forbidden_origin")


def _host_name(host: str) -> str:
    """The name in a Host header, or nothing if it is not one."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "") if parts.netloc == host and "@" not in host and parts.port != 0 else ""
    except ValueError:
        return ""
