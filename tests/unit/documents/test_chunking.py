"""Cutting into passages."""

from inkwire_documents.blocks import Block
from inkwire_documents.chunking import MAX_CHARS, MIN_CHARS, chunk

SENTENCE = "Access rights are reviewed every quarter by the owner of each system. "


def test_short_paragraphs_of_one_place_are_joined() -> None:
    """Paragraphs fill a passage up to about a thousand characters, and are not cut for it."""
    paragraph = (SENTENCE * 4).strip()
    passages = chunk([Block(paragraph, 1, "A")] * 9)
    assert [passage.text for passage in passages] == ["\n\n".join([paragraph] * 3)] * 3
    assert [passage.index for passage in passages] == [0, 1, 2]


def test_pages_and_headings_do_not_mix() -> None:
    """A new page or heading begins a new passage, however short the one before it is."""
    passages = chunk([Block("a", 1, "A"), Block("b", 1, "A"), Block("c", 1, "B"), Block("d", 2, "B")])
    assert [(p.page, p.heading, p.text) for p in passages] == [(1, "A", "a\n\nb"), (1, "B", "c"), (2, "B", "d")]


def test_a_heading_alone_goes_with_what_is_below_it() -> None:
    """A title right above another title makes no passage of its own."""
    passages = chunk([Block("Book", None, "Book"), Block("Part", None, "Part"), Block("Text.", None, "Part")])
    assert [(p.heading, p.text) for p in passages] == [("Part", "Book\n\nPart\n\nText.")]


def test_long_texts_are_cut_after_sentences() -> None:
    """A page without paragraphs falls into passages that begin and end with whole sentences, about alike in length."""
    passages = chunk([Block((SENTENCE * 60).strip(), 1)])
    assert all(p.text.endswith(".") and p.text.startswith("Access") for p in passages)
    assert all(MIN_CHARS <= len(p.text) <= MAX_CHARS for p in passages)
    assert "".join(p.text for p in passages).count("Access") == 60


def test_chinese_is_cut_after_its_own_full_stops() -> None:
    """Sentences without blanks between them are found."""
    passages = chunk([Block("访问权限由系统所有者每季度审查一次。" * 150)])
    assert len(passages) > 1
    assert all(p.text.endswith("。") and p.text.startswith("访") for p in passages)


def test_without_any_border_the_cut_is_hard_but_not_inside_a_character() -> None:
    """One endless word is cut, a letter is not parted from its accents, nor a family from its members."""
    for letter in ("e\u0301", "👩\u200d👩\u200d👧"):
        passages = chunk([Block(letter * 2_000)])
        assert all(len(p.text) <= MAX_CHARS for p in passages)
        assert {p.text.replace(letter, "") for p in passages} == {""}


def test_a_letter_with_a_thousand_accents_is_cut_all_the_same() -> None:
    """Nothing can make a passage grow without end."""
    passages = chunk([Block("e" + "\u0301" * 5_000)])
    assert all(len(p.text) <= MAX_CHARS for p in passages)
    assert sum(len(p.text) for p in passages) == 5_001


def test_a_cut_keeps_the_indentation_of_the_next_line() -> None:
    """Code stays code."""
    passages = chunk([Block("    indented(line)\n" * 200)])
    assert len(passages) > 1
    assert all(line == "    indented(line)" for p in passages for line in p.text.split("\n"))


def test_blanks_make_no_passage() -> None:
    """Only text counts."""
    assert chunk([Block(" \n\t "), Block("")]) == []
