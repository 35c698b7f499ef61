"""An operator's job types: what their JSON may hold, and whether an answer fits, as JSON Schema has it."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_recipes.job_types import JobTypesError, parse_answer, parse_job_types, problems, prune
from inkwire_recipes.recipe import UnusableOutput

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "size": {"type": "integer", "minimum": 0, "maximum": 9},
        "ratio": {"type": ["number", "null"], "minimum": 0.5},
        "good": {"type": "boolean"},
        "parts": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {"type": "object", "properties": {"text": {"type": ["string", "null"]}}},
        },
    },
}


def own(schema: Any) -> str:
    """A file with one job type of this schema."""
    return json.dumps({"own": {"title": "Own", "task": "Look.", "schema": schema}})


def closed(schema: Any) -> dict[str, Any]:
    """The schema as it is sent to a provider."""
    [job_type] = parse_job_types(own(schema))
    assert job_type.schema is not None
    return dict(job_type.schema)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.floats(-1, 10) | st.sampled_from(["", "a", "b", "longer"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "aside"]), inner, max_size=2),
    max_leaves=5,
)


def near(**replaced: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values that fit, but for the fields that are replaced."""
    part = st.fixed_dictionaries({"text": st.none() | st.just("x")})
    fitting: dict[str, st.SearchStrategy[Any]] = {
        "name": st.just("abc"),
        "kind": st.sampled_from(["a", "b"]),
        "size": st.integers(0, 9),
        "ratio": st.none() | st.floats(0.5, 9),
        "good": st.booleans(),
        "parts": st.lists(part, min_size=1, max_size=2),
    }
    return st.fixed_dictionaries({**fitting, **replaced})


@given(st.one_of([near(), VALUES, *(near(**{name: VALUES}) for name in SCHEMA["properties"])]))
def test_an_answer_fits_as_json_schema_has_it(value: Any) -> None:
    """After pruning, our check and the jsonschema library agree about every value."""
    schema = closed(SCHEMA)
    pruned = prune(schema, value)
    assert (not list(problems(schema, pruned))) == jsonschema.Draft202012Validator(schema).is_valid(pruned)


def test_what_json_has_beyond_json_is_refused() -> None:
    """NaN, infinities, numbers that JavaScript rounds, and half characters never reach the log."""
    schema = closed({"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}})
    for text in ("NaN", "Infinity", "1e999", str(2**53 + 1), "1" + "0" * 400):
        with pytest.raises(UnusableOutput, match="a: must be of type number"):
            parse_answer(schema, f'{{"a": {text}, "b": ""}}')
    with pytest.raises(UnusableOutput, match="b: must be of type string"):
        parse_answer(schema, '{"a": 1, "b": "\\ud800"}')


def test_complaints_name_fields_and_no_contents() -> None:
    """What a model wrote is not repeated to it outside of its own answer."""
    with pytest.raises(UnusableOutput) as told:
        parse_answer(closed(SCHEMA), '{"name": "secret words", "kind": "evil", "size": "x", "good": 1, "parts": []}')
    assert str(told.value).split("; ") == [
        "name: number of characters must be at most 5",
        'kind: must be one of ["a", "b"]',
        "size: must be a whole number",
        "ratio: is missing",
        "good: must be of type boolean",
    ]


def test_the_schema_is_closed_for_strict_mode() -> None:
    """Every object is closed and every property required, whatever the file left out."""
    schema = closed(SCHEMA)
    for one in (schema, schema["properties"]["parts"]["items"]):
        assert one["additionalProperties"] is False and one["required"] == list(one["properties"])


def obj(**properties: Any) -> dict[str, Any]:
    """An object schema."""
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "array", "items": {"type": "string"}}, "own: schema.type: must be object"),
        (obj(), "own: schema.properties: must be an object of 1 to 40"),
        (obj(a={"type": "text"}), "own: schema.properties.a.type: must be one of object, array"),
        (obj(a="string"), "own: schema.properties.a: must be an object such as"),
        (obj(a={"type": "string", "pattern": "a+"}), "own: schema.properties.a.pattern: is not supported for string"),
        (obj(a={"$ref": "#"}), "own: schema.properties.a.type: must be one of"),
        (obj(a={"type": "string", "minLength": "1"}), "own: schema.properties.a.minLength: must be a number"),
        (obj(a={"type": "string", "enum": []}), "own: schema.properties.a.enum: must be a list of 1 to 100 texts"),
        (obj(a={"type": "array"}), "own: schema.properties.a.items: must be an object such as"),
        (obj(a={"type": "array", "items": {"type": "boolean"}}), "own: schema.properties.a.items.type: must be object"),
        (obj(a={"type": ["object", "null"], "properties": {}}), "own: schema.properties.a.type: only texts"),
        ({**obj(a={"type": "string"}), "required": []}, "own: schema.required: every property is required"),
        (
            {**obj(a={"type": "string"}), "additionalProperties": True},
            "own: schema.additionalProperties: must be false",
        ),
        (obj(a=obj(b=obj(c=obj(d=obj(e={"type": "string"}))))), "own: .*: is nested deeper than 4 levels"),
    ],
)
def test_a_schema_beyond_the_subset_is_refused_with_its_place(schema: Any, complaint: str) -> None:
    """The operator reads the job type, the path to the field and what would be right."""
    with pytest.raises(JobTypesError, match=f"^{complaint}"):
        parse_job_types(own(schema))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"Own": {"title": "T", "task": "T"}}', "Own: String should match"),
        ('{"own": {"title": "T"}}', "own: task: Field required"),
        ('{"own": {"title": "T", "task": "T", "shema": {}}}', "own: shema: Extra inputs"),
        (json.dumps({f"t{n}": {"title": "T", "task": "T"} for n in range(51)}), "Dictionary should have at most 50"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, complaint: str) -> None:
    """The job type and its field come first."""
    with pytest.raises(JobTypesError, match=f"^{complaint}") as told:
        parse_job_types(text)
    assert "\n" not in str(told.value)


def test_an_empty_text_holds_none() -> None:
    """The setting's default."""
    assert parse_job_types(" \n") == ()
