"""Settings: from the environment and from files, with errors of one line."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from inkwire_chassis.settings import EX_CONFIG, SettingsError, TokenSettings, load, load_or_exit, unknown_names


class Settings(TokenSettings):
    model_config = SettingsConfigDict(env_prefix="INKWIRE_THING_")
    port: int = Field(8000, ge=1, le=65535)
    api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKWIRE_JWT_KEYS", "k:" + "s" * 32)


def test_own_and_shared_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's variables carry its prefix, shared ones do not."""
    monkeypatch.setenv("INKWIRE_THING_PORT", "81")
    monkeypatch.setenv("INKWIRE_NATS_URL", "nats://elsewhere:1")
    settings = load(Settings)
    assert (settings.port, settings.nats_url) == (81, "nats://elsewhere:1")


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is one line with the variable's name."""
    monkeypatch.delenv("INKWIRE_JWT_KEYS")
    with pytest.raises(SettingsError, match=r"^INKWIRE_JWT_KEYS: Field required$"):
        load(Settings)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one whose value does not fit."""
    monkeypatch.setenv("INKWIRE_THING_PORT", "eighty")
    with pytest.raises(SettingsError, match=r"^INKWIRE_THING_PORT: .*integer"):
        load(Settings)


def test_all_servers_of_a_cluster_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """INKWIRE_NATS_URL takes several servers; what is none is a wrong setting, not an endless wait."""
    monkeypatch.setenv("INKWIRE_NATS_URL", "nats://one:4222,nats://two:4222")
    assert load(Settings).nats_url == "nats://one:4222,nats://two:4222"
    monkeypatch.setenv("INKWIRE_NATS_URL", "nats://one:4222,two:x")
    with pytest.raises(SettingsError, match=r"^INKWIRE_NATS_URL: each server must be like"):
        load(Settings)


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """NAME_FILE is read where NAME is not set, and stripped of its newline."""
    monkeypatch.delenv("INKWIRE_JWT_KEYS")
    (tmp_path / "keys").write_text("k:" + "f" * 32 + "\n")
    (tmp_path / "openai").write_text("sk-test\n")
    monkeypatch.setenv("INKWIRE_JWT_KEYS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "openai"))
    settings = load(Settings)
    assert settings.jwt_keys.get_secret_value() == "k:" + "f" * 32
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "sk-test"


def test_an_unreadable_secret_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the variable and the file."""
    monkeypatch.delenv("INKWIRE_JWT_KEYS")
    monkeypatch.setenv("INKWIRE_JWT_KEYS_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"^INKWIRE_JWT_KEYS_FILE: cannot read .*none"):
        load(Settings)


def test_a_secret_file_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names variable and file, and shows nothing of what is in it."""
    monkeypatch.delenv("INKWIRE_JWT_KEYS")
    (tmp_path / "keys").write_bytes(b"k:secret\xff")
    monkeypatch.setenv("INKWIRE_JWT_KEYS_FILE", str(tmp_path / "keys"))
    with pytest.raises(SettingsError, match=r"^INKWIRE_JWT_KEYS_FILE: .*keys is not UTF-8 text$"):
        load(Settings)


def test_a_process_with_wrong_settings_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 78 and a line, no stack trace."""
    monkeypatch.setenv("INKWIRE_LOG_LEVEL", "loud")
    with pytest.raises(SystemExit) as end:
        load_or_exit(Settings)
    assert end.value.code == EX_CONFIG
    assert capsys.readouterr().err.startswith("configuration error: INKWIRE_LOG_LEVEL: ")


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings object can be logged by mistake without harm."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert "sk-very-secret" not in repr(load(Settings))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("INKWIRE_THING_PROT", ("INKWIRE_THING_PROT", "INKWIRE_THING_PORT")),
        ("INKWIRE_THINGS_PORT", ("INKWIRE_THINGS_PORT", "INKWIRE_THING_PORT")),
        ("INKWIRE_THING_QUEUE", ("INKWIRE_THING_QUEUE", "")),
        ("INKWIRE_NATS_URLS", ("INKWIRE_NATS_URLS", "INKWIRE_NATS_URL")),
        ("INKWIRE_JWT_KEY_FILE", ("INKWIRE_JWT_KEY_FILE", "INKWIRE_JWT_KEYS_FILE")),
        ("INKWIRE_THING_PORT", None),
        ("inkwire_thing_port", None),
        ("INKWIRE_JWT_KEYS_FILE", None),
        ("INKWIRE_API_PORT", None),
        ("INKWIRE_GATEWAY_MAX_CONECTIONS", None),
        ("INKWIRE_TOKEN", None),
        ("THING_PROT", None),
    ],
)
def test_a_misspelt_setting_is_told(name: str, told: tuple[str, str] | None) -> None:
    """With the one that was probably meant; names of others are theirs to tell."""
    assert list(unknown_names(Settings, [name])) == ([] if told is None else [told])
