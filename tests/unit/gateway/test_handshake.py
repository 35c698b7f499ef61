"""Who may open a connection, and with which token."""

import pytest

from inkwire_gateway.handshake import chosen_subprotocol, host_valid, offered_token, origin_allowed

ALLOWED = ("https://app.example.org", "http://localhost:3000")


@pytest.mark.parametrize(
    ("origin", "host", "fine"),
    [
        (None, "127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("https://ink.example.org", "ink.example.org", True),
        ("https://ink.example.org:443", "ink.example.org", True),
        ("http://ink.example.org", "INK.example.org:80", True),
        ("https://app.example.org", "ink.example.org", True),
        ("http://localhost:3000", "ink.example.org", True),
        ("http://127.0.0.1:9999", "127.0.0.1:8080", False),
        ("http://evil.example", "127.0.0.1:8080", False),
        ("https://app.example.org.evil.example", "ink.example.org", False),
        ("https://evil.example/https://app.example.org", "ink.example.org", False),
        ("null", "127.0.0.1:8080", False),
        ("", "127.0.0.1:8080", False),
        ("file://", "127.0.0.1:8080", False),
        ("http://[::1", "127.0.0.1:8080", False),
        ("http://127.0.0.1:99999", "127.0.0.1:8080", False),
    ],
)
def test_origin(origin: str | None, host: str, fine: bool) -> None:
    """Our own page and named ones may connect; no other page may."""
    assert origin_allowed(origin, host, ALLOWED) is fine


@pytest.mark.parametrize(
    ("hosts", "fine"),
    [
        (["127.0.0.1:8080"], True),
        (["ink.example.org"], True),
        (["[::1]:8080"], True),
        ([], False),
        (["a", "b"], False),
        ([""], False),
        (["user@host"], False),
        (["host/path"], False),
        (["host:0"], False),
        (["host:99999"], False),
        (["[::1"], False),
    ],
)
def test_host(hosts: list[str], fine: bool) -> None:
    """There is one Host header, and it names a host and nothing else."""
    assert host_valid(hosts) is fine


def test_token_by_subprotocol_or_header() -> None:
    """Browsers send it as a subprotocol, others as a header; the subprotocol wins."""
    assert offered_token(["inkwire.v1", "token.abc"], None) == "abc"
    assert offered_token([], "Bearer xyz") == "xyz"
    assert offered_token(["token.abc"], "bearer xyz") == "abc"
    assert offered_token(["inkwire.v1"], "Basic xyz") is None
    assert offered_token([], None) is None


def test_subprotocol() -> None:
    """Ours or none; others alone are refused, since a browser would close on our silence."""
    assert chosen_subprotocol([]) is None
    assert chosen_subprotocol(["token.abc", "inkwire.v1"]) == "inkwire.v1"
    with pytest.raises(ValueError, match=r"inkwire\.v1"):
        chosen_subprotocol(["graphql-ws", "token.abc"])
