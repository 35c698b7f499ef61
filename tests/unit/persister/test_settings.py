"""Settings of the persister."""

import pytest

from inkwire_chassis.settings import SettingsError, load
from inkwire_persister.settings import Settings


def test_no_variable_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The persister starts with defaults alone; it needs no signing key."""
    monkeypatch.delenv("INKWIRE_JWT_KEYS", raising=False)
    assert load(Settings).store_url.startswith("sqlite:///")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INKWIRE_STORE_URL", "postgres://user:pass-word@host/db"),
        ("INKWIRE_STORE_URL", "posts.sqlite3"),
        ("INKWIRE_PERSISTER_BATCH_MESSAGES", "0"),
        ("INKWIRE_PERSISTER_HEALTH_PORT", "70000"),
        ("INKWIRE_PERSISTER_LONGEST_RETRY_S", "soon"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The error names the variable, fits one line, and does not repeat a URL that may hold a password."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    text = str(caught.value)
    assert text.startswith(f"{name}: ") and "\n" not in text and "pass-word" not in text
