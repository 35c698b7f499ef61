"""From a model's growing answer to Markdown that only ever grows.

The readers' text is append-only, so each renderer returns nothing that a later piece of the answer could change:
trailing white space waits until something follows it, a string of half-read JSON is shown only as far as it stands.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from jiter import from_json

from inkwire_recipes.recipe import Rendered, UnusableOutput

MAX_HEADING_CHARS = 200
STEPS = 256
"""An answer of JSON is read anew when it has grown by this part of itself: at once while it is short, and in pieces of
some hundred characters at tens of thousands, so that long answers do not cost the square of their length."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)


def one_line(text: str, limit: int = MAX_HEADING_CHARS) -> str:
    """``text`` on one line, white space collapsed, at most ``limit`` characters; of a prefix, a prefix of it."""
    whole = text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
    return " ".join(whole.split())[:limit].rstrip()


class BodyRenderer:
    """A section whose heading and blank lines are ours and whose body is the model's.

    The white space around the body is dropped, and so is a heading that only repeats the section's title: models
    often write one, though they are asked not to.
    """

    def __init__(self, before: str, after: str = "", *, titles: tuple[str, ...] = ()) -> None:
        self._before = before
        self._after = after
        self._titles = {_plain(title) for title in titles}
        self._held = ""
        self._in_body = False

    def start(self) -> str:
        """See :class:`inkwire_recipes.recipe.Renderer`."""
        return self._before

    def feed(self, delta: str) -> str:
        """See :class:`inkwire_recipes.recipe.Renderer`."""
        self._held += delta
        if not self._in_body and not self._skip_heading(final=False):
            return ""
        kept = self._held.rstrip()
        ready, self._held = kept, self._held[len(kept) :]
        return ready

    def finish(self) -> Rendered:
        """See :class:`inkwire_recipes.recipe.Renderer`."""
        if not self._in_body:
            self._skip_heading(final=True)
        ready = self._held.rstrip()
        if not self._in_body and not ready:
            raise UnusableOutput("the answer is empty")
        return Rendered(ready + self._after)

    def _skip_heading(self, *, final: bool) -> bool:
        """Drop what stands before the body; false while that cannot be told yet."""
        while True:
            self._held = self._held.lstrip()
            if not self._held:
                return False
            if not self._held.startswith("#"):
                self._in_body = True
                return True
            line, newline, rest = self._held.partition("\n")
            if not newline and not final and len(line) <= MAX_HEADING_CHARS:
                return False
            if _plain(line) not in self._titles:
                self._in_body = True
                return True
            self._held = rest


def _plain(heading: str) -> str:
    return re.sub(r"\W+", " ", re.sub(r"^#*\s*(?:\d+[.):]\s*)?", "", heading)).strip().lower()


RenderJson = Callable[[Any, bool], str]
"""Markdown of a decoded value that is complete (true) or still growing at its end."""


class JsonRenderer:
    """A section that the model answers as JSON and the reader sees as Markdown.

    ``render`` gives the Markdown of a value, ``parse`` the section's data from the whole answer (raising
    :class:`UnusableOutput`), ``before`` is a heading of ours. An answer that is no JSON is left to ``parse``, and shown
    as it comes where it is ``lenient``.
    """

    def __init__(
        self, render: RenderJson, parse: Callable[[str], dict[str, Any]], *, before: str = "", lenient: bool = True
    ) -> None:
        self._render = render
        self._parse = parse
        self._before = before
        self._lenient = lenient
        self._raw = ""
        self._shown = ""
        self._read_chars = 0
        self._mode: str | None = None

    def start(self) -> str:
        """See :class:`inkwire_recipes.recipe.Renderer`."""
        return self._before

    def feed(self, delta: str) -> str:
        """See :class:`inkwire_recipes.recipe.Renderer`."""
        self._raw += delta
        if self._mode is None:
            self._mode = _mode_of(self._raw)
        if self._mode is None:
            return ""
        if self._mode == "plain":
            return self._grow(self._raw.strip()) if self._lenient else ""
        if len(self._raw) - self._read_chars < len(self._raw) // STEPS:
            return ""
        self._read_chars = len(self._raw)
        value = _partial(_unfenced(self._raw))
        return "" if value is None else self._grow(self._render(value, False))

    def finish(self) -> Rendered:
        """See :class:`inkwire_recipes.recipe.Renderer`."""
        data = self._parse(self._raw)
        plain = self._mode == "plain" and self._lenient
        whole = self._raw.strip() if plain else self._render(find_json(self._raw), True)
        text = _LONE_SURROGATE.sub("\ufffd", whole)
        if not text.startswith(self._shown):
            raise UnusableOutput("the answer contradicts itself")
        return Rendered(text[len(self._shown) :] + "\n", data)

    def _grow(self, text: str) -> str:
        """What ``text`` adds to what was shown; nothing if it is not a continuation."""
        text = _LONE_SURROGATE.sub("\ufffd", text)
        if not text.startswith(self._shown):
            return ""
        added, self._shown = text[len(self._shown) :], text
        return added


def _mode_of(raw: str) -> str | None:
    start = raw.lstrip()
    if not start or (start.startswith("`") and "\n" not in start):
        return None
    fenced = start.startswith("```") and start.partition("\n")[2].lstrip()[:1]
    if start.startswith("```") and not fenced:
        return None
    return "json" if start.startswith("{") or fenced == "{" else "plain"


def _unfenced(raw: str) -> str:
    start = raw.lstrip()
    return start.partition("\n")[2] if start.startswith("```") else start


def _partial(text: str) -> Any:
    """The value so far, or ``None`` if it cannot be told (an escape that is cut in the middle, or no JSON)."""
    body = text.rpartition("```")[0] if text.rstrip().endswith("```") else text
    try:
        return from_json(body.encode("utf-8", "replace"), partial_mode="trailing-strings")
    except ValueError:
        return None


def find_json(text: str) -> Any:
    """The JSON object in an answer: bare, fenced, or between other words; ``None`` if there is none."""
    candidates = [text, *(match[1] for match in _FENCED.finditer(text))]
    first, last = text.find("{"), text.rfind("}")
    if 0 <= first < last:
        candidates.append(text[first : last + 1])
    for candidate in candidates:
        try:
            value = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None


def is_open(container: Any, key: Any, container_open: bool) -> bool:
    """Whether the value at ``key`` may still grow: it is the last one in something that is still growing."""
    if not container_open:
        return False
    if isinstance(container, dict):
        return bool(next(reversed(container)) == key)
    return bool(key == len(container) - 1)
