"""Finding passages."""

import math
import struct
from collections.abc import Sequence

import pytest

from inkwire_contracts.documents import DocumentRef, Passage
from inkwire_documents.blocks import Block
from inkwire_documents.chunking import chunk
from inkwire_documents.retrieval import ENOUGH_FOUND, Found, Material, Retriever
from tests.support.documents import ACCESS_CONTROL, INCIDENTS, REMOTE_WORK, TRAVEL

CHINESE = (
    "员工每周最多可以在家工作三天，具体日期由团队商定。",
    "访问权限由系统所有者每季度审查一次，离职人员的账户在最后一天锁定。",
    "发现安全事件的人员应在一小时内向值班人员报告。",
    "六小时以内的旅程优先乘坐火车，酒店通过差旅部门预订。",
)
JAPANESE = (
    "社員は週に三日まで在宅で勤務できます。日程はチームで決めます。",
    "アクセス権は四半期ごとにシステムの所有者が見直し、退職者のアカウントは最終日に停止します。",
    "セキュリティ事故に気づいた人は一時間以内に当番の担当者へ報告します。",
    "六時間未満の移動では列車を優先し、ホテルは出張窓口で予約します。",
)


def _material(number: int, texts: Sequence[str], vectors: Sequence[Sequence[float]] = ()) -> Material:
    ref = DocumentRef(document=chr(96 + number) * 26, owner="local", number=number, name=f"Document {number}")
    packed = b"".join(struct.pack(f"<{len(vector)}f", *vector) for vector in vectors)
    passages = tuple(Passage(index=index, text=text) for index, text in enumerate(texts))
    return Material(ref, passages, packed, len(vectors[0]) if vectors else 0)


def _told(found: Sequence[Found]) -> list[tuple[int, int]]:
    return [(one.document.number, one.passage.index) for one in found]


@pytest.mark.parametrize(
    ("texts", "question", "index"),
    [
        ((REMOTE_WORK, ACCESS_CONTROL, INCIDENTS, TRAVEL), "How often do we review who may access a system?", 1),
        ((REMOTE_WORK, ACCESS_CONTROL, INCIDENTS, TRAVEL), "reporting incidents", 2),
        ((REMOTE_WORK, ACCESS_CONTROL, INCIDENTS, TRAVEL), "Working from home: which days?", 0),
        ((REMOTE_WORK, ACCESS_CONTROL, INCIDENTS, TRAVEL), "hotel receipt", 3),
        (CHINESE, "多久审查一次访问权限？", 1),
        (CHINESE, "安全事件报告给谁", 2),
        (JAPANESE, "在宅勤務は週に何日ですか", 0),
        (JAPANESE, "退職者のアカウントはどうなりますか", 1),
    ],
)
def test_the_passage_that_answers_is_found(texts: Sequence[str], question: str, index: int) -> None:
    """With room for one passage only, it is the right one, in other forms of the words and without blanks too."""
    found = Retriever([_material(1, texts)]).passages(question, budget_chars=300, max_found=1)
    assert _told(found) == [(1, index)]


def test_what_fits_whole_comes_whole() -> None:
    """Small documents are not cut down, whatever the question."""
    retriever = Retriever([_material(1, [TRAVEL, INCIDENTS]), _material(2, [ACCESS_CONTROL])])
    assert _told(retriever.passages("zebra", budget_chars=10_000)) == [(1, 0), (1, 1), (2, 0)]


def test_every_document_has_a_voice_while_it_fits() -> None:
    """The best passage of each mentioned document comes before second best ones of any."""
    loud = _material(1, [f"access rights review number {n} " * 5 for n in range(20)])
    quiet = _material(2, [TRAVEL, INCIDENTS])
    silent = _material(3, ["Opening words. " * 10, "Closing words. " * 10])
    found = Retriever([loud, quiet, silent]).passages("access rights review and hotels", budget_chars=1_000)
    assert {(2, 0), (3, 0)} <= set(_told(found))
    assert sum(len(one.passage.text) for one in found) <= 1_000
    assert _told(found) == sorted(_told(found))


def test_nothing_is_taken_beyond_budget_and_number() -> None:
    """A passage that does not fit is passed over for one that does; no room is no passage."""
    retriever = Retriever([_material(1, ["access " * 200, "access rights", "access " * 100])])
    assert _told(retriever.passages("access", budget_chars=50)) == [(1, 1)]
    assert retriever.passages("access", budget_chars=5) == ()
    assert len(retriever.passages("access", budget_chars=10_000, max_found=2)) == 2


