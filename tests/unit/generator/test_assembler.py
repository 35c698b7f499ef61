"""From a model's pieces to a section's text."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_generator.assembler import Assembler, Characters
from inkwire_generator.errors import ProviderError
from inkwire_recipes.rendering import BodyRenderer

UNITS = st.text(st.one_of(st.characters(), st.sampled_from("a😀\ud83d\ude80\udc00é\u0301")), max_size=20)


def utf16(text: str) -> bytes:
    """As UTF-16, halves of characters included."""
    return text.encode("utf-16-le", "surrogatepass")


@given(UNITS, st.data())
def test_any_cut_of_the_utf16_gives_the_same_text(text: str, data: st.DataObject) -> None:
    """Wherever a server cuts, also between the halves of a character, the text is the same and well formed."""
    units = [utf16(text)[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(utf16(text)), 2)]
    expected = utf16(text).decode("utf-16-le", "replace")
    places = sorted(data.draw(st.lists(st.integers(0, len(units)), max_size=5)))
    edges = [0, *places, len(units)]
    characters = Characters()
    pieces = [characters.feed("".join(units[a:b])) for a, b in itertools.pairwise(edges)]
    whole = "".join(pieces) + characters.end()
    whole.encode()
    assert whole.count("\ufffd") == expected.count("\ufffd")
    assert whole == expected


def test_lone_halves_become_replacement_characters() -> None:
    """A half that never finds its other half is U+FFFD, at once or at the end."""
    characters = Characters()
    assert characters.feed("a\ude80b\ud83d") == "a\ufffdb"
    assert characters.feed("c") == "\ufffdc"
    assert characters.feed("\ud83d") == ""
    assert characters.end() == "\ufffd"
    assert characters.end() == ""


def assembler(limit_bytes: int) -> Assembler:
    """A plain section with a heading."""
    return Assembler(BodyRenderer("## H\n\n", "\n"), limit_bytes)


def test_a_section_is_bounded_in_bytes() -> None:
    """A section that outgrows its bound is refused before the text is let out."""
    section = assembler(20)
    assert section.start() == "## H\n\n"
    assert section.feed("ééééé") == "ééééé"
    with pytest.raises(ProviderError) as caught:
        section.feed("ééé")
    assert (caught.value.code, caught.value.retryable) == ("section_too_long", False)


def test_white_space_alone_is_bounded_too() -> None:
    """A model that sends nothing but white space for ever is stopped."""
    section = assembler(20)
    with pytest.raises(ProviderError):
        for _ in range(50):
            section.feed(" \n")


def test_control_characters_count_as_they_stand_in_json() -> None:
    """Text that JSON makes six times longer still fits its event, or is refused."""
    section = Assembler(BodyRenderer("", ""), 128 * 1024)
    with pytest.raises(ProviderError):
        section.feed("x" + "\x01" * (40 * 1024) + "x")


def test_the_end_flushes_what_was_held() -> None:
    """A half character and our own last newline come with the end."""
    section = assembler(100)
    section.start()
    assert section.feed("text\ud83d") == "text"
    assert section.finish().text == "\ufffd\n"
