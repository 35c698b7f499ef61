"""From a model's pieces to a section's text: characters made whole, bounds held, Markdown rendered. Sans I/O."""

import re

from inkwire_contracts.events import MAX_SECTION_BYTES
from inkwire_generator.errors import ProviderError
from inkwire_recipes.recipe import Rendered, Renderer

MAX_ESCAPED_BYTES = 200 * 1024
"""A section's text as it stands in JSON, where quotes and line ends take two bytes and other control characters six.
Its event must fit the broker."""

_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_LONE = re.compile("[\ud800-\udfff]")


class Characters:
    """Joins surrogates that were split between pieces; a lone one becomes U+FFFD."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The piece as well-formed text; a first half at its end waits for the second."""
        text = self._held + piece
        self._held = ""
        if text.isascii():
            return text
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return _repaired(text)

    def end(self) -> str:
        """Nothing follows."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""


def _repaired(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE.sub("\ufffd", _PAIR.sub(_joined, text))
    return text


def _joined(match: re.Match[str]) -> str:
    high, low = ord(match[1]), ord(match[2])
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


class Assembler:
    """One section's text. What comes out is final: it may be published."""

    def __init__(self, renderer: Renderer, limit_bytes: int = MAX_SECTION_BYTES) -> None:
        self._renderer = renderer
        self._characters = Characters()
        self._limit_bytes = limit_bytes
        self._raw_bytes = 0
        self._text_bytes = 0
        self._escaped_bytes = 0
        self._answer: list[str] = []

    @property
    def answer(self) -> str:
        """What the model has said so far, well-formed, before it was rendered."""
        return "".join(self._answer)

    def start(self) -> str:
        """What stands before the model's text."""
        return self._bounded(self._renderer.start())

    def feed(self, piece: str) -> str:
        """Text that is now certain.

        Raises:
            ProviderError: ``section_too_long``.
        """
        return self._render(self._characters.feed(piece))

    def finish(self) -> Rendered:
        """The rest of the text, and the section's data.

        Raises:
            ProviderError: ``section_too_long``.
            UnusableOutput: the answer cannot be used.
        """
        last = self._render(self._characters.end())
        rendered = self._renderer.finish()
        return Rendered(last + self._bounded(rendered.text), rendered.data)

    def _render(self, whole: str) -> str:
        if not whole:
            return ""
        self._raw_bytes += len(whole.encode())
        if self._raw_bytes > 2 * self._limit_bytes:
            raise too_long()
        self._answer.append(whole)
        return self._bounded(self._renderer.feed(whole))

    def _bounded(self, text: str) -> str:
        if text:
            size = len(text.encode())
            self._text_bytes += size
            self._escaped_bytes += _in_json_bytes(text, size)
            if self._text_bytes > self._limit_bytes or self._escaped_bytes > MAX_ESCAPED_BYTES:
                raise too_long()
        return text


_DOUBLED = tuple('"\\\t\n\r')
_ESCAPED = tuple(chr(code) for code in range(0x20) if chr(code) not in _DOUBLED)


def _in_json_bytes(text: str, size: int) -> int:
    return size + sum(map(text.count, _DOUBLED)) + 5 * sum(map(text.count, _ESCAPED))


def bounded(text: str) -> str:
    """A whole section's text that no model wrote.

    Raises:
        ProviderError: ``section_too_long``.
    """
    size = len(text.encode())
    if size > MAX_SECTION_BYTES or _in_json_bytes(text, size) > MAX_ESCAPED_BYTES:
        raise too_long()
    return text


def too_long() -> ProviderError:
    """A section that no event can hold."""
    return ProviderError("section_too_long", retryable=False)
