"""The fold over random lives of a post: any way of reading the log tells the same post, or reports a gap."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwire_contracts.events import ChunkProduced, Event, encode_event, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold, fold_all
from tests.support.lives import POST, Life, lives, merge
from tests.support.node import STATIC, run_node

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
CASES = settings(deadline=None, max_examples=150)


def _fold_all(events: list[Event]) -> Snapshot:
    snapshot = Snapshot(post=POST)
    assert fold_all(snapshot, events) is Outcome.APPLIED
    return snapshot


def _history(life: Life) -> list[Snapshot]:
    """The post after each event of the whole log, from none to all."""
    snapshot = Snapshot(post=POST)
    history = [snapshot.model_copy(deep=True)]
    for event in life.events:
        assert fold(snapshot, event) is Outcome.APPLIED, event
        history.append(snapshot.model_copy(deep=True))
    return history


def _content(snapshot: Snapshot) -> dict[str, Any]:
    """What key events alone must tell too: everything but the place and time of the last event, and the progress."""
    return snapshot.model_dump(exclude={"seq", "attempt", "updated_at", "progress"})


def _losses(data: st.DataObject, life: Life) -> set[int]:
    """Numbers of events to lose: any, or few chunks only, whose loss is the hardest to see."""
    chunks = [event.seq for event in life.events if isinstance(event, ChunkProduced)]
    some = st.sets(st.integers(1, len(life.events)))
    return data.draw(some | st.sets(st.sampled_from(chunks), max_size=2) if chunks else some)


def _assert_never_wrong(snapshot: Snapshot, history: list[Snapshot]) -> None:
    """The snapshot agrees with the whole log at its own place; an open section may know less, never other text."""
    whole = history[snapshot.seq]
    assert [(s.section, s.status) for s in snapshot.sections] == [(s.section, s.status) for s in whole.sections]
    for mine, theirs in zip(snapshot.sections, whole.sections, strict=True):
        assert mine.length == len(mine.text)
        if mine.section == whole.open_section and whole.status == "generating":
            assert theirs.text.startswith(mine.text)
        else:
            assert mine.text == theirs.text


@CASES
@given(lives())
def test_whole_log(life: Life) -> None:
    """After each event the whole log folds to the text its writer wrote; a published post's digest proves it."""
    history = _history(life)
    assert [document(snapshot) for snapshot in history] == life.documents
    snapshot = history[-1]
    assert snapshot.seq == len(life.events)
    if life.status == "published":
        assert snapshot.sha256 == digest(life.document)
    if life.status not in {"active", "unknown"}:
        assert snapshot.status == life.status


@CASES
@given(lives())
def test_key_events_alone(life: Life) -> None:
    """Key events alone fold to the same post once no text is left to chunks alone, and never to another one."""
    keys = _fold_all(life.key_events)
    whole = _fold_all(life.events)
    _assert_never_wrong(keys, _history(life))
    if life.is_closed:
        assert _content(keys) == _content(whole)
        assert document(keys) == life.document


@CASES
@given(lives())
def test_the_account(life: Life) -> None:
    """Over any retries, take-overs, ends and further runs, what was paid is what was told, and is kept or wasted."""
    for snapshot in (_fold_all(life.events), _fold_all(life.key_events)):
        spent, run_spent = snapshot.spent, snapshot.run_spent
        for direction in ("in", "out"):
            paid, kept = (_tokens(told, direction) for told in (life.paid, [*life.standing.values()]))
            assert getattr(spent, f"tokens_{direction}") == paid
            assert getattr(spent, f"wasted_{direction}") == paid - kept
            assert getattr(run_spent, f"tokens_{direction}") == _tokens(life.paid_in_run, direction)
            assert getattr(run_spent, f"wasted_{direction}") <= getattr(run_spent, f"tokens_{direction}")
        estimated = [told for told in life.paid if told["source"] == "estimated"]
        assert spent.tokens_estimated == _tokens(estimated, "in") + _tokens(estimated, "out")
        assert (spent.cost_usd, run_spent.cost_usd) == (_cost(life.paid), _cost(life.paid_in_run))
        assert spent.retries == life.retries


def _tokens(told: Sequence[dict[str, Any] | None], direction: str) -> int:
    return sum(usage[f"tokens_{direction}"] for usage in told if usage is not None)


def _cost(told: Sequence[dict[str, Any]]) -> float | None:
    """The sum, unless something was paid for without a known price."""
    priced = [usage.get("cost_usd") for usage in told if usage["tokens_in"] + usage["tokens_out"]]
    return None if None in priced else sum(cost for cost in priced if cost is not None)


@CASES
@given(lives(), st.data())
def test_cut_and_resume(life: Life, data: st.DataObject) -> None:
    """A reader that stores its snapshot, goes away and reads again from anywhere before it ends the same."""
    cut = data.draw(st.integers(0, len(life.events)))
    snapshot = _fold_all(life.events[:cut]) if cut else Snapshot(post=POST)
    stored = Snapshot.model_validate_json(snapshot.model_dump_json())
    again = data.draw(st.integers(0, cut))
    outcomes = [fold(stored, event) for event in life.events[again:]]
    assert outcomes == [Outcome.DUPLICATE] * (cut - again) + [Outcome.APPLIED] * (len(life.events) - cut)
    assert stored == _fold_all(life.events)


