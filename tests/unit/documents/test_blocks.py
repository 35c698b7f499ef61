"""Cleaning."""

import pytest

from inkwire_documents.blocks import MAX_HEADING_CHARS, clean, clean_heading


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("a\r\nb\rc\u2028d\x0be\x0cf\x85g", "a\nb\nc\nd\ne\nf\ng"),
        ("a\0b\x1bc\x7fd\x9fe\ufefff\ufffeg", "abcdefg"),
        ("half \ud83d and whole \U0001f600", "half \ufffd and whole \U0001f600"),
        ("seen\U000e0068\U000e0069", "seen"),
        ("a  \nb\t\n\n\n\nc", "a\nb\n\nc"),
        ("\n\n  indented\n\n", "  indented"),
        ("שלום \u200fעולם 👩\u200d👩\u200d👧 e\u0301", "שלום \u200fעולם 👩\u200d👩\u200d👧 e\u0301"),
    ],
)
def test_only_what_must_go_goes(raw: str, cleaned: str) -> None:
    """Line ends become one kind; control, half and unseen characters go; scripts, joiners and marks stay."""
    assert clean(raw) == cleaned
    cleaned.encode()


def test_a_heading_is_one_line() -> None:
    """Blanks of any kind are one, and a novel is cut."""
    assert clean_heading(" a \n\t b\0 ") == "a b"
    assert len(clean_heading("word " * 100)) <= MAX_HEADING_CHARS
