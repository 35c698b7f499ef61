"""Plain text and Markdown."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt

from inkwire_documents.blocks import Block, clean, clean_heading
from inkwire_documents.formats.decoding import decode
from inkwire_documents.formats.html import html_blocks
from inkwire_documents.formats.reading import Progress, Reading
from inkwire_documents.limits import Limits

MAX_HEADING_SOURCE_CHARS = 1_000

_INLINE = MarkdownIt("commonmark")
_BLOCKS_ONLY = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])
_PARAGRAPHS = re.compile(r"\n\s*\n")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def read_text(data: bytes, limits: Limits, progress: Progress) -> Reading:
    """Plain text: its paragraphs."""
    return Reading(None, _paragraphs(clean(decode(data))))


def _paragraphs(text: str) -> Iterator[Block]:
    start = 0
    for gap in _PARAGRAPHS.finditer(text):
        yield Block(text[start : gap.start()])
        start = gap.end()
    yield Block(text[start:])


def read_markdown(data: bytes, limits: Limits, progress: Progress) -> Reading:
    """Markdown: its source, block by block, since models and people read it as it is; comments and HTML are cleaned."""
    return Reading(None, _markdown(clean(decode(data))))


def _markdown(source: str) -> Iterator[Block]:
    lines = source.split("\n")
    heading, behind = "", 0
    tokens = _BLOCKS_ONLY.parse(source)
    for at, token in enumerate(tokens):
        if token.level or token.map is None or token.nesting < 0:
            continue
        first, last = token.map
        between = _source(lines, behind, first)  # definitions of links, which make no token
        if between:
            yield Block(between, heading=heading)
        behind = last
        if token.type == "heading_open":
            heading = clean_heading(_shown(tokens[at + 1].content))
            yield Block(heading, heading=heading)
        elif token.type == "html_block":
            for block in html_blocks(_source(lines, first, last)):
                yield Block(block.text, heading=heading)
        elif token.type != "hr":
            yield Block(_COMMENT.sub("", _source(lines, first, last)), heading=heading)
    yield Block(_source(lines, behind, len(lines)), heading=heading)


def _source(lines: list[str], first: int, last: int) -> str:
    return "\n".join(lines[first:last]).strip("\n")


def _shown(source: str) -> str:
    """A heading as people see it: without stars, addresses and HTML."""
    children = [
        child for token in _INLINE.parseInline(source[:MAX_HEADING_SOURCE_CHARS]) for child in token.children or ()
    ]
    return "".join(
        " " if child.type == "softbreak" else child.content for child in children if child.type != "html_inline"
    )
