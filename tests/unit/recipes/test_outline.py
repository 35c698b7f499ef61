"""The outline of a long text, in whatever form a model gives it."""

import json
from typing import Any

import pytest

from inkwire_recipes.outline import (
    ENGLISH_CLOSINGS,
    MAX_OUTLINE_SECTIONS,
    MAX_TARGET_WORDS,
    Outline,
    OutlineRendering,
    parse_outline,
    schema_for,
)
from inkwire_recipes.recipe import UnusableOutput


def titles(outline: Outline) -> list[str]:
    """The sections' titles."""
    return [section.title for section in outline.sections]


def test_the_asked_for_form() -> None:
    """JSON as the schema wants it is read field by field."""
    section = {"title": "One", "target_words": 120, "points": ["why", "how"]}
    answer = {"title": "T", "description": "D", "tags": ["a"], "sections": [section], "closing": "Summary"}
    outline = parse_outline(json.dumps(answer))
    assert outline.model_dump(mode="json") == answer


@pytest.mark.parametrize(
    "answer",
    [
        {"outline": [{"heading": "One"}, {"name": "Two"}]},
        {"article": {"sections": ["One", "Two"]}},
        {"chapters": [{"title": "One", "target_words": "many", "points": "none"}, {"title": "Two"}, {"title": " "}]},
        {"sections": [{"title": "One", "points": [1, None, ""]}, "Two", 3, None], "tags": "x", "title": None},
    ],
)
def test_other_forms_of_json(answer: dict[str, Any]) -> None:
    """Other names, plain strings, wrappers and wrong types are read as far as they make sense."""
    assert titles(parse_outline(json.dumps(answer))) == ["One", "Two"]


@pytest.mark.parametrize(
    "answer",
    [
        "# Title\n\n## One\n- a\n\n## Two\n- b\n",
        "## One\n\nsome words\n\n## Two\n### Detail\n",
        "1. One\n   - a point\n2. Two\n",
        "- **One** (about 120 words)\n- **Two** – 80 words\n",
        "Here is the outline:\n\n* One\n* Two\n",
        "# 1. One\n# 2. Two\n",
    ],
)
def test_markdown(answer: str) -> None:
    """Headings are sections, a single top heading is the title; without headings list items are."""
    assert titles(parse_outline(answer)) == ["One", "Two"]


def test_markdown_points_and_words() -> None:
    """List items below a heading are its points, and a length in its title is its target."""
    outline = parse_outline("# T\n\n## One (120 words)\n- why\n  - how\n\n## Two\n")
    assert outline.title == "T"
    assert (outline.sections[0].target_words, outline.sections[0].points) == (120, ("why", "how"))


@pytest.mark.parametrize("answer", ["", "I cannot do that.", '{"sections": []}', '{"title": "T"}', "{}"])
def test_without_sections_it_cannot_be_used(answer: str) -> None:
    """An answer without a single section is refused."""
    with pytest.raises(UnusableOutput):
        parse_outline(answer)


def test_everything_is_bounded() -> None:
    """However much a model writes, the outline stays small."""
    section = {"title": "x" * 5_000, "target_words": 10**9, "points": ["y" * 5_000] * 50}
    answer = {"title": "t" * 9_000, "description": "d" * 9_000, "tags": ["g"] * 99, "sections": [section] * 500}
    outline = parse_outline(json.dumps(answer))
    assert len(outline.sections) == MAX_OUTLINE_SECTIONS
    assert max(section.target_words for section in outline.sections) <= MAX_TARGET_WORDS
    assert len(outline.model_dump_json().encode()) < 128 * 1024


def test_the_rendering_is_a_nested_list() -> None:
    """Title in bold, description, numbered sections with their words and points."""
    value = {
        "title": "T",
        "description": "D",
        "sections": [{"title": "One", "target_words": 120, "points": ["why"]}, {"title": "Two"}, "Three"],
    }
    assert OutlineRendering()(value, True) == "**T**\n\nD\n\n1. One (120 words)\n    - why\n2. Two\n3. Three"


def test_keys_in_another_order_wait_for_those_before_them() -> None:
    """What stands later on the page is not shown before what stands above it."""
    value = {"sections": [{"title": "One"}]}
    assert OutlineRendering()(value, False) == ""
    assert OutlineRendering()(value, True) == "1. One"


def test_the_schema_is_strict() -> None:
    """Every object is closed and requires all its properties, as strict structured output demands."""

    def check(schema: Any) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                assert schema["additionalProperties"] is False
                assert schema["required"] == list(schema["properties"])
            for inner in schema.values():
                check(inner)

    check(schema_for("English"))
    assert schema_for("en-GB")["properties"]["closing"]["enum"] == list(ENGLISH_CLOSINGS)
    assert "enum" not in schema_for("Deutsch")["properties"]["closing"]
