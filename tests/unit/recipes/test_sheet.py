"""Markdown by a schema alone: every kind of value, in the schema's order, and never a character taken back."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inkwire_recipes.growing import rendered
from inkwire_recipes.job_types import parse_job_types
from inkwire_recipes.sheet import sheet
from tests.support.json_schema import values

PROPERTIES: dict[str, Any] = {
    "risk_level": {"type": "string", "title": "how bad"},
    "note": {"type": ["string", "null"]},
    "urgent": {"type": "boolean"},
    "cost": {"type": ["number", "null"]},
    "tags": {"type": "array", "items": {"type": "string"}},
    "years": {"type": "array", "items": {"type": "integer"}},
    "place": {"type": "object", "properties": {"file": {"type": "string"}, "line": {"type": "integer"}}},
    "clauses": {
        "type": "array",
        "items": {"type": "object", "properties": {"name": {"type": "string"}, "sure": {"type": ["boolean", "null"]}}},
    },
    "scores": {"type": "array", "items": {"type": "object", "properties": {"points": {"type": "number"}}}},
}
[OWN] = parse_job_types(
    json.dumps({"own": {"title": "T", "task": "T", "schema": {"type": "object", "properties": PROPERTIES}}})
)
SCHEMA = OWN.schema or {}
RENDER = sheet(SCHEMA)
VALUE: dict[str, Any] = {
    "risk_level": "bad\nindeed",
    "note": None,
    "urgent": False,
    "cost": 1.5,
    "tags": ["a", "", "b"],
    "years": [2025, 2026],
    "place": {"file": "a.py", "line": 3},
    "clauses": [{"name": "Term", "sure": True}, {"name": "", "sure": None}],
    "scores": [{"points": 2}],
}
MARKDOWN = """**How bad:** bad indeed

**Urgent:** no

**Cost:** 1.5

## Tags

- a
- b

## Years

- 2025
- 2026

## Place

**File:** a.py

**Line:** 3

## Clauses

### 1. Term

**Sure:** yes

### 2

## Scores

### 1

**Points:** 2"""


def test_every_kind_of_value_has_a_form() -> None:
    """Labels come from titles or names; nothing is shown of what is null or empty."""
    assert rendered(RENDER, VALUE, True) == MARKDOWN


def test_empty_lists_are_told() -> None:
    """A heading never stands alone."""
    text = rendered(RENDER, {**VALUE, "tags": [], "clauses": []}, True)
    assert "## Tags\n\nNone.\n\n## Years" in text and "## Clauses\n\nNone.\n\n## Scores" in text


@given(values(SCHEMA), st.data())
def test_a_growing_value_shows_a_prefix_of_the_whole(value: Any, data: st.DataObject) -> None:
    """Properties arrive one by one, the last one still growing."""
    whole = rendered(RENDER, value, True)
    known = data.draw(st.integers(0, len(PROPERTIES)))
    part = dict(list(value.items())[:known])
    assert whole.startswith(rendered(RENDER, part, False))


def test_a_half_written_text_is_shown() -> None:
    """Readers do not wait for the end of a field."""
    assert rendered(RENDER, {"risk_level": "ba"}, False) == "**How bad:** ba"
