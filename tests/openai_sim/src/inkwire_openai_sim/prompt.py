"""Read what a chat request asks for: title, section heading, word target, points. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from inkwire_openai_sim.material import quotes, without_passages

MAX_TITLE_CHARS: Final = 160
MAX_TARGET_WORDS: Final = 6_000  # a larger wish is cut to this
MAX_POINTS: Final = 12

_QUOTED = r"[“\"«'](?P<q>[^\n]{2,160}?)[”\"»'](?=[\s,.;:!?)]|$)"
_TITLE_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"<(title|post_title|article_title|request|topic)>\s*(?P<q>[^\n]{1,600}?)\s*</\1>",
        r"^[ \t>*#-]{0,20}(?:(?:article|post|blog|course|working|document)(?:'s)?[ _]*)?(?:title|topic)"
        r"(?:\*\*)?\s*[:=]\s*(?P<q>.+?)\s*$",
        rf"\b(?:titled|entitled|called|title|title is|article|post|course|about|on)\s+{_QUOTED}",
    )
)
_HEADING_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"<(section|heading|section_title|current_section)>\s*(?P<q>[^\n]{1,600}?)\s*</\1>",
        rf"\b(?:section|heading|part|chapter)(?:\s+\d+(?:\s*(?:of|/)\s*\d+)?)?(?:\s+(?:titled|called|headed|heading|"
        rf"title|named))?\s*[:,]?\s*{_QUOTED}",
        r"^[ \t>*#-]{0,20}(?:(?:current|this|your|write|next)[ _]+)*(?:section|heading|section[ _]title|"
        r"section[ _]heading)(?:\s+\d+(?:\s*(?:of|/)\s*\d+)?)?(?:\*\*)?\s*[:=]\s*(?P<q>\S.*?)\s*$",
    )
)
_NUMBER = r"\d{1,2},\d{3}|\d{2,5}"
_WORDS_CLEAR: Final = re.compile(  # a wish, or a range
    rf"(?:(?:about|around|roughly|approximately|aim for|target(?: of| is)?|write|at most|circa|~)\s*(?P<n>{_NUMBER})"
    rf"|\b(?P<low>{_NUMBER})\s*(?:-|–|to)\s*(?P<high>{_NUMBER}))[\s-]*words?\b"
    rf"|\b(?:target|length|budget|count)[ _]*(?:in[ _])?(?:words?)?\W{{1,6}}(?P<m>{_NUMBER})\b(?!\s*%)",
    re.IGNORECASE,
)
_WORDS_VAGUE: Final = re.compile(rf"\b(?P<n>{_NUMBER})[ -]words?\b", re.IGNORECASE)
_TEXT_CHARS: Final = re.compile(r"\btext of at most (?P<n>\d{2,4}) characters", re.IGNORECASE)
_EMPTY_CAPTION: Final = re.compile(r"\ban empty caption\b", re.IGNORECASE)
_POINTS: Final = re.compile(
    r"(?:points|cover|covering|key ideas|topics)[^\n:]{0,40}:\s*\n?(?P<list>(?:\s*(?:[-*•]|\d+[.)])\s+[^\n]+\n?)+)",
    re.IGNORECASE,
)
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Brief:
    """What to write. `heading` is None where no section was named; `target_words` None where no length was."""

    title: str
    heading: str | None = None
    target_words: int | None = None
    points: tuple[str, ...] = ()
    explicit_title: bool = False
    text_max_chars: int | None = None
    """Of a field that is called text, where the request names a bound."""
    empty_caption: bool = False
    """The request wants a field that is called caption to stay empty."""
    quotes: tuple[str, ...] = ()
    """Sentences of the passages that came along, with their marks, where marks are asked for."""


def message_text(message: dict[str, Any]) -> str:
    """The text of one chat message, text parts joined; other parts (images, audio) count as nothing."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def prompt_text(messages: list[dict[str, Any]]) -> str:
    """All messages as one text, in order."""
    return "\n".join(message_text(message) for message in messages)


def read_brief(messages: list[dict[str, Any]]) -> Brief:
    """What the conversation asks for; newest message first, down to its bare first line if no pattern fits."""
    asked = [message_text(m) for m in messages if m.get("role") != "assistant"]
    newest_first = [without_passages(text) for text in reversed(asked)]
    last_user = next((without_passages(message_text(m)) for m in reversed(messages) if m.get("role") == "user"), "")
    title = _first(_TITLE_PATTERNS, newest_first)
    heading = _first(_HEADING_PATTERNS, newest_first[:1])
    return Brief(
        title=title or first_words(last_user),
        heading=heading,
        target_words=words_wanted(newest_first),
        points=_points(last_user),
        explicit_title=title is not None,
        text_max_chars=next((int(m["n"]) for m in map(_TEXT_CHARS.search, newest_first) if m), None),
        empty_caption=any(map(_EMPTY_CAPTION.search, newest_first)),
        quotes=quotes("\n".join(asked)),
    )


def _first(patterns: tuple[re.Pattern[str], ...], texts: list[str]) -> str | None:
    for text in texts:
        for pattern in patterns:
            match = pattern.search(text)
            if match and (found := _clean(match["q"])):
                return found
    return None


def _clean(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip(' *#`>“”"«»')
    return text[:MAX_TITLE_CHARS].rstrip()


def first_words(text: str) -> str:
    """The first line that says something, as a title."""
    return _clean(next((line.strip() for line in text.splitlines() if line.strip()), "")) or "Notes"


def words_wanted(texts: Iterable[str]) -> int | None:
    """The last wish of the newest message that has one."""
    for text in texts:
        for pattern in (_WORDS_CLEAR, _WORDS_VAGUE):
            if matches := list(pattern.finditer(text)):
                found = [int(number.replace(",", "")) for number in matches[-1].groupdict().values() if number]
                return max(1, min(MAX_TARGET_WORDS, sum(found) // len(found)))
    return None


def _points(text: str) -> tuple[str, ...]:
    found = list(_POINTS.finditer(text))
    if not found:
        return ()
    return tuple(_clean(item) for item in _BULLET.findall(found[-1]["list"])[:MAX_POINTS])
