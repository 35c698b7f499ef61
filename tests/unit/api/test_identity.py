"""Bearer tokens, narrowing, and who may sign in without credentials."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inkwire_api.identity import (
    bearer_token,
    check_local_page,
    is_loopback,
    narrow,
    require_documents,
    require_list,
    require_read,
)
from inkwire_chassis.auth import Principal
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import idempotent_post_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POST = idempotent_post_id("ana", "post")
OTHER = idempotent_post_id("ana", "other")


def caller(**changes: Any) -> Principal:
    fields: dict[str, Any] = {
        "owner": "ana",
        "subject": "ana",
        "scopes": frozenset({"post:read", "post:write"}),
        "channels": frozenset(),
        "expires_at": NOW + timedelta(seconds=600),
        "name": "Ana",
    }
    return Principal(**{**fields, **changes})


def ask(principal: Principal, **wishes: Any) -> Any:
    fields: dict[str, Any] = {"scopes": None, "channels": None, "lifetime_s": None}
    return narrow(principal, now=NOW, **{**fields, **wishes})


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_a_bearer_token_is_found(header: str) -> None:
    """The scheme's case does not matter."""
    assert bearer_token([header]) == "abc"


@pytest.mark.parametrize(
    "headers", [[], [""], ["Bearer"], ["Bearer "], ["Basic abc"], ["abc"], ["Bearer a", "Bearer b"]]
)
def test_anything_else_is_no_sign_in(headers: list[str]) -> None:
    """No header, two of them, another scheme, or nothing behind it."""
    with pytest.raises(InkwireError, match="Sign in first"):
        bearer_token(headers)


def test_absent_wishes_keep_what_the_caller_has() -> None:
    """An empty request copies the token, to its own end and no later."""
    grant = ask(caller())
    assert grant.scopes == {"post:read", "post:write"}
    assert (grant.subject, grant.channels, grant.lifetime_s, grant.name) == ("ana", frozenset(), 600, "Ana")


def test_a_token_can_be_narrowed() -> None:
    """Fewer scopes, some channels, a shorter life."""
    grant = ask(caller(), scopes=["post:read"], channels=[f"post:{POST}", "user:ana"], lifetime_s=60)
    assert grant.scopes == {"post:read"}
    assert (grant.channels, grant.lifetime_s) == ({f"post:{POST}", "user:ana"}, 60)


def test_a_life_is_never_longer_than_the_callers() -> None:
    """Asking for a day gives what is left."""
    assert ask(caller(), lifetime_s=86_400).lifetime_s == 600


def test_a_token_at_its_end_gives_none() -> None:
    """Also within the leeway of clocks, in which it is still valid itself."""
    with pytest.raises(InkwireError, match="expired"):
        ask(caller(expires_at=NOW - timedelta(seconds=2)))


def test_scopes_are_never_widened() -> None:
    """The error names the scope."""
    with pytest.raises(InkwireError) as caught:
        ask(caller(), scopes=["post:read", "ops"])
    assert (caught.value.code, caught.value.params["scope"]) == ("forbidden", "ops")


def test_channels_of_conversations_can_be_named() -> None:
    """Who is a member is asked where they are followed; name and picture go with the token."""
    channels = {f"conversation:{POST}", f"presence:{POST}", f"reply:{POST}:{OTHER}"}
    grant = ask(caller(avatar="https://x.example/a.png"), channels=sorted(channels))
    assert (grant.channels, grant.name, grant.avatar) == (channels, "Ana", "https://x.example/a.png")


@pytest.mark.parametrize(
    "channel",
    [
        "user:ben",
        "user:",
        "post:x",
        "post:*",
        "posts",
        "",
        f"post:{OTHER} ",
        "conversation:*",
        "presence:",
        f"reply:{POST}",
        f"reply:{POST}:*",
        f"reply:{POST}:{OTHER}:{OTHER}",
    ],
)
def test_channels_are_the_owners_own(channel: str) -> None:
    """Other users, patterns and nonsense are refused."""
    with pytest.raises(InkwireError, match="Channel not allowed"):
        ask(caller(), channels=[channel])


def test_channels_are_never_widened() -> None:
    """A caller with channels can hand on those, and cannot get rid of the restriction."""
    bound = caller(channels=frozenset({f"post:{POST}"}))
    assert ask(bound).channels == ask(bound, channels=[]).channels == {f"post:{POST}"}
    with pytest.raises(InkwireError, match="Channel not allowed"):
        ask(bound, channels=[f"post:{POST}", f"post:{OTHER}"])


def test_documents_need_a_scope_and_no_restriction() -> None:
    """A token for certain channels reaches no document, whichever channels they are."""
    require_documents(caller(), "post:read")
    for refused, code in (
        (caller(scopes=frozenset({"post:read"})), "forbidden"),
        (caller(channels=frozenset({f"post:{POST}"})), "forbidden_channel"),
        (caller(channels=frozenset({"user:ana"})), "forbidden_channel"),
    ):
        with pytest.raises(InkwireError) as error:
            require_documents(refused, "post:write")
        assert error.value.code == code


def test_reading_needs_scope_and_channel() -> None:
    """A token of one post reads that post; a list needs the channel of the user."""
    bound = caller(channels=frozenset({f"post:{POST}"}))
    require_read(bound, POST)
    require_list(caller())
    for refused in (
        lambda: require_read(bound, OTHER),
        lambda: require_list(bound),
        lambda: require_read(caller(scopes=frozenset({"post:write"})), POST),
    ):
        with pytest.raises(InkwireError):
            refused()


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("", False)]
    + [(h, False) for h in ("example.org", "0.0.0.0", "192.168.0.1", "localhost.evil.org", "127.0.0.1.evil.org")],  # noqa: S104
)
def test_loopback_is_this_machine_only(host: str, is_local: bool) -> None:
    """Names that merely look like it are not."""
    assert is_loopback(host) is is_local


def local_page(**changes: Any) -> None:
    fields: dict[str, Any] = {
        "host": "127.0.0.1:8080",
        "origin": None,
        "fetch_site": None,
        "public_url": "http://127.0.0.1:8080",
        "allowed_origins": ("http://localhost:3000",),
    }
    check_local_page(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"origin": "http://127.0.0.1:8080", "fetch_site": "same-origin"},
        {"host": "localhost:9000", "origin": "http://localhost:9000"},
        {"host": "[::1]:8080"},
        {"origin": "http://localhost:3000", "fetch_site": "cross-site"},
    ],
)
def test_the_own_page_and_local_programs_sign_in(changes: dict[str, Any]) -> None:
    """Same origin, a program without one, or an origin that the operator allows."""
    local_page(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "evil.org"},
        {"host": "evil.org:8080", "origin": "http://evil.org:8080"},
        {"host": ""},
        {"host": "127.0.0.1:x"},
        {"host": "ana@127.0.0.1"},
        {"host": "127.0.0.1/evil.org"},
        {"host": "192.168.0.7:8080"},
        {"origin": "http://evil.org"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8080"},
        {"fetch_site": "cross-site"},
    ],
)
def test_others_do_not(changes: dict[str, Any]) -> None:
    """Rebound names, other pages in the same browser, other ports."""
    with pytest.raises(InkwireError, match="Origin not allowed"):
        local_page(**changes)
