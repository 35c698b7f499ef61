"""Passages: nothing of a text is lost or doubled, whatever it is made of; what is found keeps within its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from inkwire_contracts.documents import DocumentRef, Passage
from inkwire_documents.blocks import Block, clean
from inkwire_documents.chunking import MAX_CHARS, chunk
from inkwire_documents.kinds import kind_of
from inkwire_documents.retrieval import Material, Retriever
from inkwire_documents.words import terms

PIECES = st.sampled_from(
    ["word ", "Sentence. ", "\n", "\n\n", "    ", "语句。", "é", "e\u0301", "👩\u200d👧", "x" * 700, ","]
)
TEXTS = st.lists(PIECES, max_size=400).map("".join) | st.text(max_size=50)
BLOCKS = st.lists(
    st.builds(Block, TEXTS, st.sampled_from([None, 1, 2]), st.sampled_from(["", "A", "B", "word"])), max_size=12
)


def _solid(text: str) -> str:
    return "".join(text.split())


@given(BLOCKS)
def test_every_character_is_in_exactly_one_passage(blocks: list[Block]) -> None:
    """All passages in order are all blocks in order, blanks aside; none is empty or beyond the bound."""
    passages = chunk(blocks)
    assert _solid("".join(p.text for p in passages)) == _solid("".join(block.text for block in blocks))
    assert all(p.text.strip() and len(p.text) <= MAX_CHARS for p in passages)
    assert [p.index for p in passages] == list(range(len(passages)))


@given(BLOCKS)
def test_a_passage_is_of_one_page(blocks: list[Block]) -> None:
    """The text of each page is the text of its passages; headings only mix where one stands alone above the next."""
    passages = chunk(blocks)
    for page in (None, 1, 2):
        of_page = _solid("".join(block.text for block in blocks if block.page == page))
        assert _solid("".join(p.text for p in passages if p.page == page)) == of_page


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=200))
def test_cleaning_is_done_once_and_for_all(text: str) -> None:
    """What is clean stays as it is, and can be encoded."""
    once = clean(text)
    assert clean(once) == once
    assert once.encode().decode() == once


@given(st.text(max_size=200))
def test_terms_are_the_same_for_composed_and_decomposed_text(text: str) -> None:
    """Width, case and composition of a text do not decide what is found."""
    import unicodedata

    assert terms(unicodedata.normalize("NFD", text)) == terms(unicodedata.normalize("NFC", text))


@given(
    st.lists(st.lists(TEXTS.map(lambda text: text[:300]), max_size=6), max_size=4),
    st.text(max_size=30),
    st.integers(0, 2_000),
    st.integers(0, 10),
)
def test_what_is_found_is_in_order_and_within_its_bounds(
    documents: list[list[str]], query: str, budget_chars: int, max_found: int
) -> None:
    """Any question: real passages, each once, in order, within budget and number; the same every time."""
    materials = [
        Material(
            DocumentRef(document="a" * 26, owner="local", number=number, name="x"),
            tuple(Passage(index=index, text=text) for index, text in enumerate(texts)),
        )
        for number, texts in enumerate(documents, start=1)
    ]
    found = Retriever(materials).passages(query, budget_chars=budget_chars, max_found=max_found)
    places = [(one.document.number, one.passage.index) for one in found]
    assert places == sorted(set(places))
    assert sum(len(one.passage.text) for one in found) <= budget_chars
    assert len(found) <= max_found
    assert found == Retriever(materials).passages(query, budget_chars=budget_chars, max_found=max_found)


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["a.txt", "a.pdf", "a.docx", "a.md", "a"]))
def test_any_bytes_have_a_kind_or_a_refusal(data: bytes, name: str) -> None:
    """No beginning of a file makes its kind a fault of ours."""
    from inkwire_contracts.errors import InkwireError

    try:
        kind_of(data, name, None)
    except InkwireError as error:
        assert error.code in {"unsupported_document", "document_unreadable"}
