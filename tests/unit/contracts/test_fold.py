"""What the fold offers beside the vectors and the property tests."""

import hashlib

import pytest

from inkwire_contracts.events import event_from_dict
from inkwire_contracts.fold import FINAL, Outcome, Section, Snapshot, digest, document, fold_all

POST = "aaaabbbbccccddddeeeeffff22"


def test_digest_is_over_utf_8() -> None:
    """The digest is SHA-256 of the text's UTF-8 bytes, with nothing normalised."""
    assert digest("e\u0301\r\n") == hashlib.sha256(b"e\xcc\x81\r\n").hexdigest() != digest("é\n")


def test_document_joins_document_sections_only() -> None:
    """The document adds nothing between its sections and leaves working steps out."""
    sections = [Section(section=s, text=s, in_document=s != "outline") for s in ("outline", "a", "b")]
    assert document(Snapshot(post=POST, sections=sections)) == "ab"


def test_section_by_id() -> None:
    """A section is found by its id, or is none."""
    snapshot = Snapshot(post=POST, sections=[Section(section="a")])
    assert snapshot.section("a") is snapshot.sections[0]
    assert snapshot.section("b") is None


def test_set_text_counts_code_points() -> None:
    """Text and its length in code points change together."""
    section = Section(section="a")
    section.set_text("a😀")
    assert (section.text, section.length) == ("a😀", 2)


@pytest.mark.parametrize(
    ("status", "final"),
    [("queued", False), ("generating", False), ("recovering", False), ("retrying", False), ("unknown", False)]
    + [(status, True) for status in sorted(FINAL)],
)
def test_is_final(status: str, final: bool) -> None:
    """A post is final once its latest run has ended."""
    assert Snapshot.model_validate({"post": POST, "status": status}).is_final is final


def test_fold_all_stops_at_the_first_gap() -> None:
    """Folding many events stops at a gap and says so; duplicates do not stop it."""
    base = {"post": POST, "owner": "ada", "run": 1, "attempt": 0, "time": "t"}
    first = event_from_dict(
        {**base, "type": "requested", "seq": 1, "prev": 0, "data": {"title": "T", "recipe": "blog"}}
    )
    second = event_from_dict({**base, "type": "started", "seq": 2, "prev": 1})
    late = event_from_dict({**base, "type": "progress", "seq": 4, "data": {"percent": 9}})
    snapshot = Snapshot(post=POST)
    assert fold_all(snapshot, [first, first, second]) is Outcome.APPLIED
    assert fold_all(
        snapshot, [late, event_from_dict({**base, "type": "progress", "seq": 3, "data": {"percent": 1}})]
    ) is (Outcome.GAP)
    assert (snapshot.seq, snapshot.progress.percent) == (2, 0)
