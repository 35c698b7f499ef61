"""An article, or a conversation, as one HTML file that needs nothing else, and does nothing but be read."""

import base64
import hashlib
from html import escape

import nh3

from inkwire_api.adapters import markup
from inkwire_api.articles import Article
from inkwire_api.transcripts import Transcript, shown_time

TAGS = frozenset(
    "a blockquote br code em h1 h2 h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul".split()
)
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
ALIGNMENTS = frozenset({"left", "center", "right"})

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 42rem; padding: 2rem 1.25rem 4rem; font: 1.0625rem/1.65 Georgia, serif; }
h1, h2, h3, h4, h5, h6, header, footer { font-family: system-ui, sans-serif; line-height: 1.25; }
h1 { font-size: 2rem; } h2 { margin-top: 2.5rem; }
article > h2 { margin: 2.25rem 0 0; font-size: 0.875rem; opacity: 0.75; }
header, footer { font-size: 0.875rem; opacity: 0.75; } footer { margin-top: 3rem; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid #8884; border-radius: 6px; }
code { font: 0.9em ui-monospace, monospace; }
blockquote { margin-inline: 0; padding-inline-start: 1rem; border-inline-start: 3px solid #8886; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #8886; padding: 0.35rem 0.7rem; text-align: start; }
.left { text-align: left; } .center { text-align: center; } .right { text-align: right; }
"""
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'"
"""No script, nothing from elsewhere; the one style sheet is known by its digest."""


def body(text: str, *, below: int = 0) -> str:
    """A text's Markdown as HTML that is safe to put anywhere; cells have their alignment as a class.

    ``below``: as in :func:`markup.tokens`.
    """
    found = markup.tokens(text, below=below)
    for token in found:
        if alignment := str(token.attrs.pop("style", "")):
            token.attrSet("class", alignment.removeprefix("text-align:"))
    return nh3.clean(
        markup.html(found),
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        url_schemes=set(markup.SCHEMES),
        allowed_classes={"td": set(ALIGNMENTS), "th": set(ALIGNMENTS)},
        link_rel="noopener noreferrer nofollow",
    )


def as_html(found: Article) -> bytes:
    """The whole file, in UTF-8."""
    told = [f"{found.words} words", f"{found.reading_time_minutes} min to read", found.date[:10]]
    if found.status != "published":
        told.append(f"{found.status}: not the whole article")
    header = " · ".join(filter(None, told))
    tags = f"{', '.join(found.tags)} · " if found.tags else ""
    footer = f"{escape(tags)}SHA-256 of the Markdown: <code>{found.sha256}</code>"
    about = (found.title, found.description, ", ".join(found.tags))
    return _page(about, escape(header), body(found.text), footer)


def transcript_as_html(found: Transcript) -> bytes:
    """A conversation as one file: each message an article under the name of who said it, in UTF-8."""
    turns = "".join(
        f"<article>\n<h2>{escape(turn.heading)}</h2>\n{body(turn.shown_text, below=2)}</article>\n"
        for turn in found.turns
    )
    told = " \u00b7 ".join((f"{len(found.turns)} messages", shown_time(found.updated_at)))
    main = f"<h1>{escape(found.title)}</h1>\n{turns}"
    return _page((found.title, "", ""), escape(told), main, f"Conversation <code>{escape(found.id)}</code>")


def _page(about: tuple[str, str, str], header: str, main: str, footer: str) -> bytes:
    """``about``: title, description, keywords, as plain text; the rest is HTML that is safe already."""
    title, description, keywords = map(escape, about)
    return f"""<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<meta name="description" content="{description}">
<meta name="keywords" content="{keywords}">
<style>{STYLE}</style>
</head>
<body>
<header>{header}</header>
<main dir="auto">
{main}</main>
<footer>{footer}</footer>
</body>
</html>
""".encode()
