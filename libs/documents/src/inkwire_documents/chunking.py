"""Cuts blocks into passages. Every character that is no blank is in exactly one passage; passages do not overlap."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inkwire_contracts.documents import Passage
from inkwire_documents.blocks import Block

TARGET_CHARS = 1_000
MIN_CHARS = 800
"""A passage this long is not filled up with a paragraph that would be cut for it."""

MAX_CHARS = 1_200

BETWEEN = "\n\n"
"""What parts the blocks of one passage."""

# Where a long text is best cut, best first: after a paragraph, a sentence, a line, a clause, a word.
# Sentences end in scripts without spaces, too; there no blank follows.
_BORDERS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"""(?:[.!?…؟।]["'”’»)\]]*(?=\s))|(?:[。！？｡…]["'”’」』）》]*)"""),
    re.compile(r"\n"),
    re.compile(r"[,;:，、；：](?=\s)|[，、；：]"),
    re.compile(r"\s"),
)


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    page: int | None
    heading: str

    def goes_with(self, following: "_Piece") -> bool:
        """Of one page, and of one heading; or only a heading, which is better read with what comes below it."""
        return self.page == following.page and (self.heading == following.heading or self.text == self.heading)


def chunk(blocks: Iterable[Block]) -> list[Passage]:
    """Passages of about 800 to 1,200 characters, in order, each of one page and one heading."""
    return [
        Passage(index=index, page=piece.page, heading=piece.heading, text=piece.text)
        for index, piece in enumerate(_joined(_pieces(blocks)))
    ]


def _pieces(blocks: Iterable[Block]) -> Iterator[_Piece]:
    for block in blocks:
        for text in _split(block.text):
            yield _Piece(text, block.page, block.heading)


def _joined(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Neighbours of one place put together, as long as they fit."""
    held: _Piece | None = None
    for piece in pieces:
        if held is None:
            held = piece
        elif held.goes_with(piece) and _fits(held.text, piece.text):
            held = _Piece(held.text + BETWEEN + piece.text, piece.page, piece.heading)
        else:
            yield held
            held = piece
    if held is not None:
        yield held


def _fits(held: str, more: str) -> bool:
    together = len(held) + len(BETWEEN) + len(more)
    return together <= TARGET_CHARS or (len(held) < MIN_CHARS and together <= MAX_CHARS)


def _split(text: str) -> Iterator[str]:
    """A block in pieces of at most MAX_CHARS; what is left over is shared, so that no last piece is a crumb."""
    start, end = _next_word(text, 0), len(text.rstrip())
    while end - start > MAX_CHARS:
        cut = _cut(text, start, end)
        piece = text[start:cut].rstrip()
        if piece:
            yield piece
        start = _next_word(text, cut)
    if start < end:
        yield text[start:end]


def _next_word(text: str, start: int) -> int:
    """Past blank lines and blanks, but the indentation of a line stays with it."""
    position = start
    while position < len(text) and text[position].isspace():
        if text[position] == "\n":
            start = position + 1
        position += 1
    return start if text[start - 1 : start] in {"", "\n"} else position


def _cut(text: str, start: int, end: int) -> int:
    """Where to cut text[start:], longer than MAX_CHARS: the best border, and of its kind the nearest to the target."""
    shares = -(-(end - start) // TARGET_CHARS)
    ideal = start + min(TARGET_CHARS, (end - start) // shares)
    low, high = start + min(MIN_CHARS, ideal - start) * 3 // 4, start + MAX_CHARS
    for border in _BORDERS:
        places = [match.end() for match in border.finditer(text, low, high)]
        if places:
            return min(places, key=lambda place: (abs(place - ideal), place))
    return _whole_character(text, ideal)


def _whole_character(text: str, cut: int) -> int:
    """Not between a letter and the marks or joiners that belong to it, unless there are absurdly many."""
    for place in range(cut, cut - 50, -1):
        if not _continues(text[place]) and text[place - 1] != "\u200d":
            return place
    return cut


def _continues(character: str) -> bool:
    return character == "\u200d" or unicodedata.category(character) in {"Mn", "Mc", "Me"} or character == "\ufe0f"
