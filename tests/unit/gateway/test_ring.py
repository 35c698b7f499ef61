"""The ring of recent events: bounds, floor, and the frames cut from it."""

import json

from inkwire_gateway.ring import MAX_MERGED_BYTES, RELIEF_RINGS, Entry, Ring, RingBudget
from tests.unit.gateway.builders import Script


def ring_of(script: Script, max_events: int = 100, max_bytes: int = 1_000_000) -> Ring:
    """A ring with all of a script's events."""
    ring = Ring(max_events, max_bytes)
    for stored in script.events:
        section = "s" if stored.event.type == "chunk" else None
        ring.append(Entry(stored.event.seq, type(stored.event).name, stored.raw, section))
    return ring


def test_count_is_bounded_and_the_floor_says_so() -> None:
    """At the bound the oldest go; readers behind the floor are not covered."""
    script = Script().begin()
    for n in range(10):
        script.chunk(str(n))
    ring = ring_of(script, max_events=4)
    assert len(ring) == 4 and (ring.floor, ring.head) == (9, 13)
    assert ring.covers(9) and ring.covers(13)
    assert not ring.covers(8) and not ring.covers(14)


def test_bytes_are_bounded_but_the_newest_stays() -> None:
    """However large an event is, the newest one can be sent."""
    ring = Ring(100, 10)
    ring.append(Entry(1, "x", b"a" * 8))
    ring.append(Entry(2, "x", b"b" * 50))
    assert (len(ring), ring.size_bytes, ring.floor) == (1, 50, 1)


def test_rings_share_a_budget() -> None:
    """A ring that stands still keeps its newest event, one that grows its newer half; what is cleared is free again."""
    budget = RingBudget(130)
    idle, busy = Ring(100, 1_000, budget), Ring(100, 1_000, budget)
    for seq in range(1, 5):
        idle.append(Entry(seq, "x", b"a" * 20))
    for seq in range(1, 4):
        busy.append(Entry(seq, "x", b"b" * 15))
    budget.relieve()
    assert (len(idle), len(busy)) == (4, 3), "there is room"
    idle.grew = False
    busy.append(Entry(4, "x", b"b" * 15))
    assert budget.is_exceeded and len(busy) == 4, "who adds loses nothing that is not sent yet"
    budget.relieve()
    assert (len(idle), len(busy), idle.floor, idle.head) == (1, 4, 3, 4)
    for seq in range(5, 9):
        busy.append(Entry(seq, "x", b"b" * 15))
    budget.relieve()
    assert (len(idle), len(busy), busy.floor, budget.used_bytes) == (1, 4, 4, 80)
    idle.clear(9)
    assert budget.used_bytes == busy.size_bytes == 60


def test_a_full_budget_takes_no_older_events() -> None:
    """What is read from the log for late comers fits, or stays there; one event may come too many."""
    budget = RingBudget(40)
    ring = Ring(100, 1_000, budget)
    ring.append(Entry(7, "x", b"b" * 15))
    ring.prepend([Entry(seq, "x", b"c" * 15) for seq in (3, 4, 5, 6)], 2)
    assert (len(ring), ring.floor, budget.used_bytes) == (3, 4, 45)


def test_relief_is_bounded() -> None:
    """So many rings are looked at in one go; the next ones have their turn in the next."""
    budget = RingBudget(0)
    rings = [Ring(10, 1_000, budget) for _ in range(RELIEF_RINGS + 1)]
    for ring in rings:
        for seq in (1, 2):
            ring.append(Entry(seq, "x", b"y"))
    budget.relieve()
    assert [len(ring) for ring in rings] == [1] * RELIEF_RINGS + [2]
    budget.relieve()
    assert len(rings[-1]) == 1


