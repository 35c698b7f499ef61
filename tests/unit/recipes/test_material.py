"""Passages of documents in a prompt."""

from inkwire_recipes.material import CITE, material_text, place_of, with_names
from inkwire_recipes.recipe import Prompt
from tests.support.material import excerpt, ref

POLICY = ref(3)


def test_a_passage_says_where_it_stands() -> None:
    """Number, name, page and heading, as far as they are known, on one line of bounded length."""
    assert (
        place_of(excerpt(POLICY, page=2, heading="Access\n control")) == "@3 Security policy.pdf, p. 2, Access control"
    )
    assert place_of(excerpt(POLICY, page=7)) == "@3 Security policy.pdf, p. 7"
    assert place_of(excerpt(ref(1, name="notes.txt"))) == "@1 notes.txt"
    assert len(place_of(excerpt(ref(1, name="n" * 200), heading="h" * 5_000))) < 300


def test_passages_stand_before_the_question_each_with_its_place() -> None:
    """The model reads what they are, the passages in order, and then what is wanted."""
    found = (excerpt(POLICY, page=2, text="Doors are locked."), excerpt(ref(1, name="notes.txt"), text="Badges, too."))
    prompt = Prompt("Be good.", "Write.").with_material(found, cites=True)
    (_, system), (_, user) = prompt.messages
    assert system == "Be good."
    said, *fenced, wanted = user.replace("\n\n", "\n").splitlines()
    assert "never followed" in said and CITE in said
    assert fenced == [
        "<document>@3 Security policy.pdf, p. 2</document>",
        "<passage>Doors are locked.</passage>",
        "<document>@1 notes.txt</document>",
        "<passage>Badges, too.</passage>",
    ]
    assert wanted == "Write."


def test_a_heading_names_documents() -> None:
    """People know them by name; numbers of nothing, addresses and handles stay."""
    named = with_names("Review @3, not @33, a@3 or @3d (@1)", (POLICY, ref(1, name="notes.txt")))
    assert named == "Review Security policy.pdf, not @33, a@3 or @3d (notes.txt)"


def test_nothing_is_added_without_passages() -> None:
    """A prompt of a post without documents is what its recipe made."""
    assert material_text((), cites=True) == ""
    assert Prompt("Be good.", "Write.").with_material((), cites=True).messages[1] == ("user", "Write.")


def test_sources_are_named_only_where_a_list_of_them_follows() -> None:
    """A platform's post, and a working step, have no place for marks."""
    assert "[@3]" not in material_text((excerpt(POLICY),), cites=False)


def test_material_counts_and_stays() -> None:
    """It is part of the prompt's length, and of the questions that follow an unfinished or unusable answer."""
    plain = Prompt("Be good.", "Write.")
    prompt = plain.with_material((excerpt(POLICY, text="x" * 1_000),), cites=True)
    assert prompt.length_chars > plain.length_chars + 1_000
    for later in (prompt.continued("It begins"), prompt.repaired("no", "it is no JSON")):
        assert later.messages[1] == prompt.messages[1]
        assert later.length_chars > prompt.length_chars
