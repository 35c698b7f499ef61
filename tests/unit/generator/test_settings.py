"""Settings of the generator."""

import pytest

from inkwire_chassis.settings import SettingsError, load
from inkwire_generator.app import NoProvider, provider_config
from inkwire_generator.settings import GeneratorSettings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_MAX_TOKENS"):
        monkeypatch.delenv(name, raising=False)


def test_it_needs_no_signing_key() -> None:
    """The generator neither signs nor verifies tokens, so it starts without their keys."""
    assert load(GeneratorSettings).posts == 32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INKWIRE_GENERATOR_POSTS", "0"),
        ("INKWIRE_GENERATOR_POOLS", "Big Pool"),
        ("OPENAI_BASE_URL", "localhost:8089"),
        ("OPENAI_MAX_TOKENS", "many"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """One line says which variable is wrong."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load(GeneratorSettings)


def test_pools_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools are separated by commas, each counts once."""
    monkeypatch.setenv("INKWIRE_GENERATOR_POOLS", "general,big,general")
    assert load(GeneratorSettings).pool_names == ("general", "big")


def test_an_empty_token_limit_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files hand over empty values for what is not set."""
    monkeypatch.setenv("OPENAI_MAX_TOKENS", "")
    assert load(GeneratorSettings).openai_max_tokens is None


def test_openai_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable; servers of one's own need no key."""
    with pytest.raises(NoProvider, match="OPENAI_API_KEY"):
        provider_config(load(GeneratorSettings))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")
    assert provider_config(load(GeneratorSettings)).api_key == ""