@CASES
@given(lives(), st.data())
def test_duplicates(life: Life, data: st.DataObject) -> None:
    """Events that come again, once or often, soon or late, change nothing."""
    snapshot = Snapshot(post=POST)
    for n, event in enumerate(life.events):
        assert fold(snapshot, event) is Outcome.APPLIED
        for old in data.draw(st.lists(st.integers(0, n), max_size=3)):
            assert fold(snapshot, life.events[old]) is Outcome.DUPLICATE
    assert snapshot == _fold_all(life.events)


@CASES
@given(lives(), st.data())
def test_merged_chunks(life: Life, data: st.DataObject) -> None:
    """Chunks merged in any way, overlapping with what the reader has or not, fold to the same post."""
    snapshot = Snapshot(post=POST)
    history = _history(life)
    index = 0
    while index < len(life.events):
        run = _run_of_chunks(life.events, index)
        if run:
            take = data.draw(st.integers(1, len(run)))
            back = data.draw(st.integers(0, _chunks_before(life.events, index)))
            outcome = fold(snapshot, merge(_run_of_chunks(life.events, index - back)[: back + take]))
        else:
            take, outcome = 1, fold(snapshot, life.events[index])
        assert outcome is Outcome.APPLIED
        index += take
        assert snapshot == history[index]


def _run_of_chunks(events: list[Event], index: int) -> list[ChunkProduced]:
    run: list[ChunkProduced] = []
    for event in events[index:]:
        if not isinstance(event, ChunkProduced):
            break
        run.append(event)
    return run


def _chunks_before(events: list[Event], index: int) -> int:
    count = 0
    while index - count > 0 and isinstance(events[index - count - 1], ChunkProduced):
        count += 1
    return count


@CASES
@given(lives(), st.data())
def test_dropped_events(life: Life, data: st.DataObject) -> None:
    """Whatever is lost, the text is never wrong; either a gap is reported or the same post comes out."""
    dropped = _losses(data, life)
    events = [event for event in life.events if event.seq not in dropped]
    history = _history(life)
    snapshot = Snapshot(post=POST)
    outcomes = []
    for event in events:
        outcomes.append(fold(snapshot, event))
        _assert_never_wrong(snapshot, history)
    assert set(outcomes) <= {Outcome.APPLIED, Outcome.GAP}
    complete = Outcome.GAP not in outcomes and events and events[-1].seq == len(life.events)
    if complete and life.is_closed:
        assert _content(snapshot) == _content(history[-1])


@CASES
@given(lives(), st.data())
def test_gap_is_healed_by_reading_again(life: Life, data: st.DataObject) -> None:
    """A reader that meets a gap and reads the log again from the place it stands at ends with the same post."""
    dropped = _losses(data, life)
    snapshot = Snapshot(post=POST)
    for event in life.events:
        if event.seq not in dropped and fold(snapshot, event) is Outcome.GAP:
            snapshot = _read_again(snapshot, life.events[: event.seq])
    snapshot = _read_again(snapshot, life.events)
    _assert_never_wrong(snapshot, _history(life))
    if life.is_closed:
        assert _content(snapshot) == _content(_fold_all(life.events))


def _read_again(snapshot: Snapshot, log: list[Event]) -> Snapshot:
    """From the place the reader stands at; from the start where that place lies past a hole inside a section."""
    return snapshot if fold_all(snapshot, log[snapshot.seq :]) is Outcome.APPLIED else _fold_all(log)


@CASES
@given(lives(), st.randoms(use_true_random=False))
def test_reordered_events(life: Life, random: Any) -> None:
    """Events in any order: what applies is right, what does not is a gap or a duplicate."""
    events = [*life.events, *life.events]
    random.shuffle(events)
    history = _history(life)
    snapshot = Snapshot(post=POST)
    for event in events:
        assert fold(snapshot, event) in {Outcome.APPLIED, Outcome.GAP, Outcome.DUPLICATE}
        _assert_never_wrong(snapshot, history)


@CASES
@given(lives())
def test_encoding_keeps_every_event(life: Life) -> None:
    """An event read back from its own bytes is the same event."""
    for event in life.events:
        assert parse_event(encode_event(event)) == event


def test_page_fold_agrees() -> None:
    """The page's fold.js answers random lives, whole and with losses, as the Python fold does."""
    cases: list[tuple[list[Event], list[str], Snapshot]] = []

    @settings(deadline=None, max_examples=200, database=None)
    @given(lives(), st.data())
    def collect(life: Life, data: st.DataObject) -> None:
        dropped = _losses(data, life)
        events = [event for event in life.events if event.seq not in dropped]
        snapshot = Snapshot(post=POST)
        cases.append((events, [str(fold(snapshot, event)) for event in events], snapshot))

    collect()
    lines = [
        json.dumps({"post": POST, "events": [json.loads(encode_event(e)) for e in events]}) for events, *_ in cases
    ]
    driver = Path(__file__).parents[1] / "contract" / "fold_vectors.mjs"
    answers = run_node(driver, STATIC / "fold.js", stdin="\n".join(lines)).strip().split("\n")
    for (_, outcomes, snapshot), line in zip(cases, answers, strict=True):
        answer = json.loads(line)
        assert answer["outcomes"] == outcomes
        assert answer["snapshot"] == snapshot.model_dump(mode="json")
        assert (answer["document"], answer["touched"]) == (document(snapshot), [])
