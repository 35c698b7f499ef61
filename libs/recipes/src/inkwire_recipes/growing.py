r"""Markdown of a JSON value that is still being written: what is said once is never taken back.

A render function is a generator over a :class:`Node`. It yields text in the order of reading and stops by itself at the
first thing that may still change, so one function serves the growing value and the whole one:

    def overview(node: Node) -> Iterator[str]:
        yield from node.line("# ", "title", "\n\n")
        yield from node.line("", "description")
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from inkwire_recipes.rendering import is_open, one_line

MAX_FIELD_CHARS = 4_000
MAX_ITEMS = 100
"""Of one list; what is beyond it is not shown."""


class NotYet(Exception):
    """What comes next is not known yet."""


class Node:
    """One JSON object of an answer. ``growing`` says that the answer may still add to it."""

    def __init__(self, value: Any, *, growing: bool) -> None:
        self._value: Mapping[str, Any] = value if isinstance(value, dict) else {}
        self._growing = growing

    def line(self, before: str, key: str, after: str = "", *, limit: int = MAX_FIELD_CHARS) -> Iterator[str]:
        """A field's text on one line between ``before`` and ``after``; nothing at all where it is empty."""
        value, growing = self._at(key)
        yield from _line(before, value, after, growing=growing, limit=limit)

    def text(self, before: str, key: str, after: str = "") -> Iterator[str]:
        """As :meth:`line`, with the text's own line breaks, less the white space around it."""
        value, growing = self._at(key)
        yield from _piece(
            before, _text(value).replace("\r\n", "\n").replace("\r", "\n").strip(), after, growing=growing
        )

    def known(self, key: str) -> Any:
        """A field's value once it is whole; ``None`` where it is missing.

        Raises:
            NotYet: it may still change.
        """
        value, growing = self._at(key)
        if growing:
            raise NotYet
        return value

    def inner(self, key: str) -> "Node":
        """The object of a field, which may be growing.

        Raises:
            NotYet: nothing of it is there.
        """
        value, growing = self._at(key)
        return Node(value, growing=growing)

    def items(self, key: str) -> Iterator["Node"]:
        """The objects of a list, the last of which may be growing."""
        for value, growing in self._each(key):
            yield Node(value, growing=growing)

    def lines(self, before: str, key: str, after: str = "\n") -> Iterator[str]:
        """The texts of a list, each between ``before`` and ``after``; empty ones are left out."""
        for value, growing in self._each(key):
            yield from _line(before, value, after, growing=growing, limit=MAX_FIELD_CHARS)

    def _each(self, key: str) -> Iterator[tuple[Any, bool]]:
        found, growing = self._at(key)
        values = found if isinstance(found, list) else []
        for index, value in enumerate(values[:MAX_ITEMS]):
            yield value, growing and index == len(values) - 1
        if growing and len(values) <= MAX_ITEMS:
            raise NotYet

    def _at(self, key: str) -> tuple[Any, bool]:
        if key not in self._value:
            if self._growing:
                raise NotYet
            return None, False
        return self._value[key], is_open(self._value, key, self._growing)


def _line(before: str, value: Any, after: str, *, growing: bool, limit: int) -> Iterator[str]:
    if growing and not isinstance(value, str):
        raise NotYet  # half a number is another number
    yield from _piece(before, one_line(_text(value), limit), after, growing=growing)


def _piece(before: str, text: str, after: str, *, growing: bool) -> Iterator[str]:
    if text:
        yield before + text
        if not growing:
            yield after
    if growing:
        raise NotYet


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


Render = Callable[[Node], Iterator[str]]


def rendered(render: Render, value: Any, complete: bool) -> str:
    """The Markdown that is certain: of a growing value, a prefix of what it will be."""
    pieces: list[str] = []
    with suppress(NotYet):
        for piece in render(Node(value, growing=not complete)):
            pieces.append(piece)
    return "".join(pieces).rstrip()
