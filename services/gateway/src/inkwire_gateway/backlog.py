"""A post's stored events, folded many at a time: what a first reader waits for. Pure.

Chunks make up nearly all of a log. Neighbouring ones of a section fold as one, with the same result; whatever is not
as it should be among them is taken by itself, as the fold says.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from inkwire_contracts.events import ChunkProduced, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_gateway.live_post import entry_of
from inkwire_gateway.ring import Entry

Stored = tuple[bytes, int]
"""An event's bytes, and its place in the stream."""

_CHUNK_HEAD = b'{"type":"chunk",'
_envelope = itemgetter("type", "post", "owner", "run", "attempt")
_range = itemgetter("section", "start", "end", "text")


class Backlog:
    """Changes ``snapshot`` in place. Take events in the stream's order.

    Args:
        snapshot: what stood before.
        keep: how many of the newest events are kept for the ring.
    """

    def __init__(self, snapshot: Snapshot, *, keep: int) -> None:
        self.snapshot = snapshot
        self.stream_seq = 0
        """Of the last event that was applied."""
        self.recent: deque[Entry] = deque(maxlen=keep)
        """Contiguous, up to the snapshot's ``seq``."""

    def take(self, stored: Sequence[Stored]) -> Outcome:
        """Fold events; ends at the first that does not follow (GAP, INVALID).

        Raises:
            ValueError, TypeError: an event cannot be decoded.
        """
        at = 0
        while at < len(stored):
            count = self._take_run(stored, at)
            if not count:
                outcome = self._take_one(*stored[at])
                if outcome in (Outcome.GAP, Outcome.INVALID):
                    return outcome
                count = 1
            at += count
        return Outcome.APPLIED

    def _take_run(self, stored: Sequence[Stored], at: int) -> int:
        """Fold the neighbouring chunks from there on as one; how many, 0 where that cannot be."""
        if not stored[at][0].startswith(_CHUNK_HEAD):
            return 0
        first_seq = self.snapshot.seq + 1
        run = _run_of_chunks(stored, at, first_seq)
        if run is None or fold(self.snapshot, run.event) is not Outcome.APPLIED:
            return 0
        name, section = ChunkProduced.name, run.event.data.section
        raws = islice(stored, at, at + run.events)
        self._keep([Entry(seq, name, raw, section) for seq, (raw, _) in enumerate(raws, first_seq)])
        self.stream_seq = stored[at + run.events - 1][1]
        return run.events

    def _take_one(self, raw: bytes, stream_seq: int) -> Outcome:
        event = parse_event(raw)
        outcome = fold(self.snapshot, event)
        if outcome is Outcome.APPLIED:
            self._keep([entry_of(event, raw)])
            self.stream_seq = stream_seq
        return outcome

    def _keep(self, entries: Sequence[Entry]) -> None:
        if self.recent and entries[0].seq != self.recent[-1].seq + 1:
            self.recent.clear()  # a key event that followed another one, with chunks between them left out
        self.recent.extend(entries)


class _Run(NamedTuple):
    event: ChunkProduced
    events: int


def _run_of_chunks(stored: Sequence[Stored], at: int, first_seq: int) -> _Run | None:
    """The longest run from there on that begins at ``first_seq`` and is what its events are one by one."""
    last, texts = _contiguous(stored, at, first_seq)
    if not texts:
        return None
    text = "".join(texts)
    data = {**last["data"], "start": last["data"]["end"] - len(text), "text": text}
    try:
        return _Run(ChunkProduced.model_validate({**last, "first_seq": first_seq, "data": data}), len(texts))
    except ValueError:
        return None


def _contiguous(stored: Sequence[Stored], at: int, seq: int) -> tuple[dict[str, Any], list[str]]:
    """The last of the chunks that are one range of text, and the text of each."""
    last: dict[str, Any] = {}
    texts: list[str] = []
    shared: tuple[object, ...] = ()
    end = None
    try:
        for raw, _ in islice(stored, at, None):
            event = orjson.loads(raw)
            section, start, stop, text = _range(event["data"])
            if not texts:
                shared, end = (section, _envelope(event), event.get("traceparent")), start
            if (
                event["seq"] != seq
                or start != end
                or stop - start != len(text)
                or (section, _envelope(event), event.get("traceparent")) != shared
                or "first_seq" in event
                or not (type(text) is type(event["time"]) is str)
            ):
                break
            texts.append(text)
            seq, end, last = seq + 1, stop, event
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # this one is not what it should be: taken by itself, it shows
    return last, texts
