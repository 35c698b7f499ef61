"""Settings of the generator."""

from pathlib import Path

import pytest

from inkwire_chassis.settings import SettingsError, load
from inkwire_generator.app import NoProvider, provider_configs
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
        provider_configs(load(GeneratorSettings))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")
    assert provider_configs(load(GeneratorSettings))[0].api_key == ""


SECOND = '[{"base_url": "http://127.0.0.1:1/v1", "model": "m-2", "api_key_file": "%s", "max_tokens": 9}]'


def test_fallbacks_follow_the_first_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The list gives more providers in order, each with the key from its file."""
    key = tmp_path / "key"
    key.write_text("sk-two\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("INKWIRE_GENERATOR_FALLBACKS", SECOND % key)
    first, second = provider_configs(load(GeneratorSettings))
    assert (first.api_key, second.api_key) == ("sk-one", "sk-two")
    assert (second.base_url, second.model, second.max_tokens) == ("http://127.0.0.1:1/v1", "m-2", 9)


def test_fallbacks_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As any other setting that is a secret."""
    path = tmp_path / "fallbacks.json"
    path.write_text('[{"base_url": "http://127.0.0.1:1/v1", "model": "m-2"}]')
    monkeypatch.setenv("INKWIRE_GENERATOR_FALLBACKS_FILE", str(path))
    assert [fallback.model for fallback in load(GeneratorSettings).fallback_providers] == ["m-2"]


@pytest.mark.parametrize(
    "value",
    [
        "sk-secret",
        '{"sk-secret": 1}',
        '[{"base_url": "sk-secret", "model": "m"}]',
        '[{"base_url": "http://x", "model": "m", "api_key": "sk-secret"}]',
        '[{"base_url": "http://x/sk-secret"}]',
    ],
)
def test_wrong_fallbacks_are_refused_without_showing_them(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The message names the variable and the place, and repeats nothing of what may be a key."""
    monkeypatch.setenv("INKWIRE_GENERATOR_FALLBACKS", value)
    with pytest.raises(SettingsError, match=r"^INKWIRE_GENERATOR_FALLBACKS: ") as caught:
        load(GeneratorSettings)
    assert "secret" not in str(caught.value)


def test_a_fallback_without_its_key_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that cannot be read ends the process with a word, instead of the fallback on the day it is needed."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("INKWIRE_GENERATOR_FALLBACKS", SECOND % (tmp_path / "missing"))
    with pytest.raises(NoProvider, match="missing"):
        provider_configs(load(GeneratorSettings))


def test_job_types_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """INKWIRE_JOB_TYPES_FILE names the operator's own; a wrong one is told in one line with job type and field."""
    path = tmp_path / "job_types.json"
    monkeypatch.setenv("INKWIRE_JOB_TYPES_FILE", str(path))
    path.write_text('{"triage": {"title": "Triage", "task": "Sort."}}')
    assert "Sort." in load(GeneratorSettings).job_types
    path.write_text('{"triage": {"title": "Triage"}}')
    with pytest.raises(SettingsError, match=r"^INKWIRE_JOB_TYPES_FILE: triage: task: Field required$"):
        load(GeneratorSettings)


def test_what_a_run_may_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both limits come from the environment; empty ones are none, and nothing is no limit that could hold."""
    monkeypatch.setenv("INKWIRE_GENERATOR_RUN_MAX_COST_USD", "0.25")
    monkeypatch.setenv("INKWIRE_GENERATOR_RUN_MAX_TOKENS", "")
    settings = load(GeneratorSettings)
    assert (settings.run_max_cost_usd, settings.run_max_tokens) == (0.25, None)
    monkeypatch.setenv("INKWIRE_GENERATOR_RUN_MAX_COST_USD", "0")
    with pytest.raises(SettingsError, match=r"^INKWIRE_GENERATOR_RUN_MAX_COST_USD: "):
        load(GeneratorSettings)
