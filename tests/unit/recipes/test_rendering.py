"""From a model's growing answer to Markdown that only ever grows."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_recipes.blog import BLOG, BlogInputs
from inkwire_recipes.outline import OutlineRendering
from inkwire_recipes.recipe import Rendered, Renderer, UnusableOutput, Work
from inkwire_recipes.rendering import BodyRenderer, JsonRenderer, find_json, is_open, one_line

WORDS = st.text(
    st.one_of(st.sampled_from('ab "\\\n\t*#1.`😀é{}[],:'), st.characters(exclude_categories=["Cs"])), max_size=12
)
OUTLINES = st.fixed_dictionaries(
    {
        "title": WORDS,
        "description": WORDS,
        "tags": st.lists(WORDS, max_size=2),
        "sections": st.lists(
            st.fixed_dictionaries(
                {"title": WORDS, "target_words": st.integers(0, 3_000), "points": st.lists(WORDS, max_size=3)}
            ),
            max_size=4,
        ),
        "closing": WORDS,
    }
)


def play(renderer: Renderer, pieces: list[str]) -> tuple[list[str], Rendered]:
    """What the reader gets for each piece, and the end."""
    shown = [renderer.start(), *(renderer.feed(piece) for piece in pieces)]
    return shown, renderer.finish()


def cut(text: str, places: list[int]) -> list[str]:
    """The text in pieces."""
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def outline_renderer() -> Renderer:
    """The renderer of the blog's outline."""
    work = Work("A title", BlogInputs())
    return BLOG.renderer(work, BLOG.steps(work)[0])


def whole(renderer: Renderer, pieces: list[str]) -> tuple[str, dict[str, Any] | None] | None:
    """Text and data, ``None`` for an answer that cannot be used."""
    try:
        shown, end = play(renderer, pieces)
    except UnusableOutput:
        return None
    return "".join(shown) + end.text, end.data


@given(OUTLINES, st.lists(st.integers(0, 5_000), max_size=30), st.booleans(), st.sampled_from([None, 1]))
def test_an_outline_reads_the_same_however_it_is_cut(
    outline: dict[str, Any], places: list[int], ascii_only: bool, indent: int | None
) -> None:
    """Any cut of the JSON, also inside an escape or a number, shows the same Markdown as the whole at once."""
    answer = json.dumps(outline, ensure_ascii=ascii_only, indent=indent)
    assert whole(outline_renderer(), cut(answer, places)) == whole(outline_renderer(), [answer])


@given(OUTLINES)
def test_a_growing_outline_only_grows(outline: dict[str, Any]) -> None:
    """Character by character, what is shown is always the beginning of the final Markdown."""
    answer = json.dumps(outline)
    renderer = outline_renderer()
    final = OutlineRendering()(json.loads(answer), True)
    shown = ""
    for character in answer:
        shown += renderer.feed(character)
        assert final.startswith(shown)


@given(st.text(st.sampled_from("ab#* \n\t1.é😀"), max_size=60), st.lists(st.integers(0, 100), max_size=10))
def test_a_body_reads_the_same_however_it_is_cut(answer: str, places: list[int]) -> None:
    """Any cut of a plain answer gives the same text, and no white space at its edges."""

    def body() -> BodyRenderer:
        return BodyRenderer("## ab\n\n", "\n", titles=("ab",))

    found = whole(body(), cut(answer, places))
    assert found == whole(body(), [answer])
    if found is not None:
        text = found[0].removeprefix("## ab\n\n").removesuffix("\n")
        assert text == text.strip() != ""


def test_a_repeated_heading_is_dropped() -> None:
    """A model that writes the heading again, numbered or not, does not double it; other headings stay."""
    titles = ("Use queues",)
    for first in ("## Use queues\n\nText", "# 3. Use Queues:\nText", "\n\n### use queues \n\n\nText"):
        assert whole(BodyRenderer("", titles=titles), list(first)) == ("Text", None)
    assert whole(BodyRenderer("", titles=titles), ["### Other\n\nText"]) == ("### Other\n\nText", None)
    assert whole(BodyRenderer("", titles=titles), ["#hashtag"]) == ("#hashtag", None)


