"""A token bucket per owner. Pure: the caller brings the time."""

from collections import OrderedDict

from inkwire_contracts.errors import InkwireError

MAX_OWNERS = 10_000
"""Buckets kept; beyond it the owner longest unseen starts afresh."""


class RateLimiter:
    """``per_s`` requests on average, ``burst`` at once, for each owner."""

    def __init__(self, *, per_s: float, burst: int, max_owners: int = MAX_OWNERS) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._max_owners = max_owners
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, owner: str, now_s: float) -> None:
        """Count one request at ``now_s`` (monotonic seconds).

        Raises:
            InkwireError: ``rate_limited``, with the seconds after which one more is free.
        """
        level, seen_s = self._buckets.pop(owner, (self._burst, now_s))
        level = min(self._burst, level + (now_s - seen_s) * self._per_s)
        allowed = level >= 1
        self._buckets[owner] = (level - 1 if allowed else level, now_s)
        while len(self._buckets) > self._max_owners:
            self._buckets.popitem(last=False)
        if not allowed:
            raise InkwireError("rate_limited", retry_after_s=1 + int((1 - level) / self._per_s))
