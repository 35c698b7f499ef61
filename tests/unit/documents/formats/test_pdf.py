"""PDF: pages, outlines, and files that are not what they should be."""

import pytest

from inkwire_documents.formats.pdf import read_pdf
from inkwire_documents.formats.reading import TooManyPagesError, UnreadableError
from inkwire_documents.limits import DEFAULT_LIMITS, Limits
from tests.support.documents import (
    ACCESS_CONTROL,
    REMOTE_WORK,
    blank_pdf,
    blocks_of,
    chinese_pdf,
    pdf,
    pdf_of_content,
    raw_pdf,
)


def _words(text: str) -> str:
    return " ".join(text.split())


def test_pages_keep_their_numbers_and_their_text() -> None:
    """Each page's text comes whole, under the page's number."""
    first, second = blocks_of(read_pdf, pdf([REMOTE_WORK, ACCESS_CONTROL]))
    assert (first.page, second.page) == (1, 2)
    assert (_words(first.text), _words(second.text)) == (REMOTE_WORK, ACCESS_CONTROL)


def test_an_outline_gives_headings() -> None:
    """A heading begins at the line that shows it, in the middle of a page too, and goes on to the pages below."""
    pages = ["Handbook\nOpening words", f"The end of it\n2.1 Access control\n{ACCESS_CONTROL}", "Goes on"]
    blocks = blocks_of(read_pdf, pdf(pages, {1: "Handbook", 2: "Access control"}))
    assert [(b.page, b.heading, b.text.split("\n")[0]) for b in blocks] == [
        (1, "Handbook", "Handbook"),
        (2, "Handbook", "The end of it"),
        (2, "Access control", "2.1 Access control"),
        (3, "Access control", "Goes on"),
    ]


def test_a_heading_that_no_line_shows_holds_for_its_whole_page() -> None:
    """An outline in other words than the page's is used all the same."""
    (block,) = blocks_of(read_pdf, pdf(["Nothing alike"], {1: "Chapter one"}))
    assert (block.heading, block.text) == ("Chapter one", "Nothing alike")


def test_a_pages_number_is_no_chapters_end() -> None:
    """Figures above a page's first heading are not left alone under the heading before it."""
    blocks = blocks_of(read_pdf, pdf(["One\ntext", "- 2 -\nTwo\nmore"], {1: "One", 2: "Two"}))
    assert [(b.heading, b.text.split("\n")[0]) for b in blocks] == [("One", "One"), ("Two", "- 2 -")]


def test_chinese_in_a_font_that_is_not_embedded() -> None:
    """Text by a predefined character map is read."""
    (block,) = blocks_of(read_pdf, chinese_pdf("访问控制每季度检查一次。"))
    assert block.text == "访问控制每季度检查一次。"


def test_a_word_broken_at_a_lines_end_is_whole_again() -> None:
    """A hyphen that only the line's end made goes, and so does the line's end."""
    content = b"BT /F1 12 Tf 50 700 Td (A broken agree-) Tj 0 -14 Td (ment is one word) Tj ET"
    (block,) = blocks_of(read_pdf, pdf_of_content(content))
    assert block.text == "A broken agreement is one word"


def test_a_password_for_changes_only_does_not_keep_readers_out() -> None:
    """Files that anyone may open but not change are read."""
    (block,) = blocks_of(read_pdf, pdf([REMOTE_WORK], password=""))
    assert _words(block.text) == REMOTE_WORK


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (pdf([REMOTE_WORK], password="secret"), "It is locked with a password."),
        (pdf([REMOTE_WORK] * 5)[:-2_000], "Its end is missing."),
        (b"%PDF-1.7\nnothing of the kind\n%%EOF", "It is damaged, or no PDF."),
    ],
)
def test_files_that_cannot_be_read_say_why(data: bytes, detail: str) -> None:
    """Locked, cut off or damaged: a sentence says which."""
    with pytest.raises(UnreadableError, match=detail):
        blocks_of(read_pdf, data)


def test_a_page_tree_without_an_end_ends() -> None:
    """A page tree that holds itself is no reason to go round in it."""
    looped = raw_pdf([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9>>"])
    with pytest.raises(UnreadableError):
        blocks_of(read_pdf, looped)


def test_too_many_pages_are_refused_before_any_is_read() -> None:
    """The bound counts pages, blank ones too."""
    assert read_pdf(blank_pdf(3), Limits(max_pages=3), lambda done, total: None).pages == 3
    with pytest.raises(TooManyPagesError):
        read_pdf(blank_pdf(4), Limits(max_pages=3), lambda done, total: None)


def test_progress_counts_pages() -> None:
    """Every page is reported, and the end."""
    told: list[tuple[int, int]] = []
    list(read_pdf(pdf(["a", "b"]), DEFAULT_LIMITS, lambda done, total: told.append((done, total))).blocks)
    assert told == [(0, 2), (1, 2), (2, 2)]
