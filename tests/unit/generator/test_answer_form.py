"""How a server is asked for JSON."""

import json

import pytest

from inkwire_generator.answer_form import FORMS, MAX_SCHEMAS, Form, KnownForms, in_form, refuses_form
from inkwire_generator.errors import ProviderError
from inkwire_recipes.recipe import Prompt

SCHEMA = {"type": "object", "properties": {"title": {"type": "string", "description": "In <title>"}}}
PLAIN = Prompt("be good", "write")
ASKED = Prompt("be good", "write", schema=SCHEMA, schema_name="outline")
BUILTIN_500 = "1 validation error: {'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text'\"}"


def refusal(status: int, said: str = "") -> ProviderError:
    return ProviderError("provider_unavailable", retryable=True, said=said, status=status)


@pytest.mark.parametrize(
    ("error", "refuses"),
    [
        (refusal(400), True),
        (refusal(422), True),
        (refusal(500, BUILTIN_500), True),
        (refusal(501, "json_schema is not supported"), True),
        (refusal(404, "no route for response_format"), True),
        (refusal(500), False),
        (refusal(500, "out of memory"), False),
        (refusal(503, "overloaded"), False),
        (refusal(429, "too many requests with response_format"), False),
        (refusal(401, "json_schema needs another key"), False),
        (ProviderError("provider_timeout", retryable=True), False),
    ],
)
def test_what_is_taken_for_a_refusal_of_the_form(error: ProviderError, refuses: bool) -> None:
    """An invalid request, or whatever names the form; never keys, limits, and outages that say nothing of it."""
    assert refuses_form(error) is refuses


def test_a_prompt_without_a_schema_is_left_alone() -> None:
    """It is sent once, as it is, and teaches nothing."""
    known = KnownForms()
    assert len(known.to_try(PLAIN)) == 1
    known.taken(PLAIN, known.to_try(PLAIN)[0])
    assert in_form(PLAIN, known.to_try(PLAIN)[0]) == (PLAIN, None)
    assert known.to_try(ASKED) == FORMS


def test_the_strictest_form_says_nothing_in_words() -> None:
    """A server that keeps to schemas is not charged for reading one."""
    asked, response_format = in_form(ASKED, "json_schema")
    assert asked == ASKED
    assert response_format == {
        "type": "json_schema",
        "json_schema": {"name": "outline", "schema": SCHEMA, "strict": True},
    }


@pytest.mark.parametrize(
    ("form", "response_format"), [("json_object", {"type": "json_object", "schema": SCHEMA}), ("words", None)]
)
def test_lesser_forms_tell_the_schema_in_words(form: Form, response_format: object) -> None:
    """The model is told the fields, since nothing else may tell it; the question itself is unchanged."""
    asked, wanted = in_form(ASKED, form)
    assert wanted == response_format
    assert asked.user == ASKED.user
    assert asked.system.startswith(ASKED.system) and json.dumps(SCHEMA, separators=(",", ":")) in asked.system


def test_a_repair_tells_the_schema_in_every_form() -> None:
    """A server that took a schema and did not keep to it may not have looked at it."""
    asked, response_format = in_form(ASKED.repaired("nonsense", "it is no JSON object"), "json_schema")
    assert response_format is not None and '"properties"' in asked.system
    assert asked.then.startswith("That answer cannot be used")


def test_what_a_server_takes_is_remembered_for_each_schema() -> None:
    """A schema that was refused is not offered again; another one is, for the refusal may be about that one alone."""
    known = KnownForms()
    known.taken(ASKED, "json_object")
    assert known.to_try(ASKED) == ("json_object", "words")
    other = Prompt("be good", "write", schema=SCHEMA, schema_name="course")
    assert known.to_try(other) == FORMS


def test_memory_is_bounded() -> None:
    """Beyond its bound everything is learnt anew."""
    known = KnownForms()
    for number in range(MAX_SCHEMAS):
        known.taken(Prompt("", "", schema=SCHEMA, schema_name=f"s{number}"), "words")
    known.taken(ASKED, "words")
    assert known.to_try(ASKED) == ("words",)
    assert known.to_try(Prompt("", "", schema=SCHEMA, schema_name="s0")) == FORMS
