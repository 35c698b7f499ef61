"""The base of every payload that travels in a log."""

from pydantic import BaseModel, ConfigDict


class Data(BaseModel):
    """Immutable, and tolerant of fields that a newer writer adds."""

    model_config = ConfigDict(extra="ignore", frozen=True)
