"""Settings from the environment, with secrets from files, and errors of one line that name the variable."""

import os
import sys
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

EX_CONFIG = 78
"""Exit code for a wrong configuration (sysexits.h)."""

S = TypeVar("S", bound=BaseSettings)


class SettingsError(Exception):
    """A variable is missing or wrong; the message is one line and names it."""


class _FileSource(EnvSettingsSource):
    """Reads ``NAME_FILE`` where ``NAME`` is a setting: the way containers hand over secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = variable_name(type_of(self), field_name, field)
        path = os.environ.get(f"{name}_FILE")
        if path is None:
            return None, field_name, False
        try:
            return (
                Path(path).read_text(encoding="utf-8").strip(),
                str(field.validation_alias or field_name),
                False,
            )
        except OSError as error:
            raise SettingsError(f"{name}_FILE: cannot read {path}: {error.strerror}") from None


def type_of(source: PydanticBaseSettingsSource) -> type[BaseSettings]:
    """The settings class that a source fills."""
    return source.settings_cls


def variable_name(cls: type[BaseSettings], field_name: str, field: FieldInfo) -> str:
    """The environment variable of a field."""
    if isinstance(field.validation_alias, str):
        return field.validation_alias
    return f"{cls.model_config.get('env_prefix', '')}{field_name}".upper()


class ServiceSettings(BaseSettings):
    """What every service needs: shared variables are ``INKWIRE_<NAME>``, its own ``INKWIRE_<SERVICE>_<NAME>``."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    nats_url: str = Field("nats://127.0.0.1:4222", validation_alias="INKWIRE_NATS_URL")
    store_url: str = Field("sqlite:///data/inkwire.sqlite3", validation_alias="INKWIRE_STORE_URL")
    """``mongodb://host/database`` or ``sqlite:///path``."""
    jwt_keys: SecretStr = Field(validation_alias="INKWIRE_JWT_KEYS")
    """``kid:secret`` pairs, comma separated; the first signs, all verify. Secrets have at least 32 characters."""
    jwt_issuer: str = Field("inkwire", validation_alias="INKWIRE_JWT_ISSUER")
    log_format: Literal["human", "json"] = Field("json", validation_alias="INKWIRE_LOG_FORMAT")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="INKWIRE_LOG_LEVEL")
    stop_timeout_s: float = Field(4.0, gt=0, le=300, validation_alias="INKWIRE_STOP_TIMEOUT_S")
    """How long a stopping process may take before it is cut short."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then ``*_FILE``."""
        return init_settings, env_settings, _FileSource(settings_cls)


def load(cls: type[S], **overrides: Any) -> S:
    """Read settings.

    Raises:
        SettingsError: a variable is missing or wrong.
    """
    try:
        return cls(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else cls.__name__
        field = cls.model_fields.get(name)
        if field is not None:
            name = variable_name(cls, name, field)
        elif not name.startswith(("INKWIRE_", "OPENAI_")):
            name = f"{cls.model_config.get('env_prefix', '')}{name}".upper()
        raise SettingsError(f"{name}: {first['msg']}") from None


def load_or_exit(cls: type[S], **overrides: Any) -> S:
    """:func:`load` for a process: a wrong setting ends it with one line and exit code 78."""
    try:
        return load(cls, **overrides)
    except SettingsError as error:
        _exit(str(error))


def _exit(message: str) -> NoReturn:
    sys.stderr.write(f"configuration error: {message}\n")
    raise SystemExit(EX_CONFIG)
