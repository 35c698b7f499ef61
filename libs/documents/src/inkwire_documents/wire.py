"""The lines between an extraction's two processes. What the worker says is as untrusted as the file it has read."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from inkwire_contracts.documents import Passage
from inkwire_documents.kinds import Kind
from inkwire_documents.limits import Limits

MAX_DETAIL_CHARS = 300


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Order(_Line):
    """The first line to the worker; the file's bytes follow."""

    kind: Kind
    size_bytes: int
    limits: Limits


class Step(_Line):
    """How far the reading is."""

    type: Literal["progress"] = "progress"
    done: int = Field(ge=0)
    total: int = Field(ge=0)


class Result(_Line):
    """The end of an extraction that succeeded."""

    type: Literal["result"] = "result"
    pages: int | None = Field(None, ge=1)
    chars: int = Field(ge=0)
    passages: tuple[Passage, ...]


class Refusal(_Line):
    """The end of one that did not: an error code of contracts with what its template needs."""

    type: Literal["refusal"] = "refusal"
    code: Literal["document_unreadable", "document_empty", "document_too_long"]
    params: dict[str, str | int] = Field(default_factory=dict)


Line = Annotated[Step | Result | Refusal, Field(discriminator="type")]
LINE: TypeAdapter[Step | Result | Refusal] = TypeAdapter(Line)
