"""Passages of documents in a request: what an answer quotes, and with which mark. Pure."""

from __future__ import annotations

import re
from typing import Final

MAX_QUOTES: Final = 40
MAX_QUOTE_CHARS: Final = 160

_PASSAGE: Final = re.compile(
    r"<document>\s*@(?P<number>\d{1,6})\b.*?</document>\s*<passage>(?P<text>.*?)</passage>", re.DOTALL
)
_WISH: Final = re.compile(r"\[@\d{1,6}\]")
_SENTENCE: Final = re.compile(r"(?:[^.!?]|[.!?](?!\s|$))+")


def without_passages(text: str) -> str:
    """What the request itself says."""
    return _PASSAGE.sub("", text)


def quotes(text: str) -> tuple[str, ...]:
    """A sentence of each passage with its mark, if marks such as [@3] are asked for; else none."""
    if not _WISH.search(without_passages(text)):
        return ()
    made = (_quote(passage["number"], passage["text"]) for passage in _PASSAGE.finditer(text))
    return tuple(dict.fromkeys(filter(None, made)))[:MAX_QUOTES]


def _quote(number: str, text: str) -> str:
    plain = " ".join(re.sub(r"[*_`#<>|\[\]]+", " ", text).split())
    first = _SENTENCE.match(plain)
    if first is None:
        return ""
    return f"“{first[0][:MAX_QUOTE_CHARS].strip()}” [@{number}]"
