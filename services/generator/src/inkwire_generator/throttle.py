"""How fast one provider key may be asked, shared by all posts of a worker. Pure; times in monotonic seconds.

Two things steer it: what the provider's ``x-ratelimit-*`` headers say is left, and its refusals. The first 429 holds
every post back for as long as it asks, and from then on calls are spaced; good answers shorten the space again.

It knows this process only. A budget of all workers needs a counter that they share (a KV bucket); it would stand
behind the same methods, so that nothing but the adapter that asks them changes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SHORTEST_S = 0.01


@dataclass(frozen=True, slots=True)
class ThrottlePolicy:
    """Bounds. Durations in seconds."""

    first_hold_s: float = 0.5
    """How long a refusal that names no time holds everybody back."""
    max_hold_s: float = 60.0
    """Nobody is held back for longer, whatever the provider asks for: then one asks again."""
    first_interval_s: float = 0.05
    """Space between calls after a first refusal; it doubles with each that follows."""
    max_interval_s: float = 5.0


class Bucket:
    """What the headers say of requests or tokens: a level, and how fast it rises to its limit."""

    def __init__(self) -> None:
        self._level: float | None = None
        self._limit = 0.0
        self._rise_per_s = 0.0
        self._at_s = 0.0
        self._under_way = 0.0

    def observe(self, limit: float | None, remaining: float, reset_s: float, now_s: float) -> None:
        """``reset_s``: until the bucket is full again."""
        self._limit = max(limit or 0.0, remaining, 1.0)
        self._level, self._at_s = remaining, now_s
        missing = self._limit - remaining
        self._rise_per_s = missing / reset_s if missing > 0 and reset_s > 0 else self._limit / _SHORTEST_S

    def wait_s(self, amount: float, now_s: float) -> float:
        """Until ``amount`` is there, beside what calls under way will take; 0 while nothing is known."""
        if self._level is None:
            return 0.0
        level = min(self._limit, self._level + (now_s - self._at_s) * self._rise_per_s)
        lacking = min(amount, self._limit) - (level - self._under_way)
        return max(0.0, lacking / self._rise_per_s)

    def take(self, amount: float) -> None:
        """A call is sent (or, negative, was answered: the provider counts it now)."""
        self._under_way = max(0.0, self._under_way + amount)


class Throttle:
    """Ask :meth:`wait_s`; :meth:`take` a place and use it that much later; tell what came of it."""

    def __init__(self, policy: ThrottlePolicy) -> None:
        self._policy = policy
        self._requests = Bucket()
        self._tokens = Bucket()
        self._interval_s = 0.0
        self._next_s = 0.0
        self._refused_s = float("-inf")

    def wait_s(self, tokens: float, now_s: float) -> float:
        """How long a call of about ``tokens`` tokens must wait."""
        waits = (self._requests.wait_s(1, now_s), self._tokens.wait_s(tokens, now_s), self._next_s - now_s)
        return min(self._policy.max_hold_s, max(0.0, *waits))

    def take(self, tokens: float, now_s: float) -> None:
        """A call takes its place; give it back with :meth:`answered`."""
        self._next_s = max(now_s, self._next_s) + self._interval_s
        self._requests.take(1)
        self._tokens.take(tokens)

    def answered(self, tokens: float) -> None:
        """The provider has counted the call, or never saw it."""
        self._requests.take(-1)
        self._tokens.take(-tokens)

    def observe(self, headers: Mapping[str, str], now_s: float) -> None:
        """Read the rate-limit headers of an answer, where it has them."""
        for name, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            remaining = _number(headers.get(f"x-ratelimit-remaining-{name}"))
            reset_s = duration_s(headers.get(f"x-ratelimit-reset-{name}"))
            if remaining is not None and reset_s is not None:
                bucket.observe(_number(headers.get(f"x-ratelimit-limit-{name}")), remaining, reset_s, now_s)

    def refused(self, retry_after_s: float | None, began_s: float, now_s: float) -> None:
        """A call that began at ``began_s`` was refused: all wait, and calls that begin later are spaced."""
        policy = self._policy
        hold_s = policy.first_hold_s if retry_after_s is None else min(retry_after_s, policy.max_hold_s)
        self._next_s = max(self._next_s, now_s + hold_s)
        if began_s >= self._refused_s:  # else it was under way when we were told
            self._interval_s = min(policy.max_interval_s, max(policy.first_interval_s, 2 * self._interval_s))
            self._refused_s = now_s

    def succeeded(self) -> None:
        """An answer came to its end."""
        self._interval_s *= 0.7
        if self._interval_s < _SHORTEST_S:
            self._interval_s = 0.0


def duration_s(text: str | None) -> float | None:
    """Seconds of ``6m0s``, ``1.5s``, ``20ms`` or a bare number of seconds; ``None`` for anything else."""
    if not text:
        return None
    if (number := _number(text)) is not None:
        return number
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3_600 + minutes * 60 + seconds + milliseconds / 1_000


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None
