"""Settings of the generator."""

import os
import socket
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from inkwire_chassis.settings import ModelSettings
from inkwire_recipes.analysis import JobTypesText
from inkwire_stores.settings import StoreSettings

MAX_FALLBACKS = 8
MAX_CHAT_RULES_CHARS = 8_000


class Fallback(BaseModel):
    """Another provider, asked where those before it cannot be. Its key lies in a file, if it needs one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^https?://")
    model: str = Field(min_length=1)
    api_key_file: str = ""
    max_tokens: int | None = Field(None, ge=1)
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)


_FALLBACKS = TypeAdapter(Annotated[tuple[Fallback, ...], Field(max_length=MAX_FALLBACKS)])


class GeneratorSettings(StoreSettings, ModelSettings):
    """``INKWIRE_GENERATOR_*``, the shared ones, and those that keep OpenAI's names; see .env.example."""

    model_config = SettingsConfigDict(env_prefix="INKWIRE_GENERATOR_", extra="ignore", populate_by_name=True)

    health_host: str = "127.0.0.1"
    health_port: int = Field(0, ge=0, le=65_535)
    """Port of /livez and /readyz; 0 takes a free one."""
    name: str = Field("", max_length=64)
    """Name of this worker in claims and events; empty: host and process id."""
    posts: int = Field(32, ge=1, le=1_000)
    """Posts written at once by this process."""
    lease_beats_count: int = Field(5, ge=2, le=50)
    """Heartbeats, and looks for cancels, within the lease of a job, which `inkwire provision --lease-s` sets."""
    pools: str = Field("general", pattern=r"^[a-z0-9_-]{1,32}(,[a-z0-9_-]{1,32}){0,15}$")
    """Pools it takes jobs from, comma separated, without spaces."""
    memory_limit_mib: int | None = Field(None, ge=32, le=1_048_576)
    """Resident memory at which this process hands its posts over and ends with exit code 75, to be started again; from
    nine tenths of it on no job is taken. Empty: no limit."""
    provision_timeout_s: float = Field(60.0, gt=0, le=3_600)
    """How long to wait for the broker to be provisioned before giving up."""

    openai_max_tokens: int | None = Field(None, ge=1, validation_alias="OPENAI_MAX_TOKENS")
    """Most tokens of one answer; empty: the model's own limit."""

    requests_per_minute: float | None = Field(None, gt=0)
    """Most calls a minute with the key above, over all workers; empty: what the provider's headers say."""
    tokens_per_minute: float | None = Field(None, gt=0)
    """Most tokens a minute, of questions and answers, over all workers; empty: what the provider's headers say."""
    budget_shared: bool = True
    """All workers keep to the limits together, through the broker; false: each for itself, as if it were alone."""
    fallbacks: SecretStr = SecretStr("")
    """Providers to use in order when the one above is down or refuses its key: a JSON list of objects with base_url,
    model, and if needed api_key_file, max_tokens, requests_per_minute and tokens_per_minute."""
    circuit_failures_count: int = Field(5, ge=1, le=1_000)
    """Failures in a row, over all posts of this process, before a provider is left alone for a while."""
    circuit_first_open_s: float = Field(5.0, gt=0, le=3_600)
    """How long it is left alone; doubled each time its next answer fails too."""
    circuit_max_open_s: float = Field(60.0, gt=0, le=3_600)
    """Where the doubling ends."""

    material_max_chars: int = Field(60_000, ge=1_000, le=1_000_000)
    """Most characters of the author's documents in one prompt; most recipes take in less. A model with a small window
    needs a small number here."""

    first_token_timeout_s: float = Field(60.0, gt=0, le=3_600)
    """Longest wait for the first text of an answer."""
    inter_token_timeout_s: float = Field(30.0, gt=0, le=3_600)
    """Longest silence within an answer; comments do not count as talk."""
    total_timeout_s: float = Field(600.0, gt=0, le=7_200)
    """Longest time for one answer."""
    stall_timeout_s: float = Field(30.0, gt=0, le=3_600)
    """A post that makes no step for this long (beyond the provider's time-outs) loses its job."""

    retries_count: int = Field(6, ge=0, le=100)
    """Failed answers in a row, without a finished section between them, before the run fails."""
    retry_first_delay_s: float = Field(1.0, gt=0, le=600)
    """Wait before the first retry; it doubles with each failure in a row, less up to half of it by chance."""
    retry_max_delay_s: float = Field(20.0, gt=0, le=3_600)
    """Where the doubling ends."""
    retry_after_limit_s: float = Field(120.0, ge=0, le=3_600)
    """A provider that asks us to wait longer is passed over for that long; without another one, the run fails."""
    retry_max_age_s: float = Field(1_800.0, gt=0, le=86_400)
    """No answer is asked for again once an attempt is older than this."""
    run_max_cost_usd: float | None = Field(None, gt=0)
    """US dollars after which a run asks for no further answer and fails; finished sections stay, and trying again is a
    new run. Needs models whose price is known. Empty: no limit."""
    run_max_tokens: int | None = Field(None, ge=1)
    """The same in tokens, of questions and answers, for all models. Empty: no limit."""
    continuations_count: int = Field(4, ge=0, le=100)
    """How often a section whose answer stops at its length limit is gone on with; then the run fails."""
    poison_attempts_count: int = Field(5, ge=1, le=1_000)
    """Attempts in a row that wrote no text before the run fails."""
    stuck_attempts_count: int = Field(20, ge=1, le=1_000)
    """Attempts in a row that finished no section before the run fails."""

    @field_validator(
        "openai_max_tokens",
        "memory_limit_mib",
        "requests_per_minute",
        "tokens_per_minute",
        "run_max_cost_usd",
        "run_max_tokens",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    job_types: JobTypesText = Field("", validation_alias="INKWIRE_JOB_TYPES")
    """Further job types of the analysis recipe, the same as the api's: JSON, best in a file that
    INKWIRE_JOB_TYPES_FILE names; docs/recipes.md has the form."""
    chat_rules: str = Field("", max_length=MAX_CHAT_RULES_CHARS, validation_alias="INKWIRE_CHAT_RULES")
    """Rules of your own for the assistant in conversations, in words: they go to the model before its author's wishes.
    INKWIRE_CHAT_RULES_FILE names a file with them."""

    @field_validator("fallbacks")
    @classmethod
    def _is_a_list(cls, value: SecretStr) -> SecretStr:
        try:
            _parse_fallbacks(value)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
        return value

    @property
    def fallback_providers(self) -> tuple[Fallback, ...]:
        """The fallbacks in their order."""
        return _parse_fallbacks(self.fallbacks)

    @property
    def pool_names(self) -> tuple[str, ...]:
        """The pools, each once."""
        return tuple(dict.fromkeys(self.pools.split(",")))

    @property
    def worker(self) -> str:
        """Name of this worker."""
        return self.name or f"{socket.gethostname()}-{os.getpid()}"


def _parse_fallbacks(value: SecretStr) -> tuple[Fallback, ...]:
    return _FALLBACKS.validate_json(value.get_secret_value() or "[]")
