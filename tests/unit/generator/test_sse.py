"""Server-sent events from bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_generator import sse
from inkwire_generator.sse import SseEvent, SseParser, SseTooLong

WIRE = (
    b"\xef\xbb\xbf: OPENROUTER PROCESSING\r\n\r\n"
    b'data: {"a": "\xc3\xa4"}\r\n\r\n'
    b"event: error\ndata:{}\n\n"
    b"data: one\rdata: two\r\r"
    b"id: 7\nretry: 10\ndata:  spaced\n\n"
    b"event: nothing\n\n"
    b"data: [DONE]\n\n"
)
EVENTS = [
    SseEvent("", b'{"a": "\xc3\xa4"}'),
    SseEvent("error", b"{}"),
    SseEvent("", b"one\ntwo"),
    SseEvent("", b" spaced"),
    SseEvent("", b"[DONE]"),
]


def parsed(*pieces: bytes) -> list[SseEvent]:
    """All events of pieces that arrive one after the other."""
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.end()


def test_every_single_split_gives_the_same_events() -> None:
    """A stream cut in two at any byte, also within a character or a line end, reads the same."""
    for place in range(len(WIRE) + 1):
        assert parsed(WIRE[:place], WIRE[place:]) == EVENTS, place


def test_byte_by_byte_gives_the_same_events() -> None:
    """One byte at a time reads the same."""
    assert parsed(*(bytes([byte]) for byte in WIRE)) == EVENTS


@given(st.lists(st.integers(0, len(WIRE)), max_size=8))
def test_any_splits_give_the_same_events(places: list[int]) -> None:
    """However often and wherever the stream is cut, it reads the same."""
    edges = [0, *sorted(places), len(WIRE)]
    assert parsed(*(WIRE[a:b] for a, b in itertools.pairwise(edges))) == EVENTS


def test_an_event_without_its_blank_line_counts_at_the_end() -> None:
    """Servers that close right after the last line lose nothing."""
    assert parsed(b"data: last") == [SseEvent("", b"last")]
    assert parsed(b"data: last\n") == [SseEvent("", b"last")]


def test_comments_and_empty_events_are_nothing() -> None:
    """Keep-alive comments, and event names without data, dispatch nothing."""
    assert parsed(b": ping\n\n: ping\n\nevent: x\n\n\n\n") == []


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event beyond the bound is an error, in one line or in many."""
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    with pytest.raises(SseTooLong):
        SseParser().feed(b"data: " + b"x" * 200)
    parser = SseParser()
    with pytest.raises(SseTooLong):
        for _ in range(20):
            parser.feed(b"data: 0123456789\n")
