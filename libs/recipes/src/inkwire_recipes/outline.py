"""The outline of a long text: asked for as JSON, accepted in whatever form a model gives it, shown as Markdown."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from inkwire_recipes.recipe import UnusableOutput
from inkwire_recipes.rendering import find_json, is_open, one_line

MAX_OUTLINE_SECTIONS = 40
MAX_POINTS = 8
MAX_POINT_CHARS = 300
MAX_DESCRIPTION_CHARS = 600
MAX_TAGS = 10
MAX_TARGET_WORDS = 2_000

_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.+?)\s*#*$")
_ITEM = re.compile(r"^(\s*)(?:[-*+•]|\d+[.)])\s+(.+)$")
_WORDS = re.compile(r"[(\[–—-]*\s*(?:about|ca\.?|~|approx\.?)?\s*(\d{2,4})\s+words?\s*[)\]]*\s*$", re.IGNORECASE)

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title", "description", "tags", "sections", "closing"],
    "properties": {
        "title": {"type": "string", "description": "Title of the article"},
        "description": {"type": "string", "description": "One sentence that says what the reader gets"},
        "tags": {"type": "array", "items": {"type": "string"}, "description": "Three to six short tags"},
        "sections": {
            "type": "array",
            "description": "The sections between introduction and closing, in order",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["title", "target_words", "points"],
                "properties": {
                    "title": {"type": "string", "description": "Heading of the section"},
                    "target_words": {"type": "integer", "description": "Length of the section in words"},
                    "points": {"type": "array", "items": {"type": "string"}, "description": "What it must say"},
                },
            },
        },
        "closing": {"type": "string", "description": "Heading of the closing section, such as Conclusion"},
    },
}
"""Strict by OpenAI's rules: closed objects, every property required. The order is the order of reading."""

ENGLISH_CLOSINGS = ("Conclusion", "Summary", "Next steps")


def schema_for(language: str) -> Mapping[str, Any]:
    """:data:`SCHEMA`, with the closing's heading one of the usual ones where we know the language."""
    if not language.lower().startswith("en"):
        return SCHEMA
    closing = {**SCHEMA["properties"]["closing"], "enum": list(ENGLISH_CLOSINGS)}
    return {**SCHEMA, "properties": {**SCHEMA["properties"], "closing": closing}}


class OutlineSection(BaseModel):
    """One planned section; ``target_words`` 0 means that the model named no length."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str
    target_words: int = 0
    points: tuple[str, ...] = ()


class Outline(BaseModel):
    """A usable outline: at least one section."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    sections: tuple[OutlineSection, ...] = Field(min_length=1, max_length=MAX_OUTLINE_SECTIONS)
    closing: str = ""


def parse_outline(answer: str) -> Outline:
    """Read an outline from JSON, fenced JSON, or Markdown headings and lists.

    Raises:
        UnusableOutput: there is no section in it.
    """
    value = find_json(answer)
    outline = _from_json(value) if value is not None else _from_markdown(answer)
    if not outline["sections"]:
        raise UnusableOutput("the answer holds no section")
    return Outline.model_validate(outline)


def _from_json(value: Mapping[str, Any]) -> dict[str, Any]:
    value = _unwrapped(value)
    return {
        "title": _text(value.get("title")),
        "description": _text(value.get("description"), MAX_DESCRIPTION_CHARS),
        "tags": _texts(value.get("tags"), MAX_TAGS, 40),
        "sections": [s for s in map(_section, _list(_sections_of(value))) if s["title"]][:MAX_OUTLINE_SECTIONS],
        "closing": _text(value.get("closing"), 80),
    }


