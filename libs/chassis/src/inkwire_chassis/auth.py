"""Tokens: JWT (RFC 7519), HS256, short-lived, with scopes and channels; keys rotate by ``kid``."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any

import jwt
from pydantic import AfterValidator, SecretStr

from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import owner_token

AUDIENCE = "inkwire"
MIN_SECRET_CHARS = 32
MAX_TOKEN_CHARS = 4096
MAX_LIFETIME_S = 24 * 3600
LEEWAY_S = 5
MAX_KNOWN_HEADERS = 64
"""Headers of tokens that are remembered; one for each key is the rule, and any others are read each time."""

MAX_NAME_CHARS = 100
MAX_AVATAR_CHARS = 500
SCOPES: frozenset[str] = frozenset({"post:read", "post:write", "post:cancel", "ops"})
MEMBERS_CHANNELS: frozenset[str] = frozenset({"post", "conversation", "presence", "reply"})
DEFAULT_SCOPES: frozenset[str] = frozenset({"post:read", "post:write", "post:cancel"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, and what the token allows. No ``channels`` means: all channels of the owner.

    ``name`` and ``avatar`` (a URL) are what others may see of the caller; empty where the token tells none.
    """

    owner: str
    subject: str
    scopes: frozenset[str]
    channels: frozenset[str]
    expires_at: datetime
    name: str = ""
    avatar: str = ""

    def require(self, scope: str) -> None:
        """Raise ``forbidden`` unless the token has the scope."""
        if scope not in self.scopes:
            raise InkwireError("forbidden", scope=scope)

    def may_follow(self, channel: str) -> bool:
        """Whether the token allows the channel at all; whose it is, and who is a member, is asked elsewhere."""
        if "post:read" not in self.scopes:
            return False
        if self.channels and channel not in self.channels:
            return False
        kind, _, name = channel.partition(":")
        return kind in MEMBERS_CHANNELS or (kind == "user" and name == self.owner)


@lru_cache(maxsize=64)
def _scopes(text: str) -> frozenset[str]:
    """Few combinations are in use, and each connection would keep its own."""
    return frozenset(text.split())


class KeyRing:
    """Signing keys by id: the first signs, all verify.

    So a key is rotated by adding a new one at the end, and moving it to the front once every process verifies it.
    """

    def __init__(self, keys: Iterable[tuple[str, str]], issuer: str) -> None:
        self._keys = dict(keys)
        self._issuer = issuer
        self._signing_kid = next(iter(self._keys))
        self._secrets: dict[str, str] = {}

    @classmethod
    def parse(cls, text: str, issuer: str) -> "KeyRing":
        """Read ``kid:secret,kid:secret``.

        Raises:
            ValueError: no key, an empty id, an id given twice, or a secret under 32 characters.
        """
        pairs = [tuple(part.strip().partition(":")[::2]) for part in text.split(",") if part.strip()]
        if not pairs or len({kid for kid, _ in pairs}) != len(pairs) or not all(kid for kid, _ in pairs):
            raise ValueError("give keys as kid:secret, comma separated, each kid once")
        if any(len(secret) < MIN_SECRET_CHARS for _, secret in pairs):
            raise ValueError(f"each secret needs at least {MIN_SECRET_CHARS} characters")
        return cls(((kid, secret) for kid, secret in pairs), issuer)

    def mint(
        self,
        subject: str,
        *,
        now: datetime,
        lifetime_s: int,
        jti: str,
        scopes: Iterable[str] = DEFAULT_SCOPES,
        channels: Iterable[str] = (),
        name: str = "",
        avatar: str = "",
    ) -> str:
        """A signed token for ``subject``, valid for ``lifetime_s`` seconds from ``now``."""
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": now + timedelta(seconds=min(lifetime_s, MAX_LIFETIME_S)),
            "jti": jti,
            "scope": " ".join(sorted(scopes)),
        }
        if channel_list := sorted(channels):
            claims["ch"] = channel_list
        if name:
            claims["name"] = name
        if avatar:
            claims["avatar"] = avatar
        secret = self._keys[self._signing_kid]
        return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": self._signing_kid})

    def verify(self, token: str, *, now: datetime) -> Principal:
        """Check a token's signature, issuer, audience and time.

        Raises:
            InkwireError: ``invalid_token`` or ``token_expired``.
        """
        claims = self._decode(token)
        expires_at = datetime.fromtimestamp(claims["exp"], now.tzinfo)
        if expires_at + timedelta(seconds=LEEWAY_S) <= now:
            raise InkwireError("token_expired")
        if max(claims["iat"], claims.get("nbf", 0)) > now.timestamp() + LEEWAY_S:
            raise InkwireError("invalid_token")
        return Principal(
            owner=owner_token(self._issuer, claims["sub"]),
            subject=claims["sub"],
            scopes=_scopes(str(claims.get("scope", ""))),
            channels=frozenset(claims.get("ch", ())),
            expires_at=expires_at,
            name=str(claims.get("name", ""))[:MAX_NAME_CHARS],
            avatar=str(claims.get("avatar", ""))[:MAX_AVATAR_CHARS],
        )

    def _secret(self, token: str) -> str:
        """The key that a token names. All tokens of a key begin alike, so that its header is read once."""
        head = token.partition(".")[0]
        secret = self._secrets.get(head)
        if secret is None:
            secret = self._keys[jwt.get_unverified_header(token).get("kid", self._signing_kid)]
            if len(self._secrets) < MAX_KNOWN_HEADERS:
                self._secrets[head] = secret
        return secret

    def _decode(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARS:
            raise InkwireError("invalid_token")
        try:
            secret = self._secret(token)
            claims = jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={
                    "require": ["exp", "iat", "sub", "jti", "iss", "aud"],
                    "verify_exp": False,  # ours: against the caller's clock
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            raise InkwireError("invalid_token") from None
        if not claims["sub"] or not all(_is_time(claims.get(name, 0)) for name in ("exp", "iat", "nbf")):
            raise InkwireError("invalid_token")
        if "ch" in claims and not _is_channel_list(claims["ch"]):
            raise InkwireError("invalid_token")
        return dict(claims)


def _is_time(value: object) -> bool:
    """Whether it is a number of seconds that a date can hold."""
    return isinstance(value, int | float) and 0 <= value < 1e11


def _is_channel_list(value: object) -> bool:
    """Names, at least one: an empty list must not mean what no list means, all channels."""
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _usable(keys: SecretStr) -> SecretStr:
    KeyRing.parse(keys.get_secret_value(), "any")
    return keys


JwtKeys = Annotated[SecretStr, AfterValidator(_usable)]
"""A setting that holds keys: wrong ones are told at the start."""
