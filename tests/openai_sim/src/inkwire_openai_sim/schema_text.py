"""A JSON value for any JSON Schema that OpenAI's structured output accepts, with sensible contents. Pure.

Known names (`title`, `sections`, `severity` ...) get text that fits them; everything else follows type and bounds.
An outline (an array of objects with titles under `sections`, `items`, `chapters` ...) follows the title's own plan.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any, Final

from inkwire_openai_sim import field_text
from inkwire_openai_sim.outline import OutlineSection, Topic, display_title, plan_sections, understand
from inkwire_openai_sim.prompt import Brief

MAX_DEPTH: Final = 24  # a recursive schema takes its shortest way out from half of this on
MAX_ITEMS: Final = 50
DEFAULT_ITEMS: Final = (3, 5)

Schema = dict[str, Any]
TITLE_NAMES: Final = frozenset(("title", "post_title", "article_title", "course_title"))
MOSTLY_EMPTY: Final = 0.7
"""Share of the lists that may be empty by their description and are: findings, warnings."""

QUOTING_NAMES: Final = frozenset(("description", "summary"))
"""Fields that quote the material, where the request asks for marks."""

OUTLINE_NAMES: Final = frozenset(("sections", "outline", "chapters", "items", "tips", "parts"))


class UnsupportedSchema(ValueError):
    """The schema asks for something the generator cannot make; the message names it."""


def generate(schema: Schema, brief: Brief, rng: Random) -> Any:
    """A value that is valid for `schema`. Raises UnsupportedSchema."""
    return _Generator(schema, brief, rng).value(schema, "", 0)


class _Generator:
    def __init__(self, root: Schema, brief: Brief, rng: Random) -> None:
        self.root, self.brief, self.rng = root, brief, rng
        self.topic: Topic = understand(brief.title)
        self.section: OutlineSection | None = None  # the planned section that encloses the value being made
        self.index = 0  # place in the innermost list
        self.offset = 0  # so that two lists of one kind differ

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if schema is True or schema == {}:
            return field_text.text_for(name, self.topic, self.rng, self.index)
        if not isinstance(schema, dict):
            raise UnsupportedSchema(f"a schema must be an object, not {schema!r}")
        if depth > MAX_DEPTH:
            raise UnsupportedSchema(f"nested deeper than {MAX_DEPTH} levels")
        schema = self._resolve(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema["enum"], name)
        kind = self._kind(schema)
        makers = {
            "object": self._object, "array": self._array, "string": self._string, "integer": self._number,
            "number": self._number,
        }  # fmt: skip
        if kind in makers:
            return makers[kind](schema, name, depth)
        if kind == "boolean":
            return self.rng.random() < 0.7
        if kind == "null":
            return None
        raise UnsupportedSchema(f"type {kind!r} is unknown")

    def _resolve(self, schema: Schema, depth: int) -> Schema:
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                rest = {k: v for k, v in schema.items() if k != "$ref"}
                schema = {**self._lookup(str(schema["$ref"])), **rest}
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                rest = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}
                schema = {**rest, **self._option(options, depth)}
            elif "allOf" in schema:
                schema = _merge([{k: v for k, v in schema.items() if k != "allOf"}, *schema["allOf"]])
            else:
                return schema
        raise UnsupportedSchema("references go round in a circle")

    def _option(self, options: list[Schema], depth: int) -> Schema:
        null = [option for option in options if option.get("type") == "null"]
        others = [option for option in options if option.get("type") != "null"]
        if not others or (null and depth > MAX_DEPTH // 2):
            return null[0]
        return others[self.index % len(others)] if depth <= MAX_DEPTH // 2 else min(others, key=lambda o: len(str(o)))

    def _lookup(self, reference: str) -> Schema:
        node: Any = self.root
        if not reference.startswith("#"):
            raise UnsupportedSchema(f"reference {reference!r} leads outside the schema")
        for part in filter(None, reference[1:].split("/")):
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or part not in node:
                raise UnsupportedSchema(f"reference {reference!r} leads nowhere")
            node = node[part]
        return dict(node)

    def _kind(self, schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        return str(kind)

    def _choice(self, options: list[Any], name: str) -> Any:
        usable = [option for option in options if option is not None] or options
        if name.lower() in ("severity", "risk", "risk_level", "priority", "type", "category"):
            return usable[(self.index + self.rng.randrange(2)) % len(usable)]
        return self.rng.choice(usable)

    def _object(self, schema: Schema, name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        deep = depth > MAX_DEPTH // 2
        result = {
            key: self.value(inner, key, depth + 1) for key, inner in properties.items() if key in required or not deep
        }
        for key in required:
            result.setdefault(key, field_text.text_for(key, self.topic, self.rng, self.index))
        return result

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        low = int(schema.get("minItems", 0))
        high = min(MAX_ITEMS, int(schema.get("maxItems", MAX_ITEMS)))
        if low > high:
            raise UnsupportedSchema(f"{name or 'array'}: between {low} and {high} items cannot be made")
        items = self._resolve(schema.get("items", {}) or {}, depth) if schema.get("items") is not False else {}
        if (
            low == 0
            and "empty where" in str(schema.get("description", "")).lower()
            and self.rng.random() < MOSTLY_EMPTY
        ):
            return []
        if depth > MAX_DEPTH // 2:
            planned: list[OutlineSection] = []
            count = low
        elif self._is_outline(name, items):
            planned = self._plan(low, high)
            count = len(planned)
        else:
            planned = []
            count = max(low, min(high, self.rng.randint(*DEFAULT_ITEMS)))
        if self.section and not planned and name in ("points", "key_points", "bullets") and count:
            return self._bounded_points(self.section, items, low, high)
        return self._items(schema, items, name, planned, count, depth)

    def _items(
        self, schema: Schema, items: Schema, name: str, planned: list[OutlineSection], count: int, depth: int
    ) -> list[Any]:
        before = self.index, self.section, self.offset
        prefix = schema.get("prefixItems", [])
        made: list[Any] = []
        self.offset = self.rng.randrange(4) if depth > 2 else 0
        for self.index in range(count):
            if planned:
                self.section = planned[self.index]
            inner = prefix[self.index] if self.index < len(prefix) else items
            made.append(self.value(inner, field_text.singular(name), depth + 1))
        self.index, self.section, self.offset = before
        return _distinct(made, schema, name)

    def _bounded_points(self, section: OutlineSection, items: Schema, low: int, high: int) -> list[str]:
        points = list(section.points)
        while len(points) < low:
            points.append(field_text.text_for("point", self.topic, self.rng, len(points)))
        longest = int(items.get("maxLength", 10_000))
        return [point[:longest] for point in points[:high]]

    def _is_outline(self, name: str, items: Schema) -> bool:
        titled = {"title", "heading", "name"} & set(items.get("properties", {}))
        return bool(titled) and (name.lower() in OUTLINE_NAMES) and self.section is None

    def _plan(self, low: int, high: int) -> list[OutlineSection]:
        wanted = max(low, min(high, self.topic.count)) if self.topic.count else None
        count = wanted or max(low, min(high, self.rng.randint(5, 7)))
        sections = plan_sections(self.topic, self.rng, count, self.brief.target_words)
        for _ in range(len(sections), low):  # a schema may insist on more than the title names
            extra = field_text.text_for("title", self.topic, self.rng, len(sections))
            sections.append(OutlineSection(f"{extra} ({len(sections) + 1})", 160, ()))
        return sections[:high]

    def _string(self, schema: Schema, name: str, depth: int) -> str:
        if name == "caption" and self.brief.empty_caption and schema.keys() <= {"type", "description"}:
            return ""
        if "format" in schema:
            made = field_text.formatted(str(schema["format"]), self.rng)
            if made is not None:
                return made
        text = self._outline_text(name, depth) or field_text.text_for(
            name, self.topic, self.rng, self.index + self.offset, str(schema.get("description", ""))
        )
        if pattern := schema.get("pattern"):
            return _matching(str(pattern), name, text, self.rng)
        low, high = int(schema.get("minLength", 0)), schema.get("maxLength")
        if name in QUOTING_NAMES and high is None and self.brief.quotes:
            text = f"{text} {self.rng.choice(self.brief.quotes)}"
        if name == "text" and high is None:
            high = self.brief.text_max_chars
        while len(text) < low:
            text += " " + field_text.sentence(self.topic, self.rng)
        return text if high is None or len(text) <= high else _shortened(text, low, int(high))

    def _outline_text(self, name: str, depth: int) -> str | None:
        plain = name.lower()
        if plain in ("title", "heading", "name") or plain.endswith("_title"):
            if self.section is not None:
                return self.section.title
            return display_title(self.topic) if depth == 1 and plain in TITLE_NAMES else None
        return None

    def _number(self, schema: Schema, name: str, depth: int) -> int | float:
        whole = self._kind(schema) == "integer"
        low, high = _bounds(schema, whole)
        if self.section is not None and "word" in name.lower():
            wish: float = self.section.target_words
        else:
            wish = field_text.number_for(name, self.rng, self.index, whole)
        value = min(high if high is not None else wish, max(low if low is not None else wish, wish))
        if step := schema.get("multipleOf"):
            value = round(value / step) * step
            if low is not None and value < low:
                value += step
            if high is not None and value > high:
                value -= step
        return int(value) if whole else round(float(value), 4)


def _bounds(schema: Schema, whole: bool) -> tuple[float | None, float | None]:
    gap = 1 if whole else 1e-4
    low, high = schema.get("minimum"), schema.get("maximum")
    if (above := schema.get("exclusiveMinimum")) is not None:
        low = above + gap if low is None else max(low, above + gap)
    if (below := schema.get("exclusiveMaximum")) is not None:
        high = below - gap if high is None else min(high, below - gap)
    return low, high


def _merge(parts: list[Schema]) -> Schema:
    merged: Schema = {}
    for part in parts:
        for key, value in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = list(dict.fromkeys([*merged.get(key, []), *value]))
            else:
                merged[key] = value
    return merged


def _distinct(made: list[Any], schema: Schema, name: str) -> list[Any]:
    if not schema.get("uniqueItems"):
        return made
    unique = [item for i, item in enumerate(made) if item not in made[:i]]
    if len(unique) < int(schema.get("minItems", 0)):
        raise UnsupportedSchema(f"{name or 'array'}: not enough different items")
    return unique


def _shortened(text: str, low: int, high: int) -> str:
    cut = text[:high]
    whole_words = cut.rsplit(" ", 1)[0]
    return whole_words if len(whole_words) >= max(low, high // 2) else cut


def _matching(pattern: str, name: str, text: str, rng: Random) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    candidates = [
        text, slug, slug.replace("-", "_"), text.upper(), "A-1", "abc", "ABC", "a1b2c3", str(rng.randint(1, 9)),
        str(rng.randint(10, 99)), "45 minutes", "2 hours", "3 days", "2025-01-15", "09:30", "https://example.org/a",
        "#3366cc", "1.0.0", "en", "en-GB", "+4912345678", "someone@example.org",
    ]  # fmt: skip
    for candidate in candidates:
        if re.search(pattern, candidate):
            return candidate
    raise UnsupportedSchema(f"{name or 'string'}: the simulator knows no text for pattern {pattern!r}")
