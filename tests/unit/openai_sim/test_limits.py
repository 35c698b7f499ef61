"""Requests and tokens per minute."""

import pytest

from inkwire_openai_sim.errors import ApiError
from inkwire_openai_sim.limits import MAX_KEYS, Limits, RateWindow, RateWindows


def test_limits_are_only_reported_by_default() -> None:
    """Without enforcement nothing is refused, and the headers never fall below zero."""
    window = RateWindow(Limits(requests_per_min=2, tokens_per_min=10), 0.0)
    for _ in range(5):
        window.take(100, 0.0)
    headers = window.headers(0.0)
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-remaining-tokens"]) == ("0", "0")
    assert headers["x-ratelimit-reset-requests"] == "1m0s"


def test_enforced_limit_refuses_with_the_time_to_wait() -> None:
    """The third request of two a minute is told to wait 30 s, and passes after them."""
    window = RateWindow(Limits(requests_per_min=2, enforce=True), 0.0)
    window.take(1, 0.0)
    window.take(1, 0.0)
    with pytest.raises(ApiError) as caught:
        window.take(1, 0.0)
    assert (caught.value.status, caught.value.type, caught.value.code) == (429, "requests", "rate_limit_exceeded")
    assert caught.value.headers == {"retry-after": "30", "retry-after-ms": "30000"}
    window.take(1, 30.0)


def test_tokens_are_limited_and_spent_afterwards() -> None:
    """Produced tokens count too; a prompt that is larger than the whole budget passes when the budget is full."""
    window = RateWindow(Limits(tokens_per_min=60, enforce=True), 0.0)
    window.take(10, 0.0)
    window.spend(50)
    with pytest.raises(ApiError) as caught:
        window.take(10, 1.0)
    assert caught.value.type == "tokens"
    window.take(10, 10.0)
    window.take(1_000, 100.0)


def test_each_key_has_its_own_limits() -> None:
    """What one key has used up another one still has; the number of keys that are kept is bounded."""
    windows = RateWindows(Limits(requests_per_min=1, enforce=True))
    windows.of("one", 0.0).take(1, 0.0)
    with pytest.raises(ApiError):
        windows.of("one", 0.0).take(1, 0.0)
    windows.of("another", 0.0).take(1, 0.0)
    for number in range(MAX_KEYS):
        windows.of(f"key {number}", 0.0)
    windows.of("one", 0.0).take(1, 0.0)


def test_a_window_may_be_shorter_than_a_minute() -> None:
    """Ten seconds' worth of sixty a minute is ten at once, and the headers speak of those ten."""
    window = RateWindow(Limits(requests_per_min=60, window_s=10, enforce=True), 0.0)
    for _ in range(10):
        window.take(1, 0.0)
    with pytest.raises(ApiError):
        window.take(1, 0.5)
    headers = window.headers(0.5)
    assert headers["x-ratelimit-limit-requests"] == "10"
    assert headers["x-ratelimit-reset-requests"] == "9.500s"


def test_headers_may_be_silent() -> None:
    """A server that tells nothing of its limits enforces them all the same."""
    window = RateWindow(Limits(requests_per_min=1, enforce=True, headers=False), 0.0)
    window.take(1, 0.0)
    assert window.headers(0.0) == {}
    with pytest.raises(ApiError) as caught:
        window.take(1, 0.0)
    assert caught.value.headers["retry-after"] == "60"
