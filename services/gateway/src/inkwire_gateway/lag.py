"""Time from an event's storage to its hand-over to the sockets, sampled: reading the time of each would cost too much.

The broker stamps what it republishes with the time at which it stored it (``Nats-Time-Stamp``), on its own clock. So
this compares the clocks of two machines: it is as exact as they agree, and a reader's own way is not in it.
"""

from bisect import bisect_left
from datetime import datetime

from inkwire_gateway.counters import LAG_BUCKETS_S, Counters

SAMPLE_INTERVAL_S = 0.05
"""At most one sample in this time."""

_STAMP = b"\r\nNats-Time-Stamp:"


def stored_s(headers: bytes) -> float | None:
    """When the broker stored a republished message, in seconds since 1970; ``None`` if it does not say."""
    start = headers.rfind(_STAMP)  # the broker's own comes last
    if start < 0:
        return None
    start += len(_STAMP)
    end = headers.find(b"\r\n", start)
    try:
        moment = datetime.fromisoformat(headers[start : end if end >= 0 else None].strip().decode("ascii"))
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def lag_s(headers: bytes, now_s: float) -> float | None:
    """Seconds from storage until ``now_s`` (since 1970), never below 0; ``None`` if the message does not say."""
    stored = stored_s(headers)
    return None if stored is None else max(0.0, now_s - stored)


class LagSampler:
    """Adds samples to the counters. Pure: time is passed in.

    For each live message ``if sampler.armed: sampler.note(headers)``; after each fan-out ``sampler.flushed(now_s)``.
    """

    __slots__ = ("_counters", "_interval_s", "_noted", "_taken_s", "armed")

    def __init__(self, counters: Counters, *, interval_s: float = SAMPLE_INTERVAL_S) -> None:
        self.armed = True
        """Whether the next message is a sample."""
        self._counters = counters
        self._interval_s = interval_s
        self._noted: bytes | None = None
        self._taken_s = 0.0

    def note(self, headers: bytes) -> None:
        """A message came in that the next fan-out hands to the sockets; kept, and read there."""
        self.armed = False
        self._noted = headers

    def flushed(self, now_s: float) -> None:
        """The fan-out is done, at seconds since 1970 (a clock that goes back only delays the next sample)."""
        noted, self._noted = self._noted, None
        if noted is not None:
            self._taken_s = now_s
            lag = lag_s(noted, now_s)
            if lag is not None:
                self._counters.lag_s += lag
                self._counters.lags[bisect_left(LAG_BUCKETS_S, lag)] += 1
        elif not self.armed and not 0 <= now_s - self._taken_s < self._interval_s:
            self.armed = True
