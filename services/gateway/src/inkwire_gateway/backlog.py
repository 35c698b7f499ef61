"""A post's stored events, folded many at a time: what a first reader waits for. Pure.

Chunks make up nearly all of a log. Neighbouring ones of a section fold as one, with the same result; whatever is not
as it should be among them is taken by itself, as the fold says.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from inkwire_contracts.events import ChunkProduced, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_gateway.coalesce import run_of_chunks
from inkwire_gateway.live_post import entry_of
from inkwire_gateway.ring import Entry

Stored = tuple[bytes, int]
"""An event's bytes, and its place in the stream."""

_CHUNK_HEAD = b'{"type":"chunk",'


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
        merged, count = run_of_chunks((raw for raw, _ in islice(stored, at, None)), first_seq)
        try:
            run = ChunkProduced.model_validate(merged)
        except ValueError:
            return 0
        if fold(self.snapshot, run) is not Outcome.APPLIED:
            return 0
        raws = islice(stored, at, at + count)
        self._keep([Entry(n, run.name, raw, run.data.section) for n, (raw, _) in enumerate(raws, first_seq)])
        self.stream_seq = stored[at + count - 1][1]
        return count

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
