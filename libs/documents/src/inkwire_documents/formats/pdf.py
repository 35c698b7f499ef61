"""PDF by PDFium, the reader of Chromium: pages as text, headings from the outline where there is one."""

import re
from collections import defaultdict
from collections.abc import Iterator

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

from inkwire_documents.blocks import Block, clean, clean_heading
from inkwire_documents.formats.reading import Progress, Reading, TooManyPagesError, UnreadableError
from inkwire_documents.limits import Limits

MAX_OUTLINE_ENTRIES = 5_000
MAX_OUTLINE_DEPTH = 6
END_BYTES = 4_096
"""The mark of a file's end is looked for in as many last bytes."""

_LINE_HYPHEN = re.compile("[\ufffe\x02]\r?\n?")
_BLANKS = re.compile(r"\s+")

Outline = dict[int, list[str]]


def read_pdf(data: bytes, limits: Limits, progress: Progress) -> Reading:
    """The pages of a PDF that opens without a password.

    Raises:
        UnreadableError: damaged, cut off, or locked.
        TooManyPagesError: more than ``limits.max_pages``.
    """
    if b"%%EOF" not in data[-END_BYTES:]:
        raise UnreadableError("Its end is missing.")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise UnreadableError(_why(error)) from error
    pages = len(document)
    if pages > limits.max_pages:
        raise TooManyPagesError
    if pages == 0:
        raise UnreadableError("It has no pages.")
    return Reading(pages, _blocks(document, pages, progress))


def _why(error: Exception) -> str:
    if getattr(error, "err_code", None) in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}:
        return "It is locked with a password."
    return "It is damaged, or no PDF."


def _blocks(document: "pypdfium2.PdfDocument", pages: int, progress: Progress) -> Iterator[Block]:
    outline, heading = _outline(document), ""
    for number in range(1, pages + 1):
        progress(number - 1, pages)
        for part, title in _parts(_page_text(document, number), outline.get(number, []), heading):
            heading = title
            yield Block(part, number, heading)
    progress(pages, pages)


def _page_text(document: "pypdfium2.PdfDocument", number: int) -> str:
    try:
        page = document[number - 1]
        try:
            text_page = page.get_textpage()
            try:
                text = str(text_page.get_text_range())
            finally:
                text_page.close()
        finally:
            page.close()
    except pypdfium2.PdfiumError as error:
        raise UnreadableError(f"Its page {number} is damaged.") from error
    return clean(_LINE_HYPHEN.sub("", text))


def _outline(document: "pypdfium2.PdfDocument") -> Outline:
    """Titles by page, in the outline's order. One that cannot be read is as good as none."""
    found: Outline = defaultdict(list)
    try:
        for count, entry in enumerate(document.get_toc(max_depth=MAX_OUTLINE_DEPTH)):
            if count == MAX_OUTLINE_ENTRIES:
                break
            target = entry.get_dest()
            index = None if target is None else target.get_index()
            title = clean_heading(entry.get_title() or "")
            if index is not None and title:
                found[index + 1].append(title)
    except (pypdfium2.PdfiumError, UnicodeError):
        return {}
    return found


def _parts(text: str, titles: list[str], heading: str) -> Iterator[tuple[str, str]]:
    """A page's text under its headings: each begins at the line that shows it, else where the page does."""
    lines = text.split("\n")
    start = at = 0
    for title in titles:
        shown = _line_of(title, lines, at)
        above = "\n".join(lines[start:shown])
        if shown is not None and any(map(str.isalpha, above)):  # a page's number is no end of a chapter
            yield above, heading
            start = shown
        at = start if shown is None else shown + 1
        heading = title
    yield "\n".join(lines[start:]), heading


def _line_of(title: str, lines: list[str], start: int) -> int | None:
    """The first line that holds the title, or begins it where it is broken into several; numbers before it may lack."""
    wanted = _BLANKS.sub("", title).casefold()
    for at in range(start, len(lines)):
        shown = _BLANKS.sub("", lines[at]).casefold()
        if not shown:
            continue
        whole = len(shown) <= len(wanted) + 12 and shown.endswith(wanted)
        broken = len(shown) >= 8 and wanted.startswith(shown)
        if whole or broken:
            return at
    return None
