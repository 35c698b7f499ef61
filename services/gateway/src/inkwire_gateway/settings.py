"""Settings of the gateway: ``INKWIRE_GATEWAY_<NAME>``, beside those that all services share."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from inkwire_chassis.settings import TokenSettings
from inkwire_contracts.topology import PRESENCE_TTL_S
from inkwire_gateway.limits import RING_TOTAL_BYTES
from inkwire_stores.settings import StoreSettings

MAX_WORKERS = 256
MAX_PORT = 65_535


class Settings(TokenSettings, StoreSettings):
    """What the gateway needs to know from outside."""

    model_config = SettingsConfigDict(env_prefix="INKWIRE_GATEWAY_", extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(8082, ge=0, le=MAX_PORT)
    """0 lets the system choose."""
    admin_host: str = "127.0.0.1"
    """Where `/metrics`, `/livez` and `/readyz` are answered for operators; nobody else should reach it."""
    admin_port: int = Field(0, ge=0, le=MAX_PORT)
    """0: nowhere. Of several workers, worker n answers on this port + n - 1."""
    workers: int = Field(1, ge=0, le=MAX_WORKERS)
    """Processes of this gateway; 0 or `auto`: one for each core that may be used. Limits count for each of them."""
    worker_ports: Literal["auto", "shared", "own"] = "auto"
    """`shared`: on one port, over which the kernel spreads connections (Linux). `own`: worker n on port + n - 1."""
    worker: int = Field(0, ge=0, le=MAX_WORKERS)
    """The number of a process in its group, in each line of its log; the group's parent sets it."""
    allowed_origins: str = Field("", validation_alias="INKWIRE_ALLOWED_ORIGINS")
    """Other origins whose pages may call the api, comma separated."""
    api_url: str = "http://127.0.0.1:8081"
    """Where the api is; cancels are handed to it with the caller's own token. Not the public address."""
    api_timeout_s: float = Field(15.0, gt=0, le=300)
    """How long the api may take for one cancel; then it counts as away."""
    max_connections: int = Field(10_000, ge=1, le=1_000_000)
    """Connections in all; one more is closed with 4100."""
    max_owner_connections: int = Field(200, ge=1, le=1_000_000)
    """Connections of one owner; one more is closed with 4100."""
    max_channels: int = Field(100, ge=1, le=10_000)
    """Channels that one connection may follow."""
    frames_per_s: float = Field(20.0, gt=0, le=100_000)
    """Frames of one client, on average; a burst of `frame_burst` may come at once. More is closed with 4103."""
    frame_burst: int = Field(200, ge=1, le=1_000_000)
    max_invalid_frames: int = Field(10, ge=1, le=10_000)
    """Frames of one connection that are not valid; then it is closed with 4000."""
    max_cancels: int = Field(200, ge=1, le=100_000)
    """Cancels that wait for the api, in all; one more is refused with `rate_limited`."""
    max_connection_cancels: int = Field(10, ge=1, le=100_000)
    """Cancels of one connection that wait for the api; one more is refused with `rate_limited`."""
    whispers_per_s: float = Field(5.0, gt=0, le=100_000)
    """Whispers of one connection, on average; a burst of `whisper_burst` may come at once. More is refused."""
    whisper_burst: int = Field(20, ge=1, le=1_000_000)
    presence_ttl_s: float = Field(PRESENCE_TTL_S, gt=0, le=PRESENCE_TTL_S)
    """Who was not heard of for so long is taken for gone; three beats fit in. The same for all gateways."""
    max_handshakes: int = Field(2_000, ge=1, le=1_000_000)
    """Connections that have not finished their opening handshake; one more is cut off."""
    max_handshake_bytes: int = Field(16 * 1024, ge=1024, le=1024 * 1024)
    """Bytes of an opening handshake, request line and all headers; more is refused with HTTP 431."""
    handshake_timeout_s: float = Field(10.0, gt=0, le=300)
    authenticate_timeout_s: float = Field(10.0, gt=0, le=300)
    """How long a connection may stay without a token."""
    idle_timeout_s: float = Field(300.0, gt=0, le=86_400)
    """How long a connection may follow nothing and send nothing; then it is closed with 4106."""
    ping_interval_s: float = Field(20.0, gt=0, le=3600)
    """A connection that was silent for so long is pinged."""
    pong_timeout_s: float = Field(20.0, gt=0, le=3600)
    """How long a pinged connection may stay silent; then it is closed with 4104."""
    slow_timeout_s: float = Field(120.0, gt=0, le=3600)
    """How long a connection that something waits for may take nothing of it; then it is closed with 4102."""
    max_waiting_bytes: int = Field(256 * 1024 * 1024, ge=1024, le=2**40)
    """What may wait for all slow connections together; beyond it the longest without progress go first, with 4102."""
    close_timeout_s: float = Field(2.0, gt=0, le=60)
    """How long a closing connection may take."""
    compression: bool = False
    """Whether permessage-deflate is negotiated with clients that offer it, as browsers do. Each event is compressed
    once, for all of them: two thirds of the bytes, for some processor time (benchmarks/README.md)."""
    drain_s: float = Field(1.5, ge=0, le=300, validate_default=True)
    """Over how long connections are closed when the process stops. With the close time-out it must be less than
    `INKWIRE_STOP_TIMEOUT_S`."""
    silence_s: float = Field(2.0, gt=0, le=60)
    """A post that was silent for so long is compared with the log."""
    linger_s: float = Field(30.0, ge=0, le=3600)
    """How long a post stays in memory after its last reader left."""
    load_timeout_s: float = Field(10.0, gt=0, le=60)
    """How long a subscribe may wait for the broker."""
    ring_events: int = Field(2_000, ge=1, le=1_000_000)
    """Recent events kept of each post, for readers who fall behind or come back."""
    ring_bytes: int = Field(1024 * 1024, ge=1024, le=1024**3)
    ring_total_bytes: int = Field(RING_TOTAL_BYTES, ge=1024, le=1024**4)
    """The same of all posts and conversations together; beyond it, readers who fall behind get snapshots sooner."""
    provision_timeout_s: float = Field(60.0, gt=0, le=3600)
    """How long to wait at the start for streams that are not there yet."""

    @field_validator("workers", mode="before")
    @classmethod
    def _number_of_cores(cls, value: object) -> object:
        return 0 if value == "auto" else value

    @field_validator("drain_s")
    @classmethod
    def _fits_into_the_stop(cls, drain_s: float, info: ValidationInfo) -> float:
        close_s, stop_s = info.data.get("close_timeout_s"), info.data.get("stop_timeout_s")
        if close_s is not None and stop_s is not None and drain_s + close_s >= stop_s:
            raise ValueError(
                f"{drain_s:g} s and INKWIRE_GATEWAY_CLOSE_TIMEOUT_S ({close_s:g} s) together must be less than "
                f"INKWIRE_STOP_TIMEOUT_S ({stop_s:g} s)"
            )
        return drain_s

    @field_validator("api_url")
    @classmethod
    def _http_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid or "@" in value or "?" in value or "#" in value:
            raise ValueError("give http://HOST:PORT (or https://), without user, query or fragment")
        return value.rstrip("/")

    @property
    def origins(self) -> tuple[str, ...]:
        """``allowed_origins``, taken apart."""
        return tuple(part.strip().rstrip("/") for part in self.allowed_origins.split(",") if part.strip())
