"""Identifiers: their shape, and how they are derived. Nothing here draws randomness; callers pass it in."""

import base64
import hashlib
import re
from typing import Annotated

from pydantic import StringConstraints

ID_LENGTH = 26
"""Characters of an opaque id: 130 bits in lower-case base32."""

ID_PATTERN = r"^[a-z2-7]{26}$"
OWNER_PATTERN = r"^[a-z0-9_-]{1,64}$"

PostId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
OwnerToken = Annotated[str, StringConstraints(pattern=OWNER_PATTERN)]

_OWNER = re.compile(OWNER_PATTERN)
_LOOKS_HASHED = re.compile(r"^h[a-z2-7]{26}$")
_ID = re.compile(ID_PATTERN)


def encode_id(raw: bytes) -> str:
    """Turn at least 17 bytes (random, or a hash) into an opaque id of 26 characters.

    Raises:
        ValueError: fewer than 17 bytes were given.
    """
    if len(raw) < 17:
        raise ValueError("an id needs at least 17 bytes")
    return base64.b32encode(raw).decode().lower()[:ID_LENGTH]


def is_id(value: str) -> bool:
    """Whether ``value`` has the shape of an opaque id."""
    return _ID.fullmatch(value) is not None


def idempotent_post_id(owner: str, key: str) -> str:
    """The post id that belongs to an owner's Idempotency-Key, the same on every machine and after every restart."""
    return encode_id(hashlib.sha256(f"{owner}\n{key}".encode()).digest())


def owner_token(issuer: str, subject: str) -> str:
    """The owner's name as a token of a broker subject.

    A subject claim that is already a safe token is used as it is. Anything else, and anything that looks like our
    own hashes (so that nobody can choose to be somebody's hash), becomes ``h`` and 26 characters of a SHA-256.
    """
    if _OWNER.fullmatch(subject) and not _LOOKS_HASHED.fullmatch(subject):
        return subject
    return "h" + encode_id(hashlib.sha256(f"{issuer}\n{subject}".encode()).digest())
