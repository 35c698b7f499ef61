"""A first reader's join by a part of the log, and by many events at a time, against the whole log event by event."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwire_chassis.lifecycle import spawn
from inkwire_contracts import subjects
from inkwire_contracts.events import TERMINAL_TYPES, Event, encode_event, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, document, fold
from inkwire_gateway.adapters.history import LogHistory
from inkwire_gateway.backlog import Backlog, Stored
from inkwire_gateway.live_post import Loaded, entry_of
from inkwire_gateway.ports import Damaged
from inkwire_stores.ports import StoredPost
from tests.support.lives import POST, Life, lives
from tests.support.memory_store import MemoryStore
from tests.support.memory_stream import EPOCH, MemoryStream, Turns
from tests.unit.gateway.builders import Script

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
CASES = settings(deadline=None, max_examples=150)
FEW = settings(deadline=None, max_examples=100)
OTHER = "zzzzbbbbccccddddeeeeffff22"
OWNER = "ada"


def _stored(events: Sequence[Event]) -> list[Stored]:
    return [(encode_event(event), 10 * number) for number, event in enumerate(events, 1)]


def _one_by_one(stored: Sequence[Stored]) -> tuple[Outcome, Snapshot]:
    """What the fold says, event by event, up to the first that does not follow."""
    snapshot = Snapshot(post=POST)
    for raw, _ in stored:
        try:
            outcome = fold(snapshot, parse_event(raw))
        except (ValueError, TypeError):
            return Outcome.INVALID, snapshot
        if outcome in (Outcome.GAP, Outcome.INVALID):
            return outcome, snapshot
    return Outcome.APPLIED, snapshot


def _at_once(stored: Sequence[Stored], keep: int, slices: int) -> tuple[Outcome, Backlog]:
    """The same by a backlog, so many events in one go."""
    backlog = Backlog(Snapshot(post=POST), keep=keep)
    for at in range(0, len(stored), slices):
        try:
            outcome = backlog.take(stored[at : at + slices])
        except (ValueError, TypeError):
            outcome = Outcome.INVALID
        if outcome is not Outcome.APPLIED:
            return outcome, backlog
    return Outcome.APPLIED, backlog


@CASES
@given(lives(), st.integers(1, 40), st.integers(1, 40))
def test_many_at_a_time(life: Life, keep: int, slices: int) -> None:
    """A backlog folds to what its events fold to one by one, and keeps the newest as they are."""
    stored = _stored(life.events)
    outcome, backlog = _at_once(stored, keep, slices)
    assert outcome is Outcome.APPLIED
    assert backlog.snapshot == _one_by_one(stored)[1]
    kept = life.events[-keep:]
    assert list(backlog.recent) == [entry_of(e, encode_event(e)) for e in kept]
    assert backlog.stream_seq == stored[-1][1]


@CASES
@given(lives(), st.data())
def test_what_is_damaged_is_seen(life: Life, data: st.DataObject) -> None:
    """Whatever is lost, doubled, swapped or falsified in the log: a backlog folds it exactly if the fold does."""
    stored = _stored(life.events)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(stored) - 1))
        kind = data.draw(
            st.sampled_from(["lose", "double", "swap", "longer", "moved", "attempt", "post", "time", "broken"])
        )
        _damage(stored, at, kind)
        if not stored:
            return
    outcome, backlog = _at_once(stored, data.draw(st.integers(1, 10)), data.draw(st.integers(1, 40)))
    expected, snapshot = _one_by_one(stored)
    assert (outcome is Outcome.APPLIED) == (expected is Outcome.APPLIED)
    if outcome is Outcome.APPLIED:
        assert backlog.snapshot == snapshot
        assert [e.seq for e in backlog.recent] == list(range(snapshot.seq + 1 - len(backlog.recent), snapshot.seq + 1))
        by_seq = {entry.seq: entry for entry in (entry_of(parse_event(raw), raw) for raw, _ in reversed(stored))}
        assert list(backlog.recent) == [by_seq[entry.seq] for entry in backlog.recent]


def _damage(stored: list[Stored], at: int, kind: str) -> None:
    raw, place = stored[at]
    if kind == "lose":
        del stored[at]
    elif kind == "double":
        stored.append((raw, stored[-1][1] + 1))
    elif kind == "swap":
        other = (at + 1) % len(stored)
        stored[at], stored[other] = stored[other], stored[at]
    elif kind == "longer":
        stored[at] = raw.replace(b'"text":"', b'"text":"x', 1), place
    elif kind == "moved":
        stored[at] = raw.replace(b'"start":', b'"start":1', 1), place
    elif kind == "attempt":
        stored[at] = raw.replace(b'"attempt":', b'"attempt":1', 1), place
    elif kind == "post":
        stored[at] = raw.replace(POST.encode(), OTHER.encode(), 1), place
    elif kind == "section":
        stored[at] = raw.replace(b'"section":"', b'"section":"x', 1), place
    elif kind == "time":
        stored[at] = raw.replace(b'"time":"', b'"time":1,"then":"', 1), place
    elif kind == "broken":
        stored[at] = raw[:-2], place


# -- the log and the store as a reader's gateway finds them ------------------------------------------------------------


def _in_stream(stream: MemoryStream, event: Event, *, beside: bool) -> None:
    stream.store(subjects.post_event(OWNER, POST, event.type), encode_event(event), {})
    if beside:
        stream.store(subjects.post_event(OWNER, OTHER, "chunk"), b"{}", {})


def _document(life: Life, count: int, **how: Any) -> StoredPost:
    """What a persister stores after so many key events."""
    snapshot = Snapshot(post=POST)
    keys = life.key_events[:count]
    for event in keys:
        assert fold(snapshot, event) is Outcome.APPLIED
    text = document(snapshot) if snapshot.is_final else None
    return StoredPost(snapshot, **{"stream_seq": 2 * keys[-1].seq - 1, "epoch": EPOCH, "markdown": text, **how})


def _joined(
    stream: MemoryStream, turns: Turns, store: MemoryStore, recent: int, late: Sequence[Event]
) -> Loaded | None:
    """A load, while the rest of the log is written."""

    async def play() -> Loaded | None:
        async def write() -> None:
            for event in late:
                await turns.turn()
                _in_stream(stream, event, beside=True)

        history = LogHistory(stream.log(turns.draw), store, recent_events=recent)
        loading = spawn("load", history.load(OWNER, POST))
        await turns.play(loading, spawn("write", write()))
        return loading.result()

    with patch("inkwire_gateway.adapters.history.RETRY_S", 0.0):  # a damaged log is read ten times
        return asyncio.run(play())


@FEW
@given(lives(), st.data())
def test_join_by_a_part_of_the_log(life: Life, data: st.DataObject) -> None:
    """Whatever the store has, and while more is written: a reader begins with what the whole log tells up to there."""
    turns = Turns(random.Random(data.draw(st.integers(0, 1_000))))
    stream, store = MemoryStream(turns), MemoryStore()
    written = data.draw(st.integers(1, len(life.events)))
    for event in life.events[:written]:
        _in_stream(stream, event, beside=True)
    keys = [event for event in life.events[:written] if event in life.key_events]
    how = data.draw(st.sampled_from([{}, {"epoch": "another"}, {"corrupt": True}, None]))
    if how is not None:
        stored = _document(life, data.draw(st.integers(1, len(keys))), **how)
        asyncio.run(store.put(stored, expected_seq=0))
    recent = data.draw(st.integers(1, 12))
    loaded = _joined(stream, turns, store, recent, life.events[written:])
    assert loaded is not None and loaded.snapshot.seq >= written
    _, whole = _one_by_one(_stored(life.events[: loaded.snapshot.seq]))
    if whole.status == "deleted":
        assert loaded.snapshot.status == "deleted"
        return
    if loaded.recent:
        assert loaded.snapshot == whole
        first = loaded.snapshot.seq - len(loaded.recent)
        assert list(loaded.recent) == [entry_of(e, encode_event(e)) for e in life.events[first : loaded.snapshot.seq]]
        assert len(loaded.recent) == min(recent, loaded.snapshot.seq)
        assert loaded.stream_seq == 2 * loaded.snapshot.seq - 1
    else:  # from the store, which only a run's end allows
        assert whole.status in TERMINAL_TYPES and how == {}
        assert document(loaded.snapshot) == document(whole)


@FEW
@given(lives(), st.data())
def test_a_hole_is_never_joined_over(life: Life, data: st.DataObject) -> None:
    """Where a key event is lost, or a chunk of the open section, no text is shown that the whole log does not tell."""
    turns = Turns(random.Random(data.draw(st.integers(0, 1_000))))
    stream = MemoryStream(turns)
    lost = data.draw(st.sampled_from(life.events))
    for event in life.events:
        if event is not lost:
            _in_stream(stream, event, beside=False)
    try:
        loaded = _joined(stream, turns, MemoryStore(), data.draw(st.integers(1, 12)), ())
    except Damaged:
        return
    if loaded is None:
        assert len(life.events) == 1
        return
    _, whole = _one_by_one(_stored(life.events[: loaded.snapshot.seq]))
    assert document(loaded.snapshot) == document(whole)
    assert loaded.snapshot.status == whole.status


def _eventful() -> Script:
    """A post with all that makes a difference: a step, plans, progress here and there, a retry, a take-over."""
    script = Script(POST)
    script.add("requested", title="T", recipe="blog")
    script.add("started")
    script.add("section_started", section="outline", in_document=False)
    script.add("section_completed", section="outline", text="1. s")
    script.add("planned", sections=[{"section": "s", "title": "S"}])
    script.add("progress", percent=10)
    script.add("section_started", section="s")
    for text in ("Once ", "upon ", "a "):
        script.chunk(text)
    script.add("retrying", section="s", delay_ms=1)
    script.add("section_started", section="s")
    script.add("progress", percent=20)
    for text in ("There ", "was ", "once "):
        script.chunk(text)
    script.add("started", worker="another")
    script.add("section_started", section="s")
    for text in ("In ", "the ", "beginning ", "there ", "was "):
        script.chunk(text)
    script.add("planned", sections=[{"section": "s", "title": "S"}])
    script.add("progress", percent=50)
    script.chunk("nothing")
    return script


@pytest.mark.parametrize("recent", [1, 2, 3, 5, 8, 13])
def test_each_moment_of_an_eventful_post(recent: int) -> None:
    """Whenever a reader comes, it begins with what the whole log tells, progress and the newest events included."""
    script = _eventful()
    stream = MemoryStream(Turns(random.Random(recent)))
    for written, stored in enumerate(script.events, 1):
        _in_stream(stream, stored.event, beside=False)
        if written == len(script.events) // 2:
            _in_stream(stream, script.events[0].event, beside=True)  # a late copy
        loaded = _joined(stream, stream.turns, MemoryStore(), recent, ())
        assert loaded is not None
        assert loaded.snapshot == _one_by_one(_stored([e.event for e in script.events[:written]]))[1]
        seqs = [e.seq for e in loaded.recent]
        assert seqs == list(range(written + 1 - len(seqs), written + 1))
        assert len(seqs) >= min(recent, written) - 1  # the copy may take a place


@pytest.mark.parametrize(
    "kind", ["lose", "double", "swap", "longer", "moved", "attempt", "post", "section", "time", "broken"]
)
def test_damage_within_a_run_of_chunks(kind: str) -> None:
    """Whichever chunk of a run is not what it should be: many at a time end as one by one do."""
    script = Script(POST).begin()
    for text in ("one ", "two ", "three ", "four ", "five ", "six "):
        script.chunk(text)
    for at in range(3, len(script.events)):
        stored = _stored([e.event for e in script.events])
        _damage(stored, at, kind)
        outcome, backlog = _at_once(stored, 1, 100)
        expected, snapshot = _one_by_one(stored)
        assert (outcome is Outcome.APPLIED) == (expected is Outcome.APPLIED), at
        assert outcome is not Outcome.APPLIED or backlog.snapshot == snapshot


def test_a_plan_within_a_section() -> None:
    """A plan that comes while a section is open is no place to read from: the section's text stands before it."""
    script = Script(POST)
    script.begin()
    for text in ("Once ", "upon "):
        script.chunk(text)
    script.add("planned", sections=[{"section": "s", "title": "S"}])
    script.add("progress", percent=50)
    turns = Turns(random.Random(1))
    stream = MemoryStream(turns)
    for stored in script.events:
        _in_stream(stream, stored.event, beside=False)
    loaded = _joined(stream, turns, MemoryStore(), 1, ())
    assert loaded is not None and document(loaded.snapshot) == "Once upon "
