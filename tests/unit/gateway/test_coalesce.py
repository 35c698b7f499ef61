"""Merging neighbouring chunks keeps text, range and place."""

import json
from typing import Any

import pytest

from inkwire_gateway.coalesce import merge_chunks


def chunk(seq: int, start: int, text: str, **over: Any) -> bytes:
    """A chunk as it stands in the log."""
    data = {"section": over.pop("section", "s"), "start": start, "end": start + len(text), "text": text}
    envelope = {"type": "chunk", "post": "p", "owner": "ada", "run": 1, "attempt": 1, "seq": seq, "time": f"t{seq}"}
    return json.dumps({**envelope, "data": data, **over}).encode()


def test_one_event_keeps_its_bytes() -> None:
    """A single event is not touched."""
    raw = chunk(4, 0, "a")
    assert merge_chunks((raw,), 4) == (raw, 1)


def test_neighbours_become_one_range() -> None:
    """The merged event covers first_seq to seq and start to end, its text joined in order."""
    raw, count = merge_chunks((chunk(4, 0, "a\U0001f600"), chunk(5, 2, "é"), chunk(6, 3, "z")), 4)
    merged = json.loads(raw)
    assert count == 3
    assert (merged["first_seq"], merged["seq"], merged["time"]) == (4, 6, "t6")
    assert merged["data"] == {"section": "s", "start": 0, "end": 4, "text": "a\U0001f600éz"}


@pytest.mark.parametrize(
    ("why", "second"),
    [
        ("a gap in seq", chunk(6, 1, "b")),
        ("another section", chunk(5, 1, "b", section="t")),
        ("another attempt", chunk(5, 1, "b", attempt=2)),
        ("another run", chunk(5, 1, "b", run=2)),
        ("another trace", chunk(5, 1, "b", traceparent="00-1-2-01")),
        ("a range that is not its text's", chunk(5, 1, "b", data={"section": "s", "start": 1, "end": 3, "text": "b"})),
        ("merged already", chunk(5, 1, "b", first_seq=5)),
        ("no chunk at all", b"[]"),
        ("an overlap in the text", chunk(5, 0, "ab")),
        ("a hole in the text", chunk(5, 2, "c")),
    ],
)
def test_what_does_not_fit_is_not_merged(why: str, second: bytes) -> None:
    """Merging stops before an event that does not continue the range."""
    first = chunk(4, 0, "a")
    assert merge_chunks((first, second, chunk(7, 9, "x")), 4) == (first, 1), why


def test_merging_stops_in_the_middle() -> None:
    """What fits from the first on is merged; the rest is left."""
    raw, count = merge_chunks((chunk(1, 0, "a"), chunk(2, 1, "b"), chunk(4, 2, "c")), 1)
    assert count == 2 and json.loads(raw)["data"]["text"] == "ab"
