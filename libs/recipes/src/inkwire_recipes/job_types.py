"""Job types of the analysis recipe that an operator adds: their JSON, the schemas it may hold, and how answers fit.

The schemas are a subset of JSON Schema that OpenAI's strict mode takes as it stands: closed objects whose every
property is required, no references, no patterns (a pattern on a model's text can take for ever).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from inkwire_recipes.recipe import UnusableOutput
from inkwire_recipes.rendering import find_json
from inkwire_recipes.structured import MAX_COMPLAINTS

MAX_JOB_TYPES = 50
MAX_SCHEMA_DEPTH = 4
"""Objects and lists within each other; deeper ones have no heading of Markdown left."""
MAX_PROPERTIES = 40
MAX_CHOICES = 100
MAX_SAFE_NUMBER = 2**53
"""Beyond it readers in JavaScript would see another number."""

_COMMON = frozenset({"type", "title", "description"})
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "object": _COMMON | {"properties", "required", "additionalProperties"},
    "array": _COMMON | {"items", "minItems", "maxItems"},
    "string": _COMMON | {"enum", "minLength", "maxLength"},
    "number": _COMMON | {"minimum", "maximum"},
    "integer": _COMMON | {"minimum", "maximum"},
    "boolean": _COMMON,
}
_NUMERIC = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"})


class JobTypesError(ValueError):
    """What is wrong, in one line that names the job type and the field."""


@dataclass(frozen=True, slots=True)
class JobType:
    """What to look for, and the form of the answer; without a ``schema`` it is that of findings."""

    name: str
    title: str
    task: str
    schema: Mapping[str, Any] | None = None


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=80)
    task: str = Field(min_length=1, max_length=8_000)
    form: dict[str, Any] | None = Field(None, alias="schema")


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")]
_FILE = TypeAdapter(Annotated[dict[_Name, _Entry], Field(max_length=MAX_JOB_TYPES)])


def parse_job_types(text: str, *, taken: tuple[str, ...] = ()) -> tuple[JobType, ...]:
    """The job types of a JSON object ``{name: {title, task, schema?}}``; an empty text holds none.

    Raises:
        JobTypesError: it does not fit, or a name is among those ``taken``.
    """
    if not text.strip():
        return ()
    try:
        entries = _FILE.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ": ".join(str(part) for part in first["loc"] if part != "[key]")
        raise JobTypesError(f"{where}: {first['msg']}" if where else first["msg"]) from None
    return tuple(_job_type(name, entry, taken) for name, entry in entries.items())


def _job_type(name: str, entry: _Entry, taken: tuple[str, ...]) -> JobType:
    if name in taken:
        raise JobTypesError(f"{name}: is built in; choose another name")
    schema = None
    if entry.form is not None:
        schema = _closed(f"{name}: schema", entry.form, 1)
        if schema["type"] != "object":
            raise JobTypesError(f"{name}: schema.type: must be object")
    return JobType(name, entry.title, entry.task, schema)


def _closed(where: str, schema: Any, depth: int) -> dict[str, Any]:
    """The schema as strict mode wants it. Raises JobTypesError."""
    if not isinstance(schema, dict):
        raise JobTypesError(f'{where}: must be an object such as {{"type": "string"}}')
    kind, nullable = _kind(where, schema)
    for keyword in schema:
        if keyword not in _KEYWORDS[kind]:
            known = ", ".join(sorted(_KEYWORDS[kind]))
            raise JobTypesError(f"{where}.{keyword}: is not supported for {kind}; known are {known}")
        if keyword in _NUMERIC and (isinstance(schema[keyword], bool) or not isinstance(schema[keyword], int | float)):
            raise JobTypesError(f"{where}.{keyword}: must be a number")
    if kind in ("object", "array") and depth > MAX_SCHEMA_DEPTH:
        raise JobTypesError(f"{where}: is nested deeper than {MAX_SCHEMA_DEPTH} levels")
    if nullable and kind in ("object", "array"):
        raise JobTypesError(f"{where}.type: only texts, numbers and booleans may be null")
    if kind == "object":
        return _closed_object(where, schema, depth)
    if kind == "array":
        items = _closed(f"{where}.items", schema.get("items"), depth + 1)
        if items["type"] not in ("object", "string", "number", "integer"):
            raise JobTypesError(f"{where}.items.type: must be object, string, number or integer")
        return {**schema, "items": items}
    choices = schema.get("enum", ["any"])
    if not isinstance(choices, list) or not 1 <= len(choices) <= MAX_CHOICES or not all(map(_is_text, choices)):
        raise JobTypesError(f"{where}.enum: must be a list of 1 to {MAX_CHOICES} texts")
    return dict(schema)


def _closed_object(where: str, schema: dict[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not 1 <= len(properties) <= MAX_PROPERTIES:
        raise JobTypesError(f"{where}.properties: must be an object of 1 to {MAX_PROPERTIES} properties")
    required = schema.get("required", list(properties))
    if not isinstance(required, list) or set(map(str, required)) != set(properties):
        raise JobTypesError(
            f'{where}.required: every property is required; one that may be missing has the type ["string", "null"]'
        )
    if schema.get("additionalProperties", False) is not False:
        raise JobTypesError(f"{where}.additionalProperties: must be false")
    inner = {name: _closed(f"{where}.properties.{name}", value, depth + 1) for name, value in properties.items()}
    return {**schema, "properties": inner, "required": list(properties), "additionalProperties": False}


def _kind(where: str, schema: dict[str, Any]) -> tuple[str, bool]:
    kind = schema.get("type")
    nullable = isinstance(kind, list) and len(kind) == 2 and kind[1] == "null"
    kind = kind[0] if nullable and isinstance(kind, list) else kind
    if not isinstance(kind, str) or kind not in _KEYWORDS:
        raise JobTypesError(f"{where}.type: must be one of {', '.join(_KEYWORDS)}")
    return kind, nullable


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def parse_answer(schema: Mapping[str, Any], answer: str) -> dict[str, Any]:
    """The data of an answer, less what a model added to the schema's objects.

    Raises:
        UnusableOutput: it is no JSON object, or does not fit; the message names fields, not their contents.
    """
    value = find_json(answer)
    if value is None:
        raise UnusableOutput("it is no JSON object")
    pruned: dict[str, Any] = prune(schema, value)
    complaints = [complaint for complaint, _ in zip(problems(schema, pruned), range(MAX_COMPLAINTS), strict=False)]
    if complaints:
        raise UnusableOutput("; ".join(complaints))
    return pruned


def prune(schema: Mapping[str, Any], value: Any) -> Any:
    """The value without properties that the schema does not know, in the schema's order."""
    if schema["type"] == "object" and isinstance(value, dict):
        return {name: prune(inner, value[name]) for name, inner in schema["properties"].items() if name in value}
    if schema["type"] == "array" and isinstance(value, list):
        return [prune(schema["items"], item) for item in value]
    return value


