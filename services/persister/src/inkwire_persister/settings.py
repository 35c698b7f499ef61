"""Settings of the persister: ``INKWIRE_PERSISTER_<NAME>``, and the shared ones."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from inkwire_stores.settings import StoreSettings


class Settings(StoreSettings):
    """See .env.example."""

    model_config = SettingsConfigDict(env_prefix="INKWIRE_PERSISTER_", extra="ignore", populate_by_name=True)

    health_host: str = "127.0.0.1"
    health_port: int = Field(8083, ge=0, le=65_535)
    """``/livez``, ``/readyz`` and ``/metrics``."""
    batch_messages: int = Field(200, ge=1, le=1_000)
    """Key events taken at once; those of one post become one write."""
    longest_retry_s: float = Field(15.0, gt=0, le=300)
    """Longest wait before an event that could not be stored is tried again; retries have no end."""
    provision_timeout_s: float = Field(60.0, gt=0, le=3_600)
    """How long to wait for streams and the consumer to be provisioned before giving up."""
    outage_timeout_s: float = Field(600.0, gt=0, le=86_400)
    """How long NATS may be away before the process ends, to be started anew."""
    recovery_interval_s: float = Field(300.0, ge=1, le=86_400)
    """How often to look for unfinished posts that no job stands for, beside each start and each loss at the broker."""
    purge_enabled: bool = True
    """Whether posts leave the log once they are stored. Without it the log fills up for good."""
    purge_after_s: float = Field(21_600.0, ge=0)
    """How long after its end a post leaves the log. Readers have it from the store then."""
    purge_pressed_after_s: float = Field(60.0, ge=0)
    """The same, while the log is filled to the pressure ratio."""
    purge_pressure_ratio: float = Field(0.6, gt=0, lt=1)
    """From how full a log on (0 to 1) posts leave it sooner. New posts are refused from 0.8 on."""
    purge_interval_s: float = Field(30.0, gt=0, le=3_600)
    """How often to look for posts that are due; at most every second while the log is filling."""
