"""What titles and options may be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_api.bounds import (
    MAX_JSON_DEPTH,
    MAX_JSON_INTEGER,
    MAX_JSON_NODES,
    MAX_JSON_STRING_CHARS,
    check_json,
    clean_name,
    clean_title,
)
from inkwire_api.mentions import mentions


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"d": value}
    return value


@pytest.mark.parametrize("title", ["a", "x" * 200, "Ünïcode 👩‍👩‍👧 שלום", "a  b", "C++ & <b>", "می\u200cخواهم"])
def test_titles_that_stay_as_they_are(title: str) -> None:
    """Nothing is normalised or escaped on the way in."""
    assert clean_title(title) == title


def test_blanks_around_a_title_are_dropped() -> None:
    """Of any kind."""
    assert clean_title("\u2003 \n title \t") == "title"


@pytest.mark.parametrize(
    ("title", "why"),
    [
        ("", "empty"),
        (" \t\n", "empty"),
        ("\u200b\u200d", "empty"),
        ("x" * 201, "at most 200"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("a\x1b[31mb", "control"),
        ("a\u2028b", "control"),
        ("a\ud800b", "control"),
        *((f"a{chr(code)}b", "direction") for code in (0x61C, 0x200E, 0x200F, 0x202A, 0x202E, 0x2066, 0x2069)),
    ],
)
def test_titles_that_are_refused(title: str, why: str) -> None:
    """The message says why."""
    with pytest.raises(ValueError, match=why):
        clean_title(title)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [1, 2.5, True, None, "ü"]},
        nested(MAX_JSON_DEPTH),
        {"n": MAX_JSON_INTEGER},
        {"s": "x" * MAX_JSON_STRING_CHARS},
    ],
)
def test_json_within_the_bounds(value: dict[str, Any]) -> None:
    """It is given back as it is."""
    assert check_json(value) is value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (nested(MAX_JSON_DEPTH + 1), "nested"),
        ({"a": [0] * MAX_JSON_NODES}, "values"),
        ({"s": "x" * (MAX_JSON_STRING_CHARS + 1)}, "characters"),
        ({"a": float("nan")}, "finite"),
        ({"a": [float("inf")]}, "finite"),
        ({"a": MAX_JSON_INTEGER + 1}, "53"),
        ({"a": "\udc00"}, "surrogates"),
        ({"\udc00": 1}, "surrogates"),
    ],
)
def test_json_beyond_the_bounds(value: dict[str, Any], why: str) -> None:
    """The message names the bound."""
    with pytest.raises(ValueError, match=why):
        check_json(value)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Security policy.pdf", "Security policy.pdf"),
        ("C:\\Users\\ana\\plan.md", "plan.md"),
        ("../../etc/passwd", "passwd"),
        ('Das "Büro" `neu`.docx', "Das 'Büro' 'neu'.docx"),
        ("two\r\nlines\x00.txt", "two lines.txt"),
        ("Re\u0301sume\u0301.txt", "R\u00e9sum\u00e9.txt"),
        ("exe\u202etxt.pdf", "exe txt.pdf"),
        ("\ud800.txt", "txt"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("x" * 300, "x" * 200),
        ("@3", "3"),
        (".gitignore", "gitignore"),
        ("", "document"),
        (" . / . ", "document"),
        ("报告.pdf", "报告.pdf"),
    ],
)
def test_names_of_files(name: str, shown: str) -> None:
    """Whatever a file is called, its document has a name of one line that people can read and quote."""
    assert clean_name(name) == shown


@given(st.text(max_size=300))
def test_every_name_can_be_mentioned(name: str) -> None:
    """A quoted mention of a document's name means that document, and the name stays as it is when cleaned again."""
    shown = clean_name(name)
    (mention,) = mentions([f'Use @"{shown}", please.'])
    assert mention.sure and mention.name == shown
    assert 1 <= len(shown) <= 200 and clean_name(shown) == shown
    shown.encode()
