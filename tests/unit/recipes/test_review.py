"""An outline in its author's hands."""

from typing import Any

import pytest
from pydantic import ValidationError

from inkwire_recipes.outline import MAX_OUTLINE_SECTIONS, MAX_POINTS
from inkwire_recipes.review import MAX_TOTAL_WORDS, ReviewedOutline, outline_text

SECTION: dict[str, Any] = {"title": "One", "target_words": 80, "points": ["a"]}


def test_texts_are_one_line_that_can_be_shown() -> None:
    """White space is one blank, control characters are dropped; everything but the sections may be left out."""
    outline = ReviewedOutline.model_validate({"title": " a\n\tb\x00 ", "sections": [{"title": "x\u2028y\x1b[0m"}]})
    assert outline.model_dump(mode="json") == {
        "title": "a b",
        "description": "",
        "tags": [],
        "sections": [{"title": "x y[0m", "target_words": 0, "points": []}],
        "closing": "",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"sections": []},
        {"sections": [{"title": "\x00\x1c"}]},
        {"sections": [{**SECTION, "target_words": -1}]},
        {"sections": [{**SECTION, "extra": 1}]},
        {"sections": [SECTION] * (MAX_OUTLINE_SECTIONS + 1)},
        {"sections": [{**SECTION, "points": ["x"] * (MAX_POINTS + 1)}]},
        {"sections": [{**SECTION, "target_words": 2_000}] * (MAX_TOTAL_WORDS // 2_000 + 1)},
        {"tags": [""]},
        {"closing": "x" * 81},
        {"title": "\ud800"},
    ],
)
def test_what_is_too_much_or_nothing_is_refused(change: dict[str, Any]) -> None:
    """Every text and list has a bound, and so have all words together."""
    with pytest.raises(ValidationError):
        ReviewedOutline.model_validate({"sections": [SECTION], **change})


def test_an_outline_is_shown_as_markdown() -> None:
    """In the same form as one that a model proposes."""
    outline = ReviewedOutline.model_validate({"title": "T", "sections": [SECTION, {"title": "Two"}]})
    assert outline_text(outline) == "**T**\n\n1. One (80 words)\n    - a\n2. Two\n"
