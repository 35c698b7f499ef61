"""Settings of the api: ``INKWIRE_API_<NAME>``, beside those that all services share."""

from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from inkwire_api.identity import is_loopback
from inkwire_chassis.settings import ModelSettings, TokenSettings
from inkwire_recipes.analysis import JobTypesText
from inkwire_stores.ports import MAX_LIST
from inkwire_stores.settings import StoreSettings


class Settings(TokenSettings, StoreSettings, ModelSettings):
    """What the api needs to know from outside."""

    model_config = SettingsConfigDict(env_prefix="INKWIRE_API_", extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(8081, ge=0, le=65_535)
    """0 lets the system choose."""
    public_url: str = "http://127.0.0.1:8080"
    """Where people reach Inkwire (the proxy): scheme, host and port, nothing else."""
    dev_sign_in: bool = False
    """Sign anyone in as ``local`` without credentials; only where ``public_url`` is loopback."""
    allowed_origins: str = Field("", validation_alias="INKWIRE_ALLOWED_ORIGINS")
    """Other origins whose pages may call the api, comma separated."""
    max_open_posts: int = Field(100, ge=1, le=100_000)
    """Posts of one owner that have not ended yet; one more is refused."""
    max_body_bytes: int = Field(64 * 1024, ge=1024, le=128 * 1024)
    """A request's body; at most half of what a job may hold, because JSON may double it."""
    document_max_bytes: int = Field(20 * 1024 * 1024, ge=1024, le=100 * 1024 * 1024)
    """An uploaded document; whatever is larger is refused while it is read."""
    max_documents: int = Field(200, ge=1, le=MAX_LIST)
    """Documents of one owner; one more is refused."""
    uploads_per_s: float = Field(1.0, gt=0, le=1_000)
    """New documents of one owner, on average; a burst of ``uploads_burst`` may come at once."""
    uploads_burst: int = Field(50, ge=1, le=100_000)
    posts_per_s: float = Field(10.0, gt=0, le=10_000)
    """New posts of one owner, on average; a burst of ``posts_burst`` may come at once."""
    posts_burst: int = Field(50, ge=1, le=100_000)
    messages_per_s: float = Field(10.0, gt=0, le=10_000)
    """Messages, reactions and other changes of one caller in all conversations, on average; a burst of
    ``messages_burst`` may come at once. An answer counts for the conversation's owner among new posts as well."""
    messages_burst: int = Field(50, ge=1, le=100_000)
    token_lifetime_s: int = Field(3600, ge=60, le=86_400)
    commit_timeout_s: float = Field(10.0, gt=0, le=60)
    """How long a POST waits for the broker before it is answered 503; below the proxy's patience."""
    read_timeout_s: float = Field(10.0, gt=0, le=60)
    """How long a read may wait for the broker; long enough for a damaged log to be told from a slow one."""
    provision_timeout_s: float = Field(60.0, gt=0, le=3600)
    """How long to wait at the start for streams that are not there yet."""
    job_types: JobTypesText = Field("", validation_alias="INKWIRE_JOB_TYPES")
    """Further job types of the analysis recipe, the same as the generators': JSON, best in a file that
    INKWIRE_JOB_TYPES_FILE names; docs/recipes.md has the form."""

    @field_validator("public_url")
    @classmethod
    def _origin_only(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("give scheme, host and port, such as http://127.0.0.1:8080")
        return value.rstrip("/")

    @field_validator("dev_sign_in")
    @classmethod
    def _loopback_only(cls, value: bool, info: ValidationInfo) -> bool:
        host = urlsplit(info.data.get("public_url", "")).hostname or ""
        if value and not is_loopback(host):
            raise ValueError("only allowed where INKWIRE_API_PUBLIC_URL is a loopback address")
        return value

    @property
    def origins(self) -> tuple[str, ...]:
        """``allowed_origins``, taken apart."""
        return tuple(part.strip().rstrip("/") for part in self.allowed_origins.split(",") if part.strip())

    @property
    def websocket_url(self) -> str:
        """Where clients follow a post."""
        return f"ws{self.public_url.removeprefix('http')}/ws"
