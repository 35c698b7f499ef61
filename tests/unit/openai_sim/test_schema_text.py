"""Structured output: always valid for its schema, with contents that suit the names."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from inkwire_openai_sim.prompt import Brief, read_brief
from inkwire_openai_sim.schema_text import UnsupportedSchema, generate
from inkwire_openai_sim.text import seeded

STRING = {"type": "string"}
LARAVEL = Brief("Top 10 Laravel tips")


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def many(items: Any, **bounds: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **bounds}


OUTLINE = obj(
    title=STRING,
    description=STRING,
    sections=many(obj(title=STRING, target_words={"type": "integer", "minimum": 40}, points=many(STRING)), maxItems=20),
)
COURSE = obj(
    title=STRING,
    description=STRING,
    duration_estimate={"type": "string", "description": "X hours/days"},
    difficulty_level={"type": "string", "enum": ["Beginner", "Intermediate", "Advanced"]},
    objectives=many(STRING),
    modules=many(
        obj(order={"type": "integer"}, title=STRING, description=STRING, duration=STRING, topics=many(STRING))
    ),
    assessments=many(obj(type={"enum": ["quiz", "assignment", "project"]}, title=STRING, description=STRING)),
)
ANALYSIS = obj(
    summary=STRING,
    risk_level={"enum": ["low", "medium", "high"]},
    confidence={"type": "number", "minimum": 0, "maximum": 1},
    findings=many(
        obj(
            severity={"enum": ["low", "medium", "high", "critical"]},
            title=STRING,
            line={"type": ["integer", "null"]},
            recommendation=STRING,
        ),
        minItems=2,
    ),
)


def made(schema: dict[str, Any], brief: Brief = LARAVEL, seed: int = 1) -> Any:
    value = generate(schema, brief, seeded(seed))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(value)
    return value


def test_outline_of_ten_tips() -> None:
    """The outline of "Top 10 Laravel tips" has ten different tips with word targets and points."""
    value = made(OUTLINE)
    titles = [section["title"] for section in value["sections"]]
    assert value["title"] == "Top 10 Laravel tips"
    assert len(titles) == len(set(titles)) == 10
    assert all(section["target_words"] >= 40 and len(section["points"]) >= 2 for section in value["sections"])


def test_outline_keeps_to_the_bounds_of_the_schema() -> None:
    """minItems and maxItems win over the number in the title."""
    item = obj(title=STRING)
    assert len(made(obj(title=STRING, sections=many(item, maxItems=4)))["sections"]) == 4
    titles = [s["title"] for s in made(obj(title=STRING, sections=many(item, minItems=14)))["sections"]]
    assert len(titles) == len(set(titles)) == 14


@pytest.mark.parametrize("seed", range(5))
def test_course(seed: int) -> None:
    """A course has numbered modules with different titles, durations and topics."""
    value = made(COURSE, Brief("Create security training using @1 @3"), seed)
    assert value["title"] == "Security training"
    assert [module["order"] for module in value["modules"]] == list(range(1, len(value["modules"]) + 1))
    assert len({module["title"] for module in value["modules"]}) == len(value["modules"])
    assert all(module["duration"].split()[1] in ("minutes", "hours") for module in value["modules"])


def test_analysis() -> None:
    """An analysis has findings with a severity and a recommendation, and a confidence that is a share."""
    value = made(ANALYSIS, Brief("Analyse the contract"))
    assert len(value["findings"]) >= 2
    assert 0 <= value["confidence"] <= 1


def test_a_caption_that_shall_be_empty_is_empty() -> None:
    """As a model that follows its request; elsewhere there is one, and a schema that asks for one gets it."""
    wanted = read_brief([{"role": "user", "content": "Write one post, an empty caption, and at most 3 hashtags."}])
    assert made(obj(caption=STRING, text=STRING), wanted)["caption"] == ""
    assert made(obj(caption=STRING, text=STRING), wanted)["text"] != ""
    assert made(obj(caption={"type": "string", "minLength": 1}), wanted)["caption"] != ""
    assert made(obj(caption=STRING), LARAVEL)["caption"] != ""


def test_equal_input_gives_equal_output() -> None:
    """Seed and brief decide the value."""
    assert made(OUTLINE, seed=5) == made(OUTLINE, seed=5)
    assert made(OUTLINE, seed=5) != made(OUTLINE, seed=6)


def test_references_recursion_and_alternatives() -> None:
    """`$ref`, a recursive definition, `anyOf` with null and `allOf` are followed and come to an end."""
    schema = {
        **obj(tree={"$ref": "#/$defs/node"}, either={"anyOf": [{"type": "null"}, STRING]}, both={
            "allOf": [obj(a=STRING), {"properties": {"b": {"type": "integer"}}, "required": ["b"]}]
        }),
        "$defs": {"node": obj(title=STRING, child={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})},
    }  # fmt: skip
    schema["properties"]["both"]["allOf"][0].pop("additionalProperties")
    value = made(schema)
    assert isinstance(value["either"], str)
    assert set(value["both"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (obj(a={"$ref": "#/$defs/none"}), "leads nowhere"),
        (obj(a={"$ref": "https://example.org/schema"}), "outside"),
        (obj(a={"type": "string", "pattern": "^[0-9]{40}$"}), "pattern"),
        (obj(a={"type": "colour"}), "unknown"),
        (obj(a=many(STRING, minItems=3, maxItems=2)), "items"),
        ({"$ref": "#"}, "circle"),
    ],
)
def test_impossible_schemas_are_refused(schema: dict[str, Any], why: str) -> None:
    """What cannot be made is named, never silently wrong."""
    with pytest.raises(UnsupportedSchema, match=why):
        generate(schema, LARAVEL, seeded(1))


names = st.sampled_from(["title", "order", "severity", "duration", "x", "tags", "score", "sections", "points", "url"])
leaves = st.one_of(
    st.builds(lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size},
              st.integers(0, 60), st.integers(0, 60)),
    st.builds(lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size},
              st.integers(-99, 99), st.integers(0, 99)),
    st.builds(lambda low, size: {"type": "number", "exclusiveMinimum": low, "maximum": low + size},
              st.integers(-99, 99), st.integers(1, 99)),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": [1, "a", None]}, {"const": "x"},
                     {"type": ["string", "null"]}, {"type": "string", "format": "date"}]),
)  # fmt: skip
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(names, inner, max_size=4).map(lambda properties: obj(**properties)),
        st.builds(lambda items, low, size: many(items, minItems=low, maxItems=low + size),
                  inner, st.integers(0, 3), st.integers(0, 4)),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(schema=schemas, seed=st.integers(0, 1000), title=st.sampled_from(["Top 10 Laravel tips", "x", "5 ways to run"]))
def test_any_schema_is_met(schema: dict[str, Any], seed: int, title: str) -> None:
    """Whatever the schema asks for within the supported words, the value is valid and survives JSON."""
    value = made(schema, Brief(title), seed)
    assert json.loads(json.dumps(value)) == value
