"""A post's stored events, folded many at a time: what a first reader waits for. Pure.

Chunks make up nearly all of a log. Neighbouring ones of a section fold as one, with the same result, and only the
newest events are kept as they are, for the ring.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import orjson

from inkwire_contracts.events import ChunkProduced, Event, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_gateway.live_post import LogEvent

Stored = tuple[bytes, int]
"""An event's bytes, and its place in the stream."""

_CHUNK_HEAD = b'{"type":"chunk",'


class Backlog:
    """Changes ``snapshot`` in place. Take events in the stream's order, ``take_recent`` last.

    Args:
        snapshot: what stood before.
        keep: how many of the newest events are kept.
    """

    def __init__(self, snapshot: Snapshot, *, keep: int) -> None:
        self.snapshot = snapshot
        self.stream_seq = 0
        """Of the last event that was applied."""
        self.recent: deque[LogEvent] = deque(maxlen=keep)
        """Contiguous, up to the snapshot's ``seq``."""

    def take(self, stored: Sequence[Stored]) -> Outcome:
        """Fold events that need not be kept; ends at the first that does not follow (GAP, INVALID).

        Raises:
            ValueError, TypeError: an event cannot be decoded.
        """
        at = 0
        while at < len(stored):
            event, count = _run_of_chunks(stored, at) or (parse_event(stored[at][0]), 1)
            outcome = self._fold(event, stored[at + count - 1][1])
            if outcome in (Outcome.GAP, Outcome.INVALID):
                return outcome
            at += count
        return Outcome.APPLIED

    def take_recent(self, stored: Sequence[Stored]) -> Outcome:
        """The same of events that are kept.

        Raises:
            ValueError, TypeError: an event cannot be decoded.
        """
        for raw, stream_seq in stored:
            event = parse_event(raw)
            outcome = self._fold(event, stream_seq)
            if outcome in (Outcome.GAP, Outcome.INVALID):
                return outcome
            if outcome is Outcome.APPLIED:
                if self.recent and event.seq != self.recent[-1].event.seq + 1:
                    self.recent.clear()  # a key event that followed another one, with chunks between them left out
                self.recent.append(LogEvent(event, raw, stream_seq))
        return Outcome.APPLIED

    def _fold(self, event: Event, stream_seq: int) -> Outcome:
        outcome = fold(self.snapshot, event)
        if outcome is Outcome.APPLIED:
            self.stream_seq = stream_seq
        return outcome


def _run_of_chunks(stored: Sequence[Stored], at: int) -> tuple[Event, int] | None:
    """Neighbouring chunks from there on as one, and how many; ``None`` where the event has to be taken by itself."""
    if not stored[at][0].startswith(_CHUNK_HEAD):
        return None
    try:
        first = last = orjson.loads(stored[at][0])
        if not _is_whole(first):
            return None
        texts = [first["data"]["text"]]
        for raw, _ in stored[at + 1 :]:
            event = orjson.loads(raw)
            if not _continues(last, event):
                break
            texts.append(event["data"]["text"])
            last = event
        data = {**first["data"], "end": last["data"]["end"], "text": "".join(texts)}
        return ChunkProduced.model_validate({**last, "first_seq": first["seq"], "data": data}), len(texts)
    except (KeyError, TypeError, ValueError):  # one of them is not what it should be: which one shows one by one
        return None


def _is_whole(event: dict[str, Any]) -> bool:
    data = event["data"]
    return bool(data["end"] - data["start"] == len(data["text"]) and "first_seq" not in event)


def _continues(last: dict[str, Any], event: dict[str, Any]) -> bool:
    data, before = event["data"], last["data"]
    return bool(
        event["type"] == "chunk"
        and event["seq"] == last["seq"] + 1
        and data["start"] == before["end"]
        and data["section"] == before["section"]
        and event["run"] == last["run"]
        and event["attempt"] == last["attempt"]
        and event["post"] == last["post"]
        and event["owner"] == last["owner"]
        and _is_whole(event)
    )