@pytest.mark.parametrize("answer", ["", " \n ", "## Use queues\n\n", "## Use queues"])
def test_an_empty_body_cannot_be_used(answer: str) -> None:
    """A section without a text is asked for again."""
    with pytest.raises(UnusableOutput):
        play(BodyRenderer("x", titles=("Use queues",)), [answer])


def test_text_appears_while_a_string_is_still_open() -> None:
    """The reader sees a title grow word by word, and a number only once it is complete."""
    renderer = outline_renderer()
    assert renderer.feed('{"title": "Ten ti') == "**Ten ti"
    assert renderer.feed('ps", "description": ""') == "ps**"
    assert renderer.feed(', "sections": [{"title": "One", "target_words": 12') == "\n\n1. One"
    assert renderer.feed('0, "points": ["why') == " (120 words)\n    - why"


def test_fenced_json_is_shown_as_markdown() -> None:
    """A model that wraps its JSON in a fence is understood while it streams."""
    answer = '```json\n{"title": "T", "sections": [{"title": "One"}]}\n```\n'
    assert whole(outline_renderer(), list(answer)) == whole(outline_renderer(), [answer])
    found = whole(outline_renderer(), list(answer))
    assert found is not None and found[0] == "**T**\n\n1. One\n"


def test_an_answer_that_is_no_json_is_shown_as_it_is() -> None:
    """A Markdown outline streams unchanged and is read at the end."""
    answer = "# Ten tips\n\n## One (120 words)\n- why\n\n## Two\n"
    found = whole(outline_renderer(), list(answer))
    assert found is not None and found[0] == answer
    assert found[1] is not None and [s["title"] for s in found[1]["sections"]] == ["One", "Two"]


def test_an_answer_that_contradicts_itself_cannot_be_used() -> None:
    """A key given twice with different values would change what was shown, so the answer is refused."""
    with pytest.raises(UnusableOutput):
        play(outline_renderer(), list('{"title": "A", "sections": [{"title": "One"}], "title": "B"}'))


def test_lone_surrogates_in_json_become_replacement_characters() -> None:
    """An escaped half of a character never reaches a reader."""
    found = whole(outline_renderer(), ['{"title": "a\\ud83d b", "sections": [{"title": "One"}]}'])
    assert found is not None and found[0].startswith("**a\ufffd b**")
    found[0].encode()


def test_json_is_found_between_other_words() -> None:
    """A bare object, a fenced one and one between sentences are all found; anything else is none."""
    for answer in ('{"a": 1}', 'Sure!\n```json\n{"a": 1}\n```\nDone.', 'Here it is: {"a": 1}. Good luck!'):
        assert find_json(answer) == {"a": 1}
    assert find_json("no { json } here") is None
    assert find_json("[1, 2]") is None


def test_one_line_keeps_prefixes() -> None:
    """White space collapses, length is bounded, and nothing but text is left."""
    assert one_line(" a \n\n b\tc ") == "a b c"
    assert one_line("x" * 500, 10) == "x" * 10
    assert one_line("\ud83d") == "\ufffd"


def test_open_values_are_those_at_the_edge() -> None:
    """Only the last value of something unfinished may still grow."""
    assert is_open({"a": 1, "b": 2}, "b", True)
    assert not is_open({"a": 1, "b": 2}, "a", True)
    assert not is_open({"a": 1}, "a", False)
    assert is_open([1, 2], 1, True)
    assert not is_open([1, 2], 0, True)


def test_a_long_answer_is_not_read_anew_for_every_character() -> None:
    """Work stays in proportion: an answer eight times as long is read only some times more often; nothing is lost."""

    def readings(count: int) -> int:
        seen: list[int] = []

        def render(value: Any, _complete: bool) -> str:
            seen.append(1)
            return " ".join(value.get("words", []))

        text = json.dumps({"words": ["word"] * count})
        renderer = JsonRenderer(render, json.loads)
        shown, end = play(renderer, list(text))
        assert "".join(shown) + end.text == " ".join(["word"] * count) + "\n"
        return len(seen)

    assert readings(20) > 100, "a short one is shown character by character"
    assert readings(4_000) < 2 * readings(500)