def _unwrapped(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Some models put everything under one key of their own."""
    inner = next(iter(value.values()), None) if len(value) == 1 else None
    return inner if isinstance(inner, dict) else value


def _sections_of(value: Mapping[str, Any]) -> Any:
    return next((value[key] for key in ("sections", "outline", "chapters", "items") if value.get(key)), None)


def _section(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"title": _text(value)}
    title = next((value[key] for key in ("title", "heading", "name") if value.get(key)), "")
    return {
        "title": _text(title),
        "target_words": _words(value.get("target_words")),
        "points": _texts(value.get("points"), MAX_POINTS, MAX_POINT_CHARS),
    }


def _words(value: Any) -> int:
    number = int(value) if isinstance(value, int | float) and 0 < value < 1e6 else 0
    return min(number, MAX_TARGET_WORDS)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any, limit: int = 200) -> str:
    return one_line(value, limit) if isinstance(value, str) else ""


def _texts(value: Any, most: int, limit: int) -> list[str]:
    return [text for text in (_text(item, limit) for item in _list(value)) if text][:most]


def _from_markdown(answer: str) -> dict[str, Any]:
    """Headings are sections (the highest level alone may be the title); without any, list items are."""
    lines = answer.splitlines()
    headings = [(len(m[1]), m[2]) for m in map(_HEADING.match, lines) if m]
    top = min((level for level, _ in headings), default=0)
    is_title = sum(level == top for level, _ in headings) == 1 and len(headings) > 1
    level = min((lv for lv, _ in headings if not is_title or lv > top), default=0)
    title = headings[0][1] if is_title else ""
    sections: list[dict[str, Any]] = []
    for line in lines:
        if (m := _HEADING.match(line)) and len(m[1]) == level:
            sections.append(_titled(m[2]))
        elif m := _ITEM.match(line):
            if not level and not m[1]:
                sections.append(_titled(m[2]))
            elif sections and len(sections[-1]["points"]) < MAX_POINTS:
                sections[-1]["points"].append(_text(m[2].strip("* "), MAX_POINT_CHARS))
    return {"title": _text(title), "sections": [s for s in sections if s["title"]][:MAX_OUTLINE_SECTIONS]}


def _titled(text: str) -> dict[str, Any]:
    words = _WORDS.search(text)
    title = text[: words.start()] if words else text
    return {
        "title": _text(re.sub(r"^\d+[.)]\s*", "", title).strip(" *:–—-")),
        "target_words": int(words[1]) if words else 0,
        "points": [],
    }


class OutlineRendering:
    """Markdown of one outline as it grows; of a growing value it is a prefix of what comes later.

    Sections before the last one cannot change any more, so each is rendered once and not with every piece.
    """

    def __init__(self) -> None:
        self._finished: list[str] = []

    def __call__(self, value: Any, complete: bool) -> str:
        """The text that is certain."""
        if not isinstance(value, dict):
            return ""
        if complete:
            value = _unwrapped(value)
        text = ""
        parts = (("title", _render_title), ("description", _render_description), ("sections", self._sections))
        for key, render in parts:
            if key not in value:
                if not complete:
                    return text.rstrip()
                continue
            growing = is_open(value, key, not complete)
            text += render(value[key], not growing)
            if growing:
                return text.rstrip()
        return text.rstrip()

    def _sections(self, value: Any, complete: bool) -> str:
        sections = _list(value)[:MAX_OUTLINE_SECTIONS]
        if complete:
            return "".join(_render_section(number, section, True) for number, section in enumerate(sections, 1))
        final = sections if len(_list(value)) > len(sections) else sections[:-1]
        for number in range(len(self._finished), len(final)):
            self._finished.append(_render_section(number + 1, final[number], True))
        last = [_render_section(len(final) + 1, section, False) for section in sections[len(final) :]]
        return "".join(self._finished + last)


def _render_title(value: Any, complete: bool) -> str:
    return f"**{_text(value)}" + ("**\n\n" if complete else "") if _text(value) else ""


def _render_description(value: Any, complete: bool) -> str:
    text = _text(value, MAX_DESCRIPTION_CHARS)
    return text + ("\n\n" if complete else "") if text else ""


def _render_section(number: int, value: Any, complete: bool) -> str:
    if not isinstance(value, dict):
        return f"{number}. {_text(value)}" + ("\n" if complete else "")
    if not _text(value.get("title")):
        return ""
    text = f"{number}. {_text(value['title'])}"
    if is_open(value, "title", not complete):
        return text
    if "target_words" not in value and not complete:
        return text
    if "target_words" in value:
        if is_open(value, "target_words", not complete):
            return text
        if words := _words(value["target_words"]):
            text += f" ({words} words)"
    text += "\n"
    points = _list(value.get("points"))
    for index, point in enumerate(points[:MAX_POINTS]):
        growing = not complete and is_open(value, "points", True) and index == len(points) - 1
        text += f"    - {_text(point, MAX_POINT_CHARS)}" + ("" if growing else "\n")
    return text
