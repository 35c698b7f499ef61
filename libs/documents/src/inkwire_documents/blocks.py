"""What a format's reader gives: pieces of text in the document's order, cleaned only as far as they must be."""

import re
from dataclasses import dataclass

MAX_HEADING_CHARS = 200

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Control characters, byte order marks, halves of surrogate pairs are replaced below; tag characters carry text that
# nobody sees, and noncharacters have no meaning outside of one program.
_NEVER_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list, table or heading. ``page`` from 1; ``heading`` is the nearest one above it (or itself)."""

    text: str
    page: int | None = None
    heading: str = ""


def clean(text: str) -> str:
    """Text that every store, wire and prompt can hold: one kind of line end, no control character but tab and newline.

    Halves of surrogate pairs become U+FFFD; trailing blanks and more than one blank line in a row go. The rest stays.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _SURROGATES.sub("\ufffd", _NEVER_TEXT.sub("", text))
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)).strip("\n")


def clean_heading(text: str) -> str:
    """A heading in one line, cut at :data:`MAX_HEADING_CHARS`."""
    return _SPACES.sub(" ", clean(text)).strip()[:MAX_HEADING_CHARS].rstrip()
