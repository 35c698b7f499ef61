"""Requests and tokens per minute: the figures of the x-ratelimit headers, enforced only on demand. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from inkwire_openai_sim.errors import ApiError

WINDOW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Per minute. With `enforce` false they are reported and never refuse anything."""

    requests_per_min: int = 10_000
    tokens_per_min: int = 2_000_000
    enforce: bool = False


class _Bucket:
    """A token bucket that is full at first and refills evenly within WINDOW_S."""

    def __init__(self, size: float, now_s: float) -> None:
        self.size, self.level, self._at_s = size, size, now_s

    def refill(self, now_s: float) -> None:
        gained = (now_s - self._at_s) * self.size / WINDOW_S
        self.level, self._at_s = min(self.size, self.level + gained), now_s

    def wait_s(self, amount: float) -> float:
        return max(0.0, (min(amount, self.size) - self.level) * WINDOW_S / self.size)


class RateWindow:
    """What is left of the limits."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self.limits = limits
        self._requests = _Bucket(limits.requests_per_min, now_s)
        self._tokens = _Bucket(limits.tokens_per_min, now_s)

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
        """The six x-ratelimit headers as OpenAI writes them."""
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


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.3g}s" if minutes else f"{rest:.3f}s"