def problems(schema: Mapping[str, Any], value: Any, where: str = "") -> Iterator[str]:
    """What of a pruned value does not fit its schema."""
    kind = schema["type"]
    if isinstance(kind, list):
        if value is None:
            return
        kind = kind[0]
    if not _is(kind, value):
        yield f"{where or 'the object'}: must be {'a whole number' if kind == 'integer' else f'of type {kind}'}"
    elif kind == "object":
        for name, inner in schema["properties"].items():
            at = f"{where}.{name}" if where else name
            if name not in value:
                yield f"{at}: is missing"
            else:
                yield from problems(inner, value[name], at)
    elif kind == "array":
        yield from _outside(schema, len(value), "minItems", "maxItems", f"{where}: number of items")
        for index, item in enumerate(value):
            yield from problems(schema["items"], item, f"{where}.{index}")
    elif kind == "string":
        yield from _outside(schema, len(value), "minLength", "maxLength", f"{where}: number of characters")
        if value not in schema.get("enum", (value,)):
            yield f"{where}: must be one of {json.dumps(schema['enum'], ensure_ascii=False)}"
    elif kind in ("number", "integer"):
        yield from _outside(schema, value, "minimum", "maximum", f"{where}: value")


def _outside(schema: Mapping[str, Any], number: float, least: str, most: str, what: str) -> Iterator[str]:
    if number < schema.get(least, number):
        yield f"{what} must be at least {schema[least]}"
    if number > schema.get(most, number):
        yield f"{what} must be at most {schema[most]}"


def _is(kind: str, value: Any) -> bool:
    if kind == "string":
        return isinstance(value, str) and (value.isascii() or not _has_surrogate(value))
    if kind in ("number", "integer"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return abs(value) <= MAX_SAFE_NUMBER and (kind == "number" or value == int(value))  # NaN is not <= anything
    return isinstance(value, {"object": dict, "array": list, "boolean": bool}[kind])


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
