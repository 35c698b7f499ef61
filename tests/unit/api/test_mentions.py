"""Which words mention a document, and which do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_api.mentions import MAX_BARE_NAMES, Mention, mentions, referenced, texts_of
from inkwire_contracts.errors import InkwireError
from inkwire_stores.document_ports import DocumentView
from tests.support.documents import document_id, uploaded


def shown(text: str) -> list[str]:
    return [mention.shown for mention in mentions([text])]


def view(number: int, name: str, owner: str = "ana") -> DocumentView:
    return uploaded(number, name=name, owner=owner).view.model_copy(update={"number": number})


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("@3", ["3"]),
        ("Create security training using @1 @3", ["1", "3"]),
        ("(@1), [@2]; @3. @4! @5? “@6” @7's", ["1", "2", "3", "4", "5", "6", "7"]),
        ("see @1,@2 / @3\n@4", ["1", "2", "3", "4"]),
        ("using:@12", ["12"]),
        ('as in @"Security policy.pdf" and @“Über uns.md”', ['"Security policy.pdf"', '"Über uns.md"']),
        ("from @security-policy.pdf, @notes.md. And @README", ["security-policy.pdf", "notes.md", "README"]),
        ("使用@3写课程", ["3"]),
        ("@2 and once more @2", ["2"]),
    ],
)
def test_mentions(text: str, want: list[str]) -> None:
    """Numbers, quoted names and bare names are found wherever people put them, each once."""
    assert shown(text) == want


@pytest.mark.parametrize(
    "text",
    [
        "a@3.com",
        "write to ana.b+c@3.example",
        "müller@3.de",
        "@@3",
        "@@name",
        "\\@3",
        "@0",
        "@ 3",
        "@",
        '@""',
        '@"never closed',
        '@"over\nlines"',
        "https://example.com/@3/story",
        "@user@example.social",
        "`@3` and ``@4 ` @5``",
        "```\n@3\n@Override\n```",
        "text\n```py\n@3 is never closed",
        "@" + "x" * 201,
    ],
)
def test_no_mentions(text: str) -> None:
    """Addresses, doubled or escaped signs, code and what is no name at all mention nothing for sure."""
    assert [mention for mention in mentions([text]) if mention.sure] == []
    assert all(one in text and one not in ("user", "3.com") for one in shown(text))


@pytest.mark.parametrize("text", ["@3.5", "@3d", "@3:00", "@3-4", "@1234567890"])
def test_what_only_begins_like_a_number_is_a_bare_name(text: str) -> None:
    """It counts only if there is such a document."""
    assert [mention.sure for mention in mentions([text])] in ([False], [])


def test_a_handle_is_not_sure() -> None:
    """Somebody's handle mentions nothing, unless a document is called so."""
    found = mentions(["Ask @elonmusk about @3"])
    assert [(one.shown, one.sure) for one in found] == [("elonmusk", False), ("3", True)]
    assert referenced("ana", found[:1], []) == []
    (ref,) = referenced("ana", found[:1], [view(7, "ElonMusk")])
    assert (ref.number, ref.name, ref.owner, ref.document) == (7, "ElonMusk", "ana", document_id(7))


def test_code_between_mentions_hides_only_itself() -> None:
    """Text before, between and after code is read; a lone backtick begins no code."""
    assert shown("@1 `@2` @3 ``@4`` @5 ` @6") == ["1", "3", "5", "6"]
    assert shown("a ``` in a line @1") == ["1"]


def test_the_explicit_list_comes_first_and_takes_numbers_names_and_ids() -> None:
    """Programs name documents as they like; a text of digits is a number."""
    found = mentions(["use @1"], [5, "7", "plan.md", document_id(9)])
    assert [one.number for one in found] == [5, 7, None, None, 1]
    assert found[2] == Mention("plan.md", sure=True, name="plan.md")
    assert found[3].id == document_id(9) == found[3].name
    assert all(one.sure for one in found)


def test_a_name_that_is_bare_here_and_quoted_there_is_sure() -> None:
    """One mention that can mean nothing else makes the name one that must be there."""
    (found,) = mentions(["@Notes.md", '@"notes.md"'])
    assert found.sure


def test_too_many() -> None:
    """Twenty documents are enough for one request; the twenty-first is refused before any look-up."""
    assert len(mentions([" ".join(f"@{number}" for number in range(1, 21))])) == 20
    with pytest.raises(InkwireError) as refused:
        mentions([" ".join(f"@{number}" for number in range(1, 22))])
    assert refused.value.code == "too_many_documents" and refused.value.params == {"limit": 20}


def test_too_many_by_bare_names() -> None:
    """Bare names that all exist count too, and only so many are looked up."""
    text = " ".join(f"@name{number}" for number in range(300))
    found = mentions([text])
    assert len(found) == MAX_BARE_NAMES
    with pytest.raises(InkwireError, match="Mention at most 20"):
        referenced("ana", found, [view(number, f"name{number}") for number in range(30)])


def test_unknown_ones_are_named_as_they_were_written() -> None:
    """A number or quoted name of nothing ends the request and says which one it was."""
    for text, said in (("@99", "99"), ('@"no such.pdf"', '"no such.pdf"')):
        with pytest.raises(InkwireError) as refused:
            referenced("ana", mentions([text]), [view(1, "plan.md")])
        assert refused.value.code == "unknown_document" and refused.value.params == {"mention": said}


def test_another_owners_documents_are_never_referenced() -> None:
    """Even if a store gave them, by number, name or id."""
    others = [view(3, "plan.md", owner="ben")]
    for explicit in (3, "plan.md", document_id(3)):
        with pytest.raises(InkwireError, match="no document of that number or name"):
            referenced("ana", mentions([], [explicit]), others)


def test_of_one_name_the_exact_one_then_the_newest_is_meant() -> None:
    """A second upload of a file replaces the first in mentions by name."""
    views = [view(1, "Plan.md"), view(2, "plan.md"), view(3, "PLAN.md"), view(4, "the plan.md")]

    def number(text: str) -> int:
        return referenced("ana", mentions([text]), views)[0].number

    assert number("@Plan.md") == 1
    assert number("@pLAN.md") == 3
    assert number("@the-plan.md") == 4


def test_one_document_under_two_mentions_is_referenced_once() -> None:
    """By number and by name it is the same document, in the order of the first mention."""
    views = [view(1, "plan.md"), view(2, "notes.md")]
    found = referenced("ana", mentions(["@2 @plan.md @1 @notes.md"]), views)
    assert [ref.number for ref in found] == [2, 1]


def test_texts_of_options() -> None:
    """Every text inside is found, keys are not."""
    assert list(texts_of({"a@1": "x", "b": [1, {"c": "y"}, None], "d": True})) == ["x", "y"]


@given(st.text(alphabet='@"“”`\\. a3é写\n-_', max_size=200))
def test_no_text_is_too_odd(text: str) -> None:
    """Whatever people write, parsing ends, and every sure mention stands in the text as it is shown."""
    for mention in mentions([text]):
        assert mention.shown.strip('"') in text


def test_long_texts_take_no_time_worth_noting() -> None:
    """Sixty thousand characters of the worst kinds are parsed in linear steps."""
    for piece in ("@", "`", "@a.", '@"', "@a-", "`@1``", "```\n", "@3.", "a@"):
        assert len(mentions([piece * (60_000 // len(piece))])) <= MAX_BARE_NAMES