def test_a_question_that_nothing_answers_gets_the_beginnings() -> None:
    """Documents in which nothing fits begin where their authors began, in turns."""
    documents = [_material(n, [f"part {p} of it " * 10 for p in range(9)]) for n in (1, 2)]
    found = Retriever(documents).passages("Zusammenfassung", budget_chars=540)
    assert _told(found) == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_words_that_stand_everywhere_do_not_fill_the_budget() -> None:
    """A question's common words bring a few passages that have nothing else of it, behind those that have."""
    texts = ["the rule of the house is the rule"] * 30 + ["the zebra is in the house"]
    retriever = Retriever([_material(1, texts)])
    found = _told(retriever.passages("Where is the zebra?", budget_chars=1_000))
    assert (1, 30) in found
    assert len(found) == ENOUGH_FOUND
    assert _told(retriever.passages("the", budget_chars=1_000, max_found=20))[19:]


def test_a_rare_word_does_not_hide_what_the_document_is_about() -> None:
    """A document's own subject stands all over it; a question about it finds more than one stray word."""
    texts = [f"security rule number {n}" for n in range(20)] + ["how to create an account"] + ["nothing"] * 5
    found = _told(Retriever([_material(1, texts)]).passages("create security training", budget_chars=300))
    assert (1, 20) in found
    assert len(found) == ENOUGH_FOUND


def test_headings_are_searched() -> None:
    """A passage answers by the heading above it."""
    blocks = [Block(f"Chapter {n}", None, f"Chapter {n}") for n in range(30)]
    blocks[7] = Block("It is every quarter.", None, "Password rotation")
    material = Material(_material(1, []).ref, tuple(chunk(blocks)))
    (found,) = Retriever([material]).passages("password", budget_chars=100, max_found=1)
    assert found.passage.text.endswith("It is every quarter.")


def test_vectors_find_what_words_do_not() -> None:
    """A passage near in meaning comes even if it shares no word, and one that both find comes first."""
    texts = ["alpha beta", "gamma", "delta", "epsilon"]
    vectors = [(0.0, 1.0), (1.0, 0.0), (math.sqrt(0.5), math.sqrt(0.5)), (-1.0, 0.0)]
    retriever = Retriever([_material(1, texts, vectors)])
    assert _told(retriever.passages("zeta", budget_chars=100, max_found=1, query_vector=(1.0, 0.0))) == [(1, 1)]
    assert _told(retriever.passages("delta", budget_chars=100, max_found=1, query_vector=(0.9, 0.1))) == [(1, 2)]


def test_vectors_of_another_length_are_as_good_as_none() -> None:
    """A document that was indexed by another model is found by its words."""
    retriever = Retriever([_material(1, ["alpha", "beta"], [(1.0, 0.0), (0.0, 1.0)])])
    assert _told(retriever.passages("beta", budget_chars=9, max_found=1, query_vector=(1.0, 0.0, 0.0))) == [(1, 1)]


def test_documents_with_and_without_vectors_are_searched_together() -> None:
    """Words count for both."""
    retriever = Retriever([_material(1, ["alpha", "beta"], [(1.0, 0.0), (0.0, 1.0)]), _material(2, ["gamma", "delta"])])
    found = retriever.passages("delta", budget_chars=100, max_found=2, query_vector=(0.0, 1.0))
    assert _told(found) == [(1, 1), (2, 1)]


def test_vectors_that_do_not_match_their_passages_are_refused() -> None:
    """A vector too few is a fault, not a shift."""
    with pytest.raises(ValueError, match="reshape"):
        Retriever([_material(1, ["alpha", "beta"], [(1.0, 0.0)])])


@pytest.mark.parametrize("texts", [[], [""], ["...", "—"]])
def test_documents_without_words_do_no_harm(texts: list[str]) -> None:
    """Nothing to search is nothing found, or what little there is."""
    retriever = Retriever([_material(1, texts), _material(2, [])])
    assert _told(retriever.passages("access", budget_chars=100)) == [(1, n) for n in range(len(texts))]
    assert retriever.passages("access", budget_chars=100, max_found=0) == ()
    assert Retriever([]).passages("access", budget_chars=100) == ()
