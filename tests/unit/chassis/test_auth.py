"""Tokens: minted, verified, rotated, refused."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from inkwire_chassis.auth import DEFAULT_SCOPES, MAX_LIFETIME_S, KeyRing, Principal
from inkwire_contracts.errors import InkwireError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32


def ring(text: str = OLD) -> KeyRing:
    return KeyRing.parse(text, "inkwire")


def mint(keys: KeyRing, **options: object) -> str:
    defaults: dict[str, object] = {"now": NOW, "lifetime_s": 60, "jti": "j1"}
    return keys.mint("ann", **{**defaults, **options})  # type: ignore[arg-type]


def refusal(token: str, keys: KeyRing, now: datetime = NOW) -> str:
    with pytest.raises(InkwireError) as error:
        keys.verify(token, now=now)
    return error.value.code


def test_a_minted_token_names_its_owner_scopes_and_end() -> None:
    """What was minted is what verification says."""
    principal = ring().verify(mint(ring(), channels=["post:x"], name="Ann"), now=NOW)
    assert principal == Principal(
        "ann", "ann", DEFAULT_SCOPES, frozenset({"post:x"}), NOW + timedelta(seconds=60), "Ann"
    )


def test_lifetime_is_bounded() -> None:
    """Nobody gets a token for longer than the bound."""
    principal = ring().verify(mint(ring(), lifetime_s=10 * MAX_LIFETIME_S), now=NOW)
    assert principal.expires_at == NOW + timedelta(seconds=MAX_LIFETIME_S)


def test_keys_rotate_without_a_moment_of_refusal() -> None:
    """A token of the old key is good as long as that key is listed, and new ones come from the first."""
    both = ring(f"{NEW},{OLD}")
    assert both.verify(mint(ring(OLD)), now=NOW).owner == "ann"
    assert ring(NEW).verify(mint(both), now=NOW).owner == "ann"
    assert refusal(mint(ring(OLD)), ring(NEW)) == "invalid_token"


def test_an_expired_token_is_told_apart() -> None:
    """The client may get a new token, so the code says that this one has only ended."""
    assert refusal(mint(ring()), ring(), NOW + timedelta(minutes=5)) == "token_expired"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "else"},
        {"aud": "else"},
        {"sub": ""},
        {"sub": 7},
        {"exp": "soon"},
        {"iat": NOW.timestamp() + 3600},
        {"nbf": NOW.timestamp() + 3600},
        {"nbf": "later"},
        {"exp": 1e300},
        {"exp": -9e10},
        {"ch": []},
        {"ch": 7},
        {"ch": [["post:x"]]},
        {"ch": "post:x"},
        {"jti": None},
    ],
    ids=str,
)
def test_tokens_with_wrong_claims_are_refused(claims: dict[str, object]) -> None:
    """A good signature does not make a token of another issuer, audience or shape good."""
    good = {"iss": "inkwire", "aud": "inkwire", "sub": "ann", "jti": "j", "iat": NOW.timestamp()}
    body = {**good, "exp": NOW.timestamp() + 60, **claims}
    token = jwt.encode({k: v for k, v in body.items() if v is not None}, "o" * 32, headers={"kid": "old"})
    assert refusal(token, ring()) == "invalid_token"


def test_forged_tokens_are_refused() -> None:
    """No algorithm but ours, no other key, no unknown key id, no garbage, no monster."""
    claims = {"iss": "inkwire", "aud": "inkwire", "sub": "a", "jti": "j", "iat": 1, "exp": 4e9}
    forged = [
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, "x" * 32, headers={"kid": "old"}),
        jwt.encode(claims, "o" * 32, headers={"kid": "unknown"}),
        jwt.encode(claims, "o" * 64, algorithm="HS512", headers={"kid": "old"}),
        "a.b.c",
        "",
        "é" * 10,
        "x" * 5000,
    ]
    assert {refusal(token, ring()) for token in forged} == {"invalid_token"}


@pytest.mark.parametrize("text", ["", "short:abc", ":" + "x" * 32, f"{OLD},{OLD}", "nokid" + "x" * 40])
def test_bad_key_lists_are_refused(text: str) -> None:
    """A process does not start with keys that are weak, unnamed or named twice."""
    with pytest.raises(ValueError, match=r"keys|secret"):
        KeyRing.parse(text, "inkwire")


@pytest.mark.parametrize(
    ("channel", "channels", "allowed"),
    [
        ("post:x", (), True),
        ("post:x", ("post:x",), True),
        ("post:y", ("post:x",), False),
        ("user:ann", (), True),
        ("user:bob", (), False),
        ("user:ann", ("post:x",), False),
        ("dlq:jobs", (), False),
    ],
)
def test_channels_of_a_token(channel: str, channels: tuple[str, ...], allowed: bool) -> None:
    """A token without a list follows what is the owner's; one with a list only what it names."""
    principal = ring().verify(mint(ring(), channels=channels), now=NOW)
    assert principal.may_follow(channel) is allowed


def test_scopes_are_required_by_name() -> None:
    """The refusal names the scope that was missing."""
    principal = ring().verify(mint(ring(), scopes=["post:read"]), now=NOW)
    with pytest.raises(InkwireError, match="post:write"):
        principal.require("post:write")
    assert not ring().verify(mint(ring(), scopes=["ops"]), now=NOW).may_follow("post:x")
