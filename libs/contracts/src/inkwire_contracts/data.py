"""The base of what travels between processes."""

from pydantic import BaseModel, ConfigDict


class Data(BaseModel):
    """Immutable, and tolerant of fields that a newer writer adds."""

    model_config = ConfigDict(extra="ignore", frozen=True)
