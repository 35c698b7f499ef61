"""The store's part of a service's settings."""

from typing import Annotated

from pydantic import AfterValidator, Field

from inkwire_chassis.settings import ServiceSettings
from inkwire_stores.opening import check_store_url


class StoreSettings(ServiceSettings):
    """For services that read or write posts in the store."""

    store_url: Annotated[str, AfterValidator(check_store_url)] = Field(
        "sqlite:///data/inkwire.sqlite3", validation_alias="INKWIRE_STORE_URL"
    )
    """``mongodb://host/database`` or ``sqlite:///path``."""
