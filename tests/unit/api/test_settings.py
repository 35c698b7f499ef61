"""The api's settings."""

from typing import Any

import pytest

from inkwire_api.settings import Settings
from inkwire_chassis.settings import SettingsError, load

KEYS = "k1:0123456789abcdef0123456789abcdef"


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    monkeypatch.setenv("INKWIRE_JWT_KEYS", KEYS)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(Settings)


@pytest.mark.parametrize(
    ("public_url", "websocket_url"),
    [("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"), ("https://ink.example/", "wss://ink.example/ws")],
)
def test_the_websocket_has_the_public_address(
    monkeypatch: pytest.MonkeyPatch, public_url: str, websocket_url: str
) -> None:
    """Encrypted where the page is."""
    assert settings(monkeypatch, INKWIRE_API_PUBLIC_URL=public_url).websocket_url == websocket_url


@pytest.mark.parametrize("keys", ["", "nokid", "k1:short", ":" + "x" * 32])
def test_unusable_keys_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    """The line names the variable, says what to give, and shows none of it."""
    with pytest.raises(SettingsError, match=r"^INKWIRE_JWT_KEYS: (give keys as|each secret needs)[^\n]*$") as caught:
        settings(monkeypatch, INKWIRE_JWT_KEYS=keys)
    assert not keys or keys not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8080", "http://", "http://x/path", "http://x?y=1"])
def test_a_public_url_is_an_origin(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """One line names the variable."""
    with pytest.raises(SettingsError, match=r"^INKWIRE_API_PUBLIC_URL: "):
        settings(monkeypatch, INKWIRE_API_PUBLIC_URL=url)


@pytest.mark.parametrize("url", ["https://ink.example", "http://0.0.0.0:8080", "http://localhost.evil.org"])
def test_signing_in_without_credentials_is_for_loopback_only(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A public address with it does not start."""
    with pytest.raises(SettingsError, match=r"^INKWIRE_API_DEV_SIGN_IN: .*loopback"):
        settings(monkeypatch, INKWIRE_API_PUBLIC_URL=url, INKWIRE_API_DEV_SIGN_IN="true")


def test_signing_in_without_credentials_is_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be asked for, and then works on loopback."""
    assert not settings(monkeypatch).dev_sign_in
    assert settings(monkeypatch, INKWIRE_API_DEV_SIGN_IN="1").dev_sign_in


def test_origins_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comma separated, blanks and final slashes ignored."""
    found = settings(monkeypatch, INKWIRE_ALLOWED_ORIGINS=" https://a.example/ ,, http://localhost:3000 ")
    assert found.origins == ("https://a.example", "http://localhost:3000")


def test_shared_variables_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator and the model are shared with other services."""
    found = settings(monkeypatch, INKWIRE_SIMULATED="true", OPENAI_MODEL="m-1")
    assert (found.simulated, found.openai_model) == (True, "m-1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"INKWIRE_API_PORT": "x"},
        {"INKWIRE_API_MAX_BODY_BYTES": "1"},
        {"INKWIRE_API_COMMIT_TIMEOUT_S": "0"},
        {"INKWIRE_API_POSTS_PER_S": "-1"},
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]) -> None:
    """One line with the variable."""
    with pytest.raises(SettingsError, match=f"^{next(iter(wrong))}: "):
        settings(monkeypatch, **wrong)
