"""How a server is asked for JSON: by a schema that it keeps to, by its JSON mode, or by words alone. Pure.

Servers differ: OpenAI, vLLM and llama.cpp take a schema, some know only the JSON mode, some nothing, and each refuses
in its own manner. A server is asked in the next form where it refuses one, which costs nothing and is no failure.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from inkwire_generator.errors import ProviderError
from inkwire_recipes.recipe import Prompt

Form = Literal["json_schema", "json_object", "words"]
FORMS: tuple[Form, ...] = ("json_schema", "json_object", "words")
"""From the strictest to the one that every server understands."""

MAX_SCHEMAS = 1_000
"""So many schemas are known by name; beyond them all are learnt anew."""

IN_WORDS = "Where JSON is asked for, it is one object that fits this JSON Schema: {schema}"

_INVALID = (400, 422)
_NOT_ABOUT_FORM = (401, 403, 408, 409, 425, 429)
_NAMES_FORM = re.compile(r"response_format|json_schema|json_object")


class KnownForms:
    """By a schema's name: the strictest form in which the server has taken it."""

    def __init__(self) -> None:
        self._forms: dict[str, Form] = {}

    def to_try(self, prompt: Prompt) -> tuple[Form, ...]:
        """The forms to ask in, in this order; one, without meaning, for a prompt without a schema."""
        if prompt.schema is None:
            return FORMS[-1:]
        return FORMS[FORMS.index(self._forms.get(prompt.schema_name, FORMS[0])) :]

    def taken(self, prompt: Prompt, form: Form) -> None:
        """The server answers a prompt in this form."""
        if prompt.schema is None:
            return
        if len(self._forms) >= MAX_SCHEMAS:
            self._forms.clear()
        self._forms[prompt.schema_name] = form


def refuses_form(error: ProviderError) -> bool:
    """Whether an answer may mean that the server does not know the form; some have status 500 for that, and say so."""
    status = error.params.get("status")
    if status in _INVALID:
        return True
    return status not in _NOT_ABOUT_FORM and _NAMES_FORM.search(error.said) is not None


def in_form(prompt: Prompt, form: Form) -> tuple[Prompt, Mapping[str, Any] | None]:
    """The prompt and its ``response_format``.

    The schema stands in the prompt, too, where the server does not keep to it: it never promised, or just did not.
    """
    if prompt.schema is None:
        return prompt, None
    schema = dict(prompt.schema)
    is_repair = bool(prompt.answered) and not prompt.prefix
    if form != "json_schema" or is_repair:
        words = IN_WORDS.format(schema=json.dumps(schema, ensure_ascii=False, separators=(",", ":")))
        prompt = replace(prompt, system=f"{prompt.system}\n\n{words}")
    if form == "json_schema":
        return prompt, {"type": form, "json_schema": {"name": prompt.schema_name, "schema": schema, "strict": True}}
    return prompt, {"type": form, "schema": schema} if form == "json_object" else None
