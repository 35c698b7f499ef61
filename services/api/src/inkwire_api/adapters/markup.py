"""A text's Markdown, taken apart for the formats that show it. What a model wrote is hostile until proven otherwise.

Raw HTML stays text, links lead to http, https and mailto only, and images become links, so that whoever opens an
export loads nothing from others.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

LOWEST_HEADING = 6
SCHEMES = frozenset({"http", "https", "mailto"})
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def tokens(text: str, *, below: int = 0) -> list[Token]:
    """The blocks of a text; their inline children hold allowed links, and no images.

    ``below``: the level of the heading that the text stands under; its own headings come so many levels lower.
    """
    found = _MARKDOWN.parse(text)
    for token in found:
        if below and token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(LOWEST_HEADING, int(token.tag[1:]) + below)}"
        if token.children:
            token.children = _safe(token.children)
    return found


def html(found: Sequence[Token]) -> str:
    """HTML of :func:`tokens`, not yet sanitised."""
    return str(_MARKDOWN.renderer.render(found, _MARKDOWN.options, {}))


def safe_url(value: str) -> str | None:
    """The address if it is absolute and of an allowed kind."""
    address = value.strip()
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    named = parts.netloc if parts.scheme.lower() != "mailto" else parts.path
    return address if parts.scheme.lower() in SCHEMES and named else None


def _safe(children: Sequence[Token]) -> list[Token]:
    safe: list[Token] = []
    dropped: list[bool] = []
    for child in children:
        if child.type == "image":
            safe += _image(child)
        elif child.type == "link_open":
            url = safe_url(str(child.attrGet("href") or ""))
            dropped.append(url is None)
            if url is not None:
                safe.append(child)
        elif child.type == "link_close":
            if not dropped.pop():
                safe.append(child)
        else:
            safe.append(child)
    return safe


def _image(image: Token) -> list[Token]:
    source = str(image.attrGet("src") or "")
    text = Token("text", "", 0, content=_plain(image.children or ()) or source)
    url = safe_url(source)
    if url is None:
        return [text]
    return [Token("link_open", "a", 1, attrs={"href": url}), text, Token("link_close", "a", -1)]


def _plain(children: Sequence[Token]) -> str:
    return "".join(child.content or _plain(child.children or ()) for child in children)
