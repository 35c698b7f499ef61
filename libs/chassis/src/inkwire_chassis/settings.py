"""Settings from the environment, with secrets from files, and errors of one line that name the variable."""

import os
import sys
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from inkwire_chassis.auth import JwtKeys
from inkwire_chassis.nats_servers import server_list

EX_CONFIG = 78
"""Exit code for a wrong configuration (sysexits.h)."""

EX_UNAVAILABLE = 69
"""Exit code where a server, file or port that a process needs cannot be used (sysexits.h)."""

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4o-mini"

PREFIX = "INKWIRE_"
SERVICES = ("API", "GATEWAY", "GENERATOR", "PERSISTER")
PROXY_NAMES = frozenset({"INKWIRE_API_UPSTREAMS", "INKWIRE_GATEWAY_UPSTREAMS"})
"""The proxy's, though they begin as a service's do."""
ALIKE_RATIO = 0.85
"""Of two names (difflib), from which one is taken for a misspelling of the other."""

S = TypeVar("S", bound=BaseSettings)


class SettingsError(Exception):
    """A variable is missing or wrong; the message is one line and names it."""


def variable_name(cls: type[BaseSettings], field_name: str, field: FieldInfo) -> str:
    """The environment variable of a field."""
    if isinstance(field.validation_alias, str):
        return field.validation_alias
    return f"{cls.model_config.get('env_prefix', '')}{field_name}".upper()


class ServiceSettings(BaseSettings):
    """What every service needs: shared variables are ``INKWIRE_<NAME>``, its own ``INKWIRE_<SERVICE>_<NAME>``."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    nats_url: str = Field("nats://127.0.0.1:4222", validation_alias="INKWIRE_NATS_URL")
    """One server, or all of a cluster with commas between them; each with its own user and password, if any."""
    log_format: Literal["human", "json"] = Field("json", validation_alias="INKWIRE_LOG_FORMAT")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="INKWIRE_LOG_LEVEL")
    stop_timeout_s: float = Field(4.0, gt=0, le=300, validation_alias="INKWIRE_STOP_TIMEOUT_S")
    """How long a stopping process may take before it is cut short."""

    @field_validator("nats_url")
    @classmethod
    def _names_servers(cls, url: str) -> str:
        server_list(url)
        return url


class TokenSettings(ServiceSettings):
    """For services that mint or verify tokens; the others get no secret for it."""

    jwt_keys: JwtKeys = Field(validation_alias="INKWIRE_JWT_KEYS")
    """``kid:secret`` pairs, comma separated; the first signs, all verify. Secrets have at least 32 characters."""
    jwt_issuer: str = Field("inkwire", validation_alias="INKWIRE_JWT_ISSUER")


class ModelSettings(ServiceSettings):
    """For who knows the model: generators ask it, the api names it on the page and embeds documents."""

    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias="OPENAI_API_KEY")
    """Key of the model's provider; servers of your own often need none. The api needs it to embed documents alone."""
    openai_base_url: str = Field(OPENAI_URL, pattern=r"^https?://", validation_alias="OPENAI_BASE_URL")
    """Any server that speaks OpenAI's chat completions."""
    openai_model: str = Field(DEFAULT_MODEL, min_length=1, validation_alias="OPENAI_MODEL")
    """Name of the model at that server."""
    embedding_model: str = Field("", validation_alias="INKWIRE_EMBEDDING_MODEL")
    """Model at the same server that documents are also searched with by meaning, the same for api and generators;
    empty: by words alone. The api embeds documents when they are uploaded."""
    simulated: bool = Field(False, validation_alias="INKWIRE_SIMULATED")
    """The model is the built-in simulator: it costs nothing, and the page says so."""


def _secrets_from_files(cls: type[BaseSettings]) -> dict[str, str]:
    """What stands in the files that ``NAME_FILE`` names, where ``NAME`` is not set: how containers give secrets."""
    found: dict[str, str] = {}
    for field_name, field in cls.model_fields.items():
        name = variable_name(cls, field_name, field)
        path = os.environ.get(f"{name}_FILE")
        if path is None or name in os.environ:
            continue
        try:
            found[field_name] = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{name}_FILE: cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{name}_FILE: {path} is not UTF-8 text") from None
    return found


def unknown_names(cls: type[BaseSettings], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names of variables that look like a service's settings but are none, each with the nearest that is one, or "".

    Other names with our prefix are only told where one of the service's is nearly the same: they may be another
    program's.
    """
    known = {variable_name(cls, name, field) for name, field in cls.model_fields.items()}
    known |= {f"{name}_FILE" for name in known} | PROXY_NAMES
    meant = [name.removeprefix(PREFIX) for name in known - PROXY_NAMES]
    own = str(cls.model_config.get("env_prefix") or PREFIX)
    others = tuple(other for other in (f"{PREFIX}{service}_" for service in SERVICES) if other != own)
    for name in sorted(names):
        given = name.upper()
        if not given.startswith(PREFIX) or given.startswith(others) or given in known:
            continue
        near = get_close_matches(given.removeprefix(PREFIX), meant, n=1, cutoff=ALIKE_RATIO)
        if near or (own != PREFIX and given.startswith(own)):
            yield name, "".join(PREFIX + one for one in near)


def load(cls: type[S], **overrides: Any) -> S:
    """Read settings.

    Raises:
        SettingsError: a variable is missing or wrong.
    """
    from_files = _secrets_from_files(cls)
    try:
        return cls(**{**from_files, **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else cls.__name__
        field = cls.model_fields.get(name)
        if field is not None:
            name = variable_name(cls, name, field)
        elif not name.startswith(("INKWIRE_", "OPENAI_")):
            name = f"{cls.model_config.get('env_prefix', '')}{name}".upper()
        if any(variable_name(cls, one, cls.model_fields[one]) == name for one in from_files):
            name += "_FILE"
        raise SettingsError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None


def load_or_exit(cls: type[S], **overrides: Any) -> S:
    """:func:`load` for a process: a wrong setting ends it with one line and exit code 78."""
    try:
        return load(cls, **overrides)
    except SettingsError as error:
        _exit(str(error))


def _exit(message: str) -> NoReturn:
    sys.stderr.write(f"configuration error: {message}\n")
    raise SystemExit(EX_CONFIG)
