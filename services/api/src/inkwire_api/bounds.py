"""Bounds on what people send: titles that can be shown, JSON of a bounded size and depth. Pure."""

import math
import unicodedata
from typing import Any

from inkwire_contracts.documents import MAX_NAME_CHARS

MAX_TITLE_CHARS = 200
MAX_JSON_DEPTH = 6
MAX_JSON_NODES = 1_000
"""Enough for the largest outline that an author may bring."""
MAX_JSON_STRING_CHARS = 60_000
MAX_JSON_INTEGER = 2**53 - 1
"""Beyond it JavaScript would silently read another number."""

MAX_ENDING_CHARS = 10
"""Of a file's name: kept where the name is cut."""

_QUOTES = str.maketrans(dict.fromkeys('"“”„`', "'"))
"""What ends a quoted mention, or makes it code."""
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_INVISIBLE = frozenset({"Cf", "Zs"})

DIRECTION_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode's Bidi_Control: nobody sees them, and they turn the rest of the line around, the page's own words too.
Letters of right-to-left scripts need none; joiners, which emoji and scripts do need, are none of them."""


def clean_title(value: str) -> str:
    """The title without blanks around it.

    Raises:
        ValueError: empty, too long, or with characters that cannot be shown on one line.
    """
    title = value.strip()
    categories = {unicodedata.category(character) for character in title}
    if not categories - _INVISIBLE:
        raise ValueError("must not be empty")
    if len(title) > MAX_TITLE_CHARS:
        raise ValueError(f"must have at most {MAX_TITLE_CHARS} characters")
    if categories & _UNPRINTABLE:
        raise ValueError("must not contain control characters or line breaks")
    if not DIRECTION_CONTROLS.isdisjoint(title):
        raise ValueError("must not contain invisible characters that turn the direction of the text; type it anew")
    return title


def clean_name(value: str) -> str:
    """A file's name as it is shown, found and quoted: without its folder, on one line, short.

    Never refused: what is left of a name that is nothing but signs is "document".
    """
    name = unicodedata.normalize("NFC", value).replace("\\", "/").rpartition("/")[2]
    name = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in name)
    name = " ".join(name.translate(_QUOTES).split()).strip(" .@") or "document"
    stem, dot, ending = name.rpartition(".")
    if dot and len(ending) <= MAX_ENDING_CHARS:
        return stem[: MAX_NAME_CHARS - len(ending) - 1].strip() + dot + ending
    return name[:MAX_NAME_CHARS].strip()


def check_json(value: dict[str, Any]) -> dict[str, Any]:
    """The value itself, if it is JSON of a bounded size.

    Raises:
        ValueError: too deep, too many values, a string too long or not Unicode, a number that is not finite or safe.
    """
    left = MAX_JSON_NODES
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        node, depth = pending.pop()
        left -= 1
        if left < 0:
            raise ValueError(f"must have at most {MAX_JSON_NODES} values")
        if isinstance(node, dict | list) and depth > MAX_JSON_DEPTH:
            raise ValueError(f"must be nested at most {MAX_JSON_DEPTH} deep")
        if isinstance(node, dict):
            pending.extend((child, depth + 1) for child in node.values())
            pending.extend((key, depth + 1) for key in node)
        elif isinstance(node, list):
            pending.extend((child, depth + 1) for child in node)
        else:
            _check_scalar(node)
    return value


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if len(value) > MAX_JSON_STRING_CHARS:
            raise ValueError(f"a text must have at most {MAX_JSON_STRING_CHARS} characters")
        if any(unicodedata.category(character) == "Cs" for character in value):
            raise ValueError("a text must be Unicode without lone surrogates")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number must be finite")
    elif isinstance(value, int) and abs(value) > MAX_JSON_INTEGER:
        raise ValueError("a whole number must be below 2 to the power of 53")
