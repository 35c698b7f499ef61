"""Markdown of a growing JSON value: at no moment is a character taken back."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inkwire_recipes.growing import Node, rendered
from inkwire_recipes.rendering import JsonRenderer

TEXT = st.text(
    st.one_of(st.sampled_from('ab "\\\n\t*#1.`😀é{}[],:'), st.characters(exclude_categories=["Cs"])), max_size=12
)
ITEM = st.fixed_dictionaries({"name": TEXT, "tags": st.lists(TEXT, max_size=3)})
VALUE = st.fixed_dictionaries(
    {"title": TEXT, "size": st.integers(-5, 10**6) | st.floats(0, 9, width=16), "items": st.lists(ITEM, max_size=3)}
)


def sheet(node: Node) -> Iterator[str]:
    """A heading, a number, and a list of lists."""
    yield from node.line("# ", "title", "\n\n")
    yield from node.line("Size ", "size", "\n\n")
    for number, item in enumerate(node.items("items"), 1):
        yield from item.line(f"{number}. ", "name", "\n")
        yield from item.lines("   - ", "tags")


def shown(raw: str) -> list[str]:
    """What a reader has after each character of an answer, and at its end."""
    renderer = JsonRenderer(lambda value, complete: rendered(sheet, value, complete), lambda _: {}, lenient=False)
    texts = [""]
    for character in raw:
        texts.append(texts[-1] + renderer.feed(character))
    return [*texts, texts[-1] + renderer.finish().text]


@given(VALUE)
def test_a_growing_value_shows_a_prefix_of_the_whole(value: dict[str, Any]) -> None:
    """After every character the text is a prefix of the last one, which is that of the whole value."""
    *growing, whole = shown(json.dumps(value, ensure_ascii=False))
    assert whole == rendered(sheet, value, True) + "\n"
    assert all(whole.startswith(text) for text in growing)


@given(VALUE)
def test_a_value_in_another_order_is_shown_all_the_same(value: dict[str, Any]) -> None:
    """Whoever answers with the last field first is shown at the end, in the order of reading."""
    backwards = dict(reversed(value.items()))
    assert shown(json.dumps(backwards))[-1] == rendered(sheet, value, True) + "\n"


def test_text_is_shown_before_its_value_is_whole() -> None:
    """A reader does not wait for the closing quote."""
    assert rendered(sheet, {"title": "Half a ti"}, False) == "# Half a ti"


def test_half_a_number_is_not_shown() -> None:
    """12 may become 0.0012: it is shown when something follows it."""
    assert rendered(sheet, {"title": "T", "size": 12}, False) == "# T"
    assert rendered(sheet, {"title": "T", "size": 12, "items": []}, False) == "# T\n\nSize 12"


def test_what_is_missing_or_of_another_kind_is_left_out() -> None:
    """Whoever renders need not be afraid of what a model left out; the form's check tells about it."""
    assert rendered(sheet, {"title": ["a"], "items": [{"name": None, "tags": "b"}, "c", {"name": "d"}]}, True) == "3. d"
