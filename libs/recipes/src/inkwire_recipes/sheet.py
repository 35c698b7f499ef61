"""Markdown of an answer by its schema alone: what a form looks like that nobody wrote a renderer for.

Objects are headings, lists are lists, everything else is a labelled line, in the schema's order.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from inkwire_recipes.growing import Node, Render
from inkwire_recipes.rendering import one_line

TOP_HEADING = 2
DEEPEST_HEADING = 6
NOTHING = "None.\n\n"


def sheet(schema: Mapping[str, Any]) -> Render:
    """A render function for the values of a closed object schema."""

    def render(node: Node) -> Iterator[str]:
        yield from _object(schema, node, TOP_HEADING)

    return render


def _object(schema: Mapping[str, Any], node: Node, level: int, *, less: str = "") -> Iterator[str]:
    for key, inner in schema["properties"].items():
        if key == less:
            continue
        label, kind = _label(key, inner), inner["type"]
        if kind == "object":
            yield f"{_heading(level)} {label}\n\n"
            yield from _object(inner, node.inner(key), level + 1)
        elif kind == "array":
            yield f"{_heading(level)} {label}\n\n"
            yield from _list(inner["items"], node, key, level + 1)
        elif kind == "boolean" or (isinstance(kind, list) and kind[0] == "boolean"):
            value = node.known(key)
            if isinstance(value, bool):
                yield f"**{label}:** {'yes' if value else 'no'}\n\n"
        else:
            yield from node.line(f"**{label}:** ", key, "\n\n")


def _list(items: Mapping[str, Any], node: Node, key: str, level: int) -> Iterator[str]:
    if items["type"] != "object":
        nothing = True
        for text in node.lines("- ", key):
            nothing = False
            yield text
        yield NOTHING if nothing else "\n"
        return
    named = _name_of(items)
    number = 0
    for number, item in enumerate(node.items(key), 1):
        yield f"{_heading(level)} {number}"
        if named:
            yield from item.line(". ", named, limit=200)
        yield "\n\n"
        yield from _object(items, item, level + 1, less=named)
    if not number:
        yield NOTHING


def _name_of(schema: Mapping[str, Any]) -> str:
    """The property that can stand in a heading: the first, where it is a text."""
    first = next(iter(schema["properties"]))
    inner = schema["properties"][first]
    return first if inner["type"] == "string" else ""


def _heading(level: int) -> str:
    return "#" * min(level, DEEPEST_HEADING)


def _label(key: str, schema: Mapping[str, Any]) -> str:
    words = one_line(str(schema.get("title") or key.replace("_", " ").replace("-", " ")), 80)
    return words[:1].upper() + words[1:]