def test_chunks_merge_up_to_another_event() -> None:
    """A frame never reaches across an event that is no chunk of the section."""
    script = Script().begin()
    script.chunk("a")
    script.chunk("b")
    script.add("progress", percent=1)
    script.chunk("c")
    ring = ring_of(script)
    first = ring.batch_after(3, ring.head)
    assert first is not None and first.seq == 5 and json.loads(first.raw)["data"]["text"] == "ab"
    second = ring.batch_after(5, ring.head)
    assert second is not None and (second.seq, second.name) == (6, "progress.updated")
    third = ring.batch_after(6, ring.head)
    assert third is not None and third.raw == script.events[-1].raw, "alone, it keeps its bytes"
    assert ring.batch_after(7, ring.head) is None


def test_nothing_beyond_what_is_asked() -> None:
    """A frame ends at up_to, even in the middle of a run of chunks."""
    script = Script().begin()
    for text in "abcd":
        script.chunk(text)
    batch = ring_of(script).batch_after(3, 5)
    assert batch is not None and batch.seq == 5 and json.loads(batch.raw)["data"]["text"] == "ab"


def test_readers_at_the_same_place_share_what_is_merged_for_them() -> None:
    """Many who come back to a post together cost one merge; who is elsewhere, or goes further, gets his own."""
    script = Script().begin()
    for text in "abcd":
        script.chunk(text)
    ring = ring_of(script)
    first, second = ring.batch_after(3, 6), ring.batch_after(3, 6)
    assert first is not None and second is not None and first.raw is second.raw
    others = [ring.batch_after(cursor, up_to) for cursor, up_to in ((4, 6), (3, 7))]
    assert [json.loads(batch.raw)["data"]["text"] for batch in others if batch] == ["bc", "abcd"]


def test_merged_frames_are_bounded() -> None:
    """A long backlog goes out in several frames, each below the bound."""
    script = Script().begin()
    for _ in range(40):
        script.chunk("x" * 4_000)
    ring = ring_of(script)
    cursor, frames = 3, 0
    while (batch := ring.batch_after(cursor, ring.head)) is not None:
        assert len(batch.raw) <= MAX_MERGED_BYTES
        cursor, frames = batch.seq, frames + 1
    assert cursor == ring.head and 3 <= frames <= 5


def test_sequence_with_holes_is_found() -> None:
    """Where key events alone were read, the next event after a cursor is found all the same."""
    ring = Ring(10, 1_000)
    ring.clear(3)
    for seq in (4, 9, 12):
        ring.append(Entry(seq, "x", b"{}"))
    assert [b.seq for b in (ring.batch_after(c, 12) for c in (3, 4, 9)) if b] == [4, 9, 12]
    batch = ring.batch_after(6, 12)
    assert batch is not None and batch.seq == 9


def test_clear_forgets_and_moves() -> None:
    """After a new snapshot nothing older is offered."""
    ring = Ring(10, 1_000)
    ring.append(Entry(1, "x", b"{}"))
    ring.clear(7)
    assert (ring.floor, ring.head, len(ring), ring.size_bytes) == (7, 7, 0, 0)
    assert ring.covers(7) and not ring.covers(1)


def test_older_events_are_added_as_far_as_they_fit() -> None:
    """The newest of them come in; where not all fit the floor says so, and events come in order."""
    ring = Ring(4, 10_000)
    ring.clear(10)
    ring.append(Entry(12, "n", b"12"))
    ring.prepend([Entry(n, "n", str(n).encode()) for n in (4, 6, 8, 10)], 3)
    assert ring.floor == 4 and len(ring) == 4 and ring.covers(4) and not ring.covers(3)
    seen, cursor = [], 4
    while (batch := ring.batch_after(cursor, ring.head)) is not None:
        cursor = batch.seq
        seen.append(cursor)
    assert seen == [6, 8, 10, 12]
    empty = Ring(4, 10_000)
    empty.clear(10)
    empty.prepend([], 7)
    assert empty.floor == 7 and empty.covers(8) and empty.batch_after(10, 10) is None
