"""What is followed here of a log: how history and live messages become one gapless sequence.

  a          b            d
----> BUFFERING ----> LIVE ----> CLOSED
           ^           |
           +-----------+
                 c
a: the live subject is subscribed, its messages are kept in a buffer while history is read
b: history and buffer were folded and nothing is missing between them
c: a message does not follow (or contradicts what is here): the log is read again from the last good place
d: nobody reads it any more
"""

from abc import ABC, abstractmethod
from collections import deque
from enum import StrEnum
from typing import Generic, TypeVarTuple

from inkwire_gateway.ring import Ring


class Phase(StrEnum):
    """See the diagram above."""

    BUFFERING = "buffering"
    LIVE = "live"
    CLOSED = "closed"


class Verdict(StrEnum):
    """What has to be done after events came in."""

    OK = "ok"
    GAP = "gap"
    """Something is missing: read the log after what is here, and refill."""
    DAMAGED = "damaged"
    """What is here cannot be built upon: load it anew, and start there."""


Place = TypeVarTuple("Place")

MAX_BUFFER_BYTES = 8 * 1024 * 1024
"""Of one log, in messages kept while it is read; the last of them may come too much."""


class LiveLog(ABC, Generic[*Place]):
    """Pure: messages in, verdicts out. Bounded by its ring and its buffer. ``Place``: what tells a message's place.

    Args:
        ring: where applied events go.
        max_buffer: messages kept while the log is read, within :data:`MAX_BUFFER_BYTES`; more are dropped and read from
            the log instead.
    """

    def __init__(self, ring: Ring, *, max_buffer: int) -> None:
        self.ring = ring
        self.epoch = ""
        self.phase = Phase.BUFFERING
        self._buffer: deque[tuple[bytes, *Place]] = deque()
        self._buffer_bytes = 0
        self._max_buffer = max_buffer
        self._overflowed = False

    @property
    @abstractmethod
    def seq(self) -> int:
        """How far it is folded."""

    def close(self) -> None:
        """Take nothing in any more."""
        self.phase = Phase.CLOSED
        self.forget_kept()

    def forget_kept(self) -> None:
        """Let go of the messages that are kept: what will be read may be another log than the one they are of."""
        self._buffer.clear()
        self._buffer_bytes = 0
        self._overflowed = False

    def suspend(self) -> None:
        """Keep what comes in until it is started or refilled, because the log is about to be read."""
        self.phase = Phase.BUFFERING

    @abstractmethod
    def _take(self, raw: bytes, *place: *Place) -> Verdict:
        """Add a live message; one that does not follow ends the phase LIVE."""

    def _drain(self) -> Verdict:
        """Go live through the buffer; what was dropped at its bound is a gap like any other."""
        self.phase = Phase.LIVE
        waiting, self._buffer, self._buffer_bytes = self._buffer, deque(), 0
        overflowed, self._overflowed = self._overflowed, False
        while waiting:
            verdict = self._take(*waiting.popleft())
            if verdict is not Verdict.OK:
                self._buffer.extend(waiting)
                self._buffer_bytes = sum(len(message[0]) for message in self._buffer)
                self._overflowed = overflowed
                return verdict
        if overflowed:
            self.phase = Phase.BUFFERING
            return Verdict.GAP
        return Verdict.OK

    def _keep(self, raw: bytes, *place: *Place) -> Verdict:
        if len(self._buffer) < self._max_buffer and self._buffer_bytes < MAX_BUFFER_BYTES:
            self._buffer.append((raw, *place))
            self._buffer_bytes += len(raw)
            return Verdict.OK
        known, self._overflowed = self._overflowed, True
        return Verdict.OK if known else Verdict.GAP
