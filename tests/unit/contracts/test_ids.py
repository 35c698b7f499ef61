"""Identifiers: shapes and derivations that must never change, because they name what is stored."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_contracts.ids import ID_LENGTH, encode_id, idempotent_post_id, is_id, owner_token


def test_encode_id_is_base32_in_lower_case() -> None:
    """An id is the first 26 characters of lower-case base32."""
    assert encode_id(bytes(17)) == "a" * ID_LENGTH
    assert encode_id(b"\xff" * 20) == "7" * ID_LENGTH


@pytest.mark.parametrize("size", [0, 1, 16])
def test_encode_id_refuses_few_bytes(size: int) -> None:
    """Fewer than 17 bytes cannot fill an id and are refused."""
    with pytest.raises(ValueError, match="17 bytes"):
        encode_id(bytes(size))


@given(st.binary(min_size=17, max_size=40))
def test_encoded_ids_have_the_shape(raw: bytes) -> None:
    """Every encoded id is recognised as one."""
    assert is_id(encode_id(raw))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a" * 25,
        "a" * 27,
        "A" * 26,
        "a" * 25 + "1",
        "a" * 25 + "é",
        " " + "a" * 25,
        "a" * 25 + "\n",
        "../" + "a" * 23,
    ],
)
def test_is_id_refuses_other_shapes(value: str) -> None:
    """What is not 26 characters of lower-case base32 is no id."""
    assert not is_id(value)


def test_is_id_refuses_a_trailing_newline() -> None:
    """A newline after a whole id makes it no id, though a lax pattern would let it pass."""
    assert not is_id("a" * 26 + "\n")


def test_idempotent_post_id_is_stable() -> None:
    """The same owner and key always give this id; it is stored, so the derivation can never change."""
    assert idempotent_post_id("ada", "key-1") == "4axgu2wzberepaezf7pbftriys"


def test_idempotent_post_id_separates_owners_and_keys() -> None:
    """Another owner, another key, or the same letters split otherwise give another id."""
    ids = {idempotent_post_id(*pair) for pair in [("ada", "k"), ("bob", "k"), ("ada", "l"), ("a", "dak"), ("ad", "ak")]}
    assert len(ids) == 5


@pytest.mark.parametrize("subject", ["ada", "a", "user_1", "x-y", "h", "0" * 64, "h" + "a" * 25])
def test_safe_subjects_are_their_own_token(subject: str) -> None:
    """A subject claim that is already a safe token is used as it is."""
    assert owner_token("issuer", subject) == subject


@pytest.mark.parametrize(
    "subject", ["", "Ada", "a.b", "a*", ">", "a b", "é", "a" * 65, "h" + "a" * 26, "ada\n", "auth0|123", "a@b.org"]
)
def test_other_subjects_are_hashed(subject: str) -> None:
    """Anything that is not safe in a broker subject, or looks like a hash of ours, is hashed with its issuer."""
    token = owner_token("issuer", subject)
    assert token == "h" + encode_id(hashlib.sha256(f"issuer\n{subject}".encode()).digest())
    assert token != owner_token("another", subject)


@given(st.text(max_size=80))
def test_owner_tokens_are_one_token_of_a_subject(subject: str) -> None:
    """Whatever a token's subject claim is, the owner fits into one token of a broker subject."""
    token = owner_token("issuer", subject)
    assert 1 <= len(token) <= 64
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
