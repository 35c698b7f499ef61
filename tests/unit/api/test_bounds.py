"""What titles and options may be."""

from typing import Any

import pytest

from inkwire_api.bounds import (
    MAX_JSON_DEPTH,
    MAX_JSON_INTEGER,
    MAX_JSON_NODES,
    MAX_JSON_STRING_CHARS,
    check_json,
    clean_title,
)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"d": value}
    return value


@pytest.mark.parametrize("title", ["a", "x" * 200, "Ünïcode 👩‍👩‍👧 שלום", "a  b", "C++ & <b>"])
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
