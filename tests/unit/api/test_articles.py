"""A finished post as a document: what is counted, front matter that YAML reads, JSON that holds everything."""

import hashlib
import json
from typing import Any

import pytest
import yaml

from inkwire_api.articles import Article, article, as_json, as_markdown, reading_time_minutes, word_count
from inkwire_contracts.documents import DocumentRef, Place, Source
from inkwire_contracts.fold import Section, Snapshot, digest
from inkwire_contracts.ids import idempotent_post_id

POST = idempotent_post_id("ana", "post")
OTHER = idempotent_post_id("ana", "document")
TEXT = "# Naïve 🗄️\n\n---\n\nThree more words.\n"
HOSTILE = 'A: "b" \\ {c} [d] # e \u2028 \u0085 \x7f \ufeff \u202e - 🗄️ %TAG'


def found(text: str = TEXT, **fields: Any) -> Article:
    sections = [
        Section(section="outline", in_document=False, target_words=200, text="1. a", length=4, data={"sections": []}),
        Section(section="s1", title="One", target_words=90, text=text, length=len(text), status="done"),
    ]
    metadata = {"title": "T", "description": "D", "tags": ["a", "b"]}
    known: dict[str, Any] = {
        "owner": "ana",
        "recipe": "blog",
        "title": "asked",
        "status": "published",
        "metadata": metadata,
    }
    known |= {"sections": sections, "updated_at": "2026-01-02T03:04:05.678Z"}
    return article(Snapshot(post=POST, **{**known, **fields}))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("", 0),
        ("word", 1),
        ("word " * 230, 1),
        ("word " * 231, 2),
        ("字" * 400, 1),
        ("字" * 401, 2),
        ("語 " * 4_000, 10),
    ],
)
def test_reading_time_is_counted_from_the_text(text: str, minutes: int) -> None:
    """Whole minutes, rounded up; scripts without blanks are counted by signs."""
    assert reading_time_minutes(text) == minutes


def test_what_is_known_of_an_article() -> None:
    """Words are those of the document alone, and so are the target words."""
    facts = found().facts()
    assert facts == {
        "title": "T",
        "description": "D",
        "tags": ["a", "b"],
        "date": "2026-01-02T03:04:05.678Z",
        "status": "published",
        "words": 7,
        "target_words": 90,
        "reading_time_minutes": 1,
        "sha256": digest(TEXT),
    }
    assert facts["words"] == word_count(TEXT)


@pytest.mark.parametrize("metadata", [{}, {"title": 7, "description": None, "tags": "a"}, {"tags": [1, None, ""]}])
def test_a_recipe_without_metadata_has_the_requests_title(metadata: dict[str, Any]) -> None:
    """Nothing is guessed, and nothing of another type is shown."""
    bare = found(metadata=metadata)
    assert (bare.title, bare.description, bare.tags) == ("asked", "", ())


def test_front_matter_is_yaml_and_the_rest_is_the_text() -> None:
    """Whatever the title holds; the digest is that of the bytes after the front matter."""
    for title in ("T", HOSTILE, "---", "yes", "\n- x"):
        whole = as_markdown(found(metadata={"title": title, "description": HOSTILE, "tags": ["a: b", "- c"]}))
        head, body = whole.removeprefix(b"---\n").split(b"---\n\n", 1)
        front = yaml.safe_load(head)
        assert front["title"] == " ".join(title.split())
        assert front["tags"] == ["a: b", "- c"]
        assert front["description"] == " ".join(HOSTILE.split())
        assert (front["words"], front["target_words"], front["reading_time_minutes"]) == (7, 90, 1)
        assert front["date"].year == 2026
        assert body == TEXT.encode()
        assert front["sha256"] == hashlib.sha256(body).hexdigest()


def test_json_holds_everything() -> None:
    """Facts, options, metadata as they are, working steps with their data, and the text."""
    whole = json.loads(as_json(found(options={"tone": "dry"})))
    assert whole["id"] == POST and whole["recipe"] == "blog" and whole["options"] == {"tone": "dry"}
    assert {name: whole[name] for name in found().facts()} == found().facts()
    assert whole["markdown"] == TEXT
    assert [(s["section"], s["in_document"], s["target_words"], s["words"]) for s in whole["sections"]] == [
        ("outline", False, 200, 2),
        ("s1", True, 90, 7),
    ]
    assert whole["sections"][0]["data"] == {"sections": []}


def test_json_names_the_documents_and_the_places_used() -> None:
    """As they were mentioned and noted; nobody's name but the document's is told."""
    source = Source(document=OTHER, number=3, name="policy.pdf", places=[Place(page=2, heading="Doors")])
    sections = [Section(section="s1", text=TEXT, length=len(TEXT), status="done", sources=[source])]
    ref = DocumentRef(document=OTHER, owner="ana", number=3, name="policy.pdf")
    whole = json.loads(as_json(found(documents=[ref], sections=sections)))
    assert whole["documents"] == [{"document": OTHER, "number": 3, "name": "policy.pdf"}]
    assert whole["sections"][0]["sources"] == [source.model_dump()]
    assert "ana" not in json.dumps(whole)
