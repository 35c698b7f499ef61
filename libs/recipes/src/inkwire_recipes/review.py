"""An outline in its author's hands: its bounds, and the Markdown that shows what was approved."""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from inkwire_recipes.outline import (
    MAX_DESCRIPTION_CHARS,
    MAX_OUTLINE_SECTIONS,
    MAX_POINT_CHARS,
    MAX_POINTS,
    MAX_TAGS,
    MAX_TARGET_WORDS,
    Outline,
    OutlineRendering,
)
from inkwire_recipes.rendering import MAX_HEADING_CHARS, one_line

MAX_TOTAL_WORDS = 10_000
"""Of all sections together: what one article may cost."""

MAX_TAG_CHARS = 40
MAX_CLOSING_CHARS = 80


def _shown(text: str) -> str:
    """On one line, without what cannot be shown."""
    return one_line("".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc"), len(text))


def _something(text: str) -> str:
    if not (shown := _shown(text)):
        raise ValueError("must not be empty")
    return shown


Heading = Annotated[str, StringConstraints(min_length=1, max_length=MAX_HEADING_CHARS), AfterValidator(_something)]
Point = Annotated[str, StringConstraints(min_length=1, max_length=MAX_POINT_CHARS), AfterValidator(_something)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TAG_CHARS), AfterValidator(_something)]


class ReviewedSection(BaseModel):
    """One section as its author wants it. `target_words` 0 leaves its length to us."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Heading
    target_words: int = Field(0, ge=0, le=MAX_TARGET_WORDS)
    points: tuple[Point, ...] = Field((), max_length=MAX_POINTS)


class ReviewedOutline(BaseModel):
    """An outline as its author wants it; an empty title is the request's, an empty closing ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[str, AfterValidator(_shown)] = Field("", max_length=MAX_HEADING_CHARS)
    description: Annotated[str, AfterValidator(_shown)] = Field("", max_length=MAX_DESCRIPTION_CHARS)
    tags: tuple[Tag, ...] = Field((), max_length=MAX_TAGS)
    sections: tuple[ReviewedSection, ...] = Field(min_length=1, max_length=MAX_OUTLINE_SECTIONS)
    closing: Annotated[str, AfterValidator(_shown)] = Field("", max_length=MAX_CLOSING_CHARS)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if sum(section.target_words for section in self.sections) > MAX_TOTAL_WORDS:
            raise ValueError(f"the sections' target_words must add up to at most {MAX_TOTAL_WORDS}")
        return self


def as_proposed(proposed: Mapping[str, Any]) -> ReviewedOutline:
    """A model's outline, approved as it stands; lengths that are too much together are left to us.

    Raises:
        pydantic.ValidationError: it is no outline.
    """
    outline = Outline.model_validate(proposed)
    whole = outline.model_dump(mode="json")
    sections = [section for section in whole["sections"] if _shown(section["title"])]
    if sum(section["target_words"] for section in sections) > MAX_TOTAL_WORDS:
        sections = [{**section, "target_words": 0} for section in sections]
    for section in sections:
        section["points"] = [point for point in section["points"] if _shown(point)]
    tags = [tag for tag in whole["tags"] if _shown(tag)]
    return ReviewedOutline.model_validate({**whole, "tags": tags, "sections": sections})


def outline_text(outline: BaseModel) -> str:
    """An outline as readers see it."""
    return OutlineRendering()(outline.model_dump(mode="json"), True) + "\n"
