"""Outlines as people write them: JSON as it is, Markdown with what it says, and what is neither."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from inkwire.exits import CommandError
from inkwire.reviewing import MAX_OUTLINE_BYTES, parse, read

KNOWN: dict[str, Any] = {
    "title": "T",
    "description": "D",
    "tags": ["a"],
    "sections": [{"title": "Old", "target_words": 90, "points": []}],
    "closing": "Summary",
}


def test_json_is_taken_as_it_is() -> None:
    """Also what does not fit: the API says where."""
    assert parse('{"sections": [], "titel": 1}', KNOWN) == {"sections": [], "titel": 1}


def test_markdown_changes_what_it_says() -> None:
    """Title, sections, lengths and points; what it cannot say stays as it was."""
    changed = parse("# New\n\n## One (80 words)\n- a\n\n## Two\n", KNOWN)
    assert changed == {
        **KNOWN,
        "title": "New",
        "sections": [
            {"title": "One", "target_words": 80, "points": ["a"]},
            {"title": "Two", "target_words": 0, "points": []},
        ],
    }


@pytest.mark.parametrize(("text", "word"), [("", "no section"), ("just words", "no section"), ('{"title": ', "JSON")])
def test_what_is_no_outline_is_told(text: str, word: str) -> None:
    """Before anything is sent."""
    with pytest.raises(CommandError, match=word):
        parse(text, KNOWN)


def test_an_outline_is_read_from_a_file_or_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to what the API takes, and only text."""
    path = tmp_path / "outline.md"
    path.write_text("# Für dich\n", encoding="utf-8")
    assert read(str(path)) == "# Für dich\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"# in")))
    assert read("-") == "# in"
    for raw, word in ((b"\xff", "UTF-8"), (b"x" * (MAX_OUTLINE_BYTES + 1), "at most")):
        path.write_bytes(raw)
        with pytest.raises(CommandError, match=word):
            read(str(path))
    with pytest.raises(CommandError, match="No such file"):
        read(str(tmp_path / "nowhere"))
