"""The next event of a post, from its snapshot."""

import json

from inkwire_contracts.events import ProgressData, Progressed, Started, StartedData, encode_event
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator.composing import Author, next_chunk, next_event
from tests.support.lives import POST

AUTHOR = Author("ada", run=2, attempt=5, traceparent="00-1-2-01")
SNAPSHOT = Snapshot(post=POST, seq=9, key_seq=7, sections=[Section(section="s1", text="ab😀", length=3)])


def test_key_events_follow_the_last_key_event_and_carry_the_trace() -> None:
    """seq is the next one, prev the last key event's, and the envelope is the attempt's."""
    event = next_event(SNAPSHOT, AUTHOR, Started, StartedData(worker="w"), "t")
    body = json.loads(encode_event(event))
    assert body == {
        "type": "started",
        "post": POST,
        "owner": "ada",
        "run": 2,
        "attempt": 5,
        "seq": 10,
        "prev": 7,
        "time": "t",
        "traceparent": "00-1-2-01",
        "data": {"worker": "w", "usage": None},
    }


def test_other_events_stay_small() -> None:
    """Progress has neither predecessor nor trace."""
    body = json.loads(encode_event(next_event(SNAPSHOT, AUTHOR, Progressed, ProgressData(percent=3), "t")))
    assert "prev" not in body and "traceparent" not in body


def test_chunks_count_code_points_from_the_sections_end() -> None:
    """Offsets go on where the acknowledged text ends; an emoji is one."""
    data = json.loads(encode_event(next_chunk(SNAPSHOT, AUTHOR, "s1", "é👩‍🚀", "t")))["data"]
    assert (data["start"], data["end"], data["text"]) == (3, 7, "é👩‍🚀")
