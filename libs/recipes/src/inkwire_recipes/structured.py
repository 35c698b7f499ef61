"""Sections that a model answers as JSON of a fixed form: its schema, its checks, and its Markdown while it grows."""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from inkwire_recipes.growing import Render, rendered
from inkwire_recipes.recipe import UnusableOutput
from inkwire_recipes.rendering import JsonRenderer, find_json

MAX_COMPLAINTS = 5


class Form(BaseModel):
    """Base of an answer's form. Every field is required; what a model adds beyond them is dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@cache
def strict_schema(form: type[Form]) -> Mapping[str, Any]:
    """The JSON Schema of a form as OpenAI's strict mode wants it: closed objects, every property required."""
    schema: dict[str, Any] = _closed(form.model_json_schema())
    return schema


def bounded_schema(form: type[Form], field: str, least: int, most: int) -> Mapping[str, Any]:
    """:func:`strict_schema`, with a number of items for one of its lists that only the request knows."""
    schema = strict_schema(form)
    items = {**schema["properties"][field], "minItems": least, "maxItems": most}
    return {**schema, "properties": {**schema["properties"], field: items}}


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items() if name not in ("title", "default")}
    if "properties" in schema:  # there a "title" is a field, not the schema's name
        closed["properties"] = {name: _closed(value) for name, value in schema["properties"].items()}
        closed |= {"additionalProperties": False, "required": list(schema["properties"])}
    return closed


def parse_form(form: type[Form], answer: str) -> dict[str, Any]:
    """The data of an answer.

    Raises:
        UnusableOutput: it is no JSON object, or does not fit; the message names the fields, not their contents.
    """
    value = find_json(answer)
    if value is None:
        raise UnusableOutput("it is no JSON object")
    try:
        return form.model_validate(value).model_dump(mode="json")
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)[:MAX_COMPLAINTS]
        told = (f"{'.'.join(map(str, problem['loc'])) or 'the object'}: {problem['msg']}" for problem in problems)
        raise UnusableOutput("; ".join(told)) from None


def form_renderer(form: type[Form], render: Render, *, before: str = "") -> JsonRenderer:
    """Shows the answer as Markdown while it grows, and checks it at its end."""
    return JsonRenderer(partial(rendered, render), partial(parse_form, form), before=before, lenient=False)
