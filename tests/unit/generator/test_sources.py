"""What a post was written from, noted and told."""

import pytest

from inkwire_contracts.documents import MAX_PLACES, Place, Source
from inkwire_contracts.events import PlannedData, PlannedSection
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator.sources import MAX_TOLD_PLACES, SOURCES, gathered, listed, noted, with_sources
from inkwire_recipes.blog import BLOG
from inkwire_recipes.social import SOCIAL
from tests.support.lives import POST
from tests.support.material import excerpt, ref

POLICY, NOTES = ref(3), ref(1, name="notes.txt")


def written(*sections: tuple[str, list[Source]], documents: object = (POLICY, NOTES)) -> Snapshot:
    """A post whose sections noted these sources."""
    return Snapshot.model_validate(
        {
            "post": POST,
            "documents": documents,
            "sections": [Section(section=name, status="done", sources=sources) for name, sources in sections],
        },
        from_attributes=True,
    )


def source(document: object = POLICY, *places: tuple[int | None, str], missing: bool = False) -> Source:
    """A note of a section."""
    assert document in (POLICY, NOTES)
    of = POLICY if document == POLICY else NOTES
    told = [Place(page=page, heading=heading) for page, heading in places]
    return Source(document=of.document, number=of.number, name=of.name, places=told, missing=missing)


def test_a_section_notes_its_documents_and_their_places() -> None:
    """In the order in which the author names them, places in the document's order and each once."""
    found = (
        excerpt(NOTES, 4, heading="End"),
        excerpt(POLICY, 9, page=7),
        excerpt(POLICY, 2, page=3, heading="Access\ncontrol"),
        excerpt(POLICY, 3, page=3, heading="Access control"),
    )
    assert noted((POLICY, NOTES), found, ()) == [
        source(POLICY, (3, "Access control"), (7, "")),
        source(NOTES, (None, "End")),
    ]


def test_a_document_that_is_gone_is_noted_and_one_that_says_nothing_is_not() -> None:
    """So the list at the end can tell the two apart."""
    assert noted((POLICY, NOTES), (), {POLICY.document}) == [source(POLICY, missing=True)]


def test_notes_are_bounded() -> None:
    """However many passages a prompt holds, and however long their headings are."""
    many = [excerpt(POLICY, n, page=n + 1, heading="h" * 9_000) for n in range(MAX_PLACES + 20)]
    [only] = noted((POLICY,), many, ())
    assert len(only.places) == MAX_PLACES
    assert all(len(place.heading) <= 120 for place in only.places)


def test_the_list_gathers_what_all_sections_noted() -> None:
    """Working steps too; places each once, pages in order, and never what an earlier list said."""
    post = written(
        ("outline", [source(POLICY, (7, ""))]),
        ("s0", [source(POLICY, (3, "Access control"), (7, "")), source(NOTES, (None, "A"), (None, "C"))]),
        ("s1", [source(NOTES, (None, "A"), (None, "B"), (None, "C"))]),
        (SOURCES, [source(POLICY, (99, "old"))]),
    )
    assert gathered(post) == [
        source(POLICY, (3, "Access control"), (7, "")),
        source(NOTES, (None, "A"), (None, "B"), (None, "C")),
    ]


def test_the_list_as_people_read_it() -> None:
    """Number, name, pages with their headings; documents without pages by heading; one that gave nothing says so."""
    notes = [source(POLICY, (3, "Access control"), (3, "Badges"), (7, "")), source(NOTES, (None, ""), (None, "Keys"))]
    other = ref(5, name="Other.md")
    told = listed(written(("s0", notes), documents=(POLICY, NOTES, other)), in_document=True)
    assert told.text == (
        "\n## Sources\n\n- @3 Security policy.pdf: p. 3 (Access control; Badges), p. 7\n- @1 notes.txt: Keys\n"
        "- @5 Other.md: not used\n"
    )
    assert told.data is not None and [one["number"] for one in told.data["sources"]] == [3, 1]
    assert told.data["sources"][0]["places"][2] == {"page": 7, "heading": ""}


def test_a_document_that_was_deleted_meanwhile_is_told() -> None:
    """With what was taken from it before, if anything was."""
    gone = written(("s0", [source(POLICY, missing=True)]), documents=(POLICY,))
    assert listed(gone, in_document=True).text.endswith("- @3 Security policy.pdf: no longer available\n")
    half = written(("s0", [source(POLICY, (3, ""))]), ("s1", [source(POLICY, missing=True)]), documents=(POLICY,))
    assert listed(half, in_document=True).text.endswith("- @3 Security policy.pdf: p. 3; no longer available\n")


def test_beside_the_document_it_has_no_heading() -> None:
    """There the section's own title stands above it."""
    assert listed(written(documents=(NOTES,)), in_document=False).text == "- @1 notes.txt: not used\n"


def test_very_many_places_are_not_all_told() -> None:
    """The list stays readable; the data has them all."""
    pages = [(page, "") for page in range(1, MAX_PLACES + 1)]
    told = listed(written(("s0", [source(POLICY, *pages)]), documents=(POLICY,)), in_document=True)
    assert told.text.count("p. ") == MAX_TOLD_PLACES and told.text.endswith(", …\n")
    assert told.data is not None and len(told.data["sources"][0]["places"]) == MAX_PLACES


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a_b*c`d.md", r"a\_b\*c\`d.md"),
        ("[click](http://evil.example).pdf", r"\[click\](http://evil.example).pdf"),
        ("<img src=x onerror=alert(1)>.pdf", r"\<img src=x onerror=alert(1)\>.pdf"),
        ("two\nlines\n# heading.md", "two lines # heading.md"),
        ("\u202efdp.exe", "fdp.exe"),
        ("a\\|b&amp;~.txt", r"a\\\|b\&amp;\~.txt"),
        ("Übersicht 👩‍💻.md", "Übersicht 👩‍💻.md"),
    ],
)
def test_names_are_shown_as_they_are(name: str, shown: str) -> None:
    """Markdown, HTML, line breaks and characters that turn others round in a name have no effect."""
    told = listed(written(documents=(ref(1, name=name),)), in_document=True)
    assert told.text == f"\n## Sources\n\n- @1 {shown}: not used\n"


def test_the_plan_of_a_post_with_documents_ends_with_the_list() -> None:
    """In the document, or beside it where the recipe says that a document has no room for it; else nowhere."""
    plan = PlannedData(sections=[PlannedSection(section="s0", title="One")], metadata={"a": 1})
    assert with_sources(BLOG, written(documents=()), plan) is plan
    for recipe, in_document in ((BLOG, True), (SOCIAL, False)):
        ended = with_sources(recipe, written(), plan)
        assert [section.section for section in ended.sections] == ["s0", SOURCES]
        assert ended.sections[-1].in_document is in_document and ended.metadata == {"a": 1}


def test_what_is_written_beside_the_document_comes_after_its_sources() -> None:
    """Readers need not wait for it, as for a conversation's title."""
    title = PlannedSection(section="title", title="Title", in_document=False)
    plan = PlannedData(sections=[PlannedSection(section="reply", title="Reply"), title])
    assert [section.section for section in with_sources(BLOG, written(), plan).sections] == ["reply", SOURCES, "title"]


def test_a_recipes_own_section_of_that_name_gives_way() -> None:
    """The id is ours where a post has documents, and no plan holds it twice."""
    plan = PlannedData(
        sections=[PlannedSection(section=SOURCES, title="Mine"), PlannedSection(section="s0", title="A")]
    )
    assert [section.title for section in with_sources(BLOG, written(), plan).sections] == ["A", "Sources"]
