"""Requests and tokens per minute: the figures of the x-ratelimit headers, enforced only on demand. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from inkwire_openai_sim.errors import ApiError

MINUTE_S: Final = 60.0
MAX_KEYS: Final = 1_000
"""A key beyond these takes the place of the one that was used first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Per minute. With `enforce` false they are reported and never refuse anything.

    `window_s` is how much time's worth may be used at once, and what limit and reset in the headers speak of. With
    `headers` false nothing is told of limits but Retry-After, as most servers of one's own do.
    """

    requests_per_min: int = 10_000
    tokens_per_min: int = 2_000_000
    window_s: float = MINUTE_S
    enforce: bool = False
    headers: bool = True


class _Bucket:
    """A token bucket that is full at first and refills evenly within its window."""

    def __init__(self, size: float, window_s: float, now_s: float) -> None:
        self.size, self.level, self._window_s, self._at_s = size, size, window_s, now_s

    def refill(self, now_s: float) -> None:
        gained = (now_s - self._at_s) * self.size / self._window_s
        self.level, self._at_s = min(self.size, self.level + gained), now_s

    def wait_s(self, amount: float) -> float:
        return max(0.0, (min(amount, self.size) - self.level) * self._window_s / self.size)


class RateWindow:
    """What is left of one key's limits."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self.limits = limits
        share = limits.window_s / MINUTE_S
        self._requests = _Bucket(max(1, int(limits.requests_per_min * share)), limits.window_s, now_s)
        self._tokens = _Bucket(max(1, int(limits.tokens_per_min * share)), limits.window_s, now_s)

    def take(self, tokens: int, now_s: float) -> None:
        """Count one request. Raises ApiError 429 with Retry-After where the limits are enforced and used up."""
        self._refill(now_s)
        if self.limits.enforce:
            for name, bucket, amount in (("requests", self._requests, 1), ("tokens", self._tokens, tokens)):
                if (wait_s := bucket.wait_s(amount)) > 0:
                    raise self._refusal(name, wait_s)
        self._requests.level = max(0.0, self._requests.level - 1)
        self.spend(tokens)

    def spend(self, tokens: int) -> None:
        """Count tokens that were produced afterwards."""
        self._tokens.level = max(0.0, self._tokens.level - tokens)

    def _refusal(self, name: str, wait_s: float) -> ApiError:
        limit = self.limits.requests_per_min if name == "requests" else self.limits.tokens_per_min
        return ApiError(
            429,
            f"Rate limit reached on {name} per min: Limit {limit}. Please try again in {wait_s:.3f}s.",
            type_=name,
            code="rate_limit_exceeded",
            headers={"retry-after": str(math.ceil(wait_s)), "retry-after-ms": str(math.ceil(wait_s * 1000))},
        )

    def headers(self, now_s: float) -> dict[str, str]:
        """The six x-ratelimit headers as OpenAI writes them, if they are told."""
        if not self.limits.headers:
            return {}
        self._refill(now_s)
        result = {}
        for name, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            result[f"x-ratelimit-limit-{name}"] = str(int(bucket.size))
            result[f"x-ratelimit-remaining-{name}"] = str(int(bucket.level))
            result[f"x-ratelimit-reset-{name}"] = _duration(bucket.wait_s(bucket.size))
        return result

    def _refill(self, now_s: float) -> None:
        self._requests.refill(now_s)
        self._tokens.refill(now_s)


class RateWindows:
    """The windows of all keys; what one key has used says nothing about another."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._windows: dict[str, RateWindow] = {}

    def of(self, key: str, now_s: float) -> RateWindow:
        """The window of a key, full at its first use."""
        if key not in self._windows:
            if len(self._windows) >= MAX_KEYS:
                del self._windows[next(iter(self._windows))]
            self._windows[key] = RateWindow(self.limits, now_s)
        return self._windows[key]


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.3g}s" if minutes else f"{rest:.3f}s"
