"""Time from an event's storage to its hand-over to the last socket, sampled: the time of each would cost too much.

The last socket is that of the last reader who keeps up; who does not gets the event when there is room, which is no
sample. The broker stamps what it republishes with the time at which it stored it (``Nats-Time-Stamp``), on its own
clock. So this compares the clocks of two machines: it is as exact as they agree, and a reader's own way is not in it.
"""

from bisect import bisect_left
from datetime import datetime
from typing import Protocol

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


class FanOut(Protocol):
    """How far the fan-out is: changes are numbered as they come, and sent in that order."""

    @property
    def changes(self) -> int:
        """The number of the newest change."""
        ...

    @property
    def unsent(self) -> int | None:
        """The number of the oldest that is not sent; ``None`` if all are."""
        ...


class LagSampler:
    """Adds samples to the counters. Pure: time is passed in.

    After each live message was taken in ``if sampler.armed: sampler.note(headers)``; after each go of the fan-out,
    which may need several for all that there is, ``sampler.flushed(now_s)``.
    """

    __slots__ = ("_counters", "_fan_out", "_interval_s", "_noted", "_taken_s", "_until", "armed")

    def __init__(self, counters: Counters, fan_out: FanOut, *, interval_s: float = SAMPLE_INTERVAL_S) -> None:
        self.armed = True
        """Whether the next message is a sample."""
        self._counters = counters
        self._fan_out = fan_out
        self._interval_s = interval_s
        self._noted: bytes | None = None
        self._until = 0
        """The change that has to be sent for what was noted to be sent."""
        self._taken_s = 0.0

    def note(self, headers: bytes) -> None:
        """A message came in; kept, and read when it is sent. Where nothing waits to be sent it is no sample."""
        if self._fan_out.unsent is None:
            return
        self.armed = False
        self._noted = headers
        self._until = self._fan_out.changes

    def flushed(self, now_s: float) -> None:
        """A go of the fan-out ended, at seconds since 1970 (a clock that goes back only delays the next sample)."""
        noted = self._noted
        if noted is not None:
            unsent = self._fan_out.unsent
            if unsent is not None and unsent <= self._until:
                return
            self._noted = None
            self._taken_s = now_s
            lag = lag_s(noted, now_s)
            if lag is not None:
                self._counters.lag_s += lag
                self._counters.lags[bisect_left(LAG_BUCKETS_S, lag)] += 1
        elif not self.armed and not 0 <= now_s - self._taken_s < self._interval_s:
            self.armed = True
