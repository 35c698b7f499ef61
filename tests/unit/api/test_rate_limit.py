"""The token bucket."""

import pytest

from inkwire_api.rate_limit import RateLimiter
from inkwire_contracts.errors import InkwireError


def allowed(limiter: RateLimiter, owner: str, now_s: float) -> bool:
    try:
        limiter.take(owner, now_s)
    except InkwireError:
        return False
    return True


def test_a_burst_passes_and_then_the_rate() -> None:
    """Three at once, then one for each half second; a refused one costs nothing."""
    limiter = RateLimiter(per_s=2.0, burst=3)
    assert [allowed(limiter, "ana", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert [allowed(limiter, "ana", t) for t in (0.4, 0.5, 0.6, 1.0)] == [False, True, False, True]


def test_waiting_saves_no_more_than_a_burst() -> None:
    """A day of silence is worth one burst."""
    limiter = RateLimiter(per_s=2.0, burst=2)
    assert [allowed(limiter, "ana", 86_400.0) for _ in range(3)] == [True, True, False]


def test_owners_do_not_share() -> None:
    """One owner's burst is not another's."""
    limiter = RateLimiter(per_s=1.0, burst=1)
    assert allowed(limiter, "ana", 0.0) and allowed(limiter, "ben", 0.0) and not allowed(limiter, "ana", 0.0)


def test_the_answer_says_when() -> None:
    """Whole seconds, never too few."""
    limiter = RateLimiter(per_s=0.1, burst=1)
    limiter.take("ana", 0.0)
    with pytest.raises(InkwireError) as caught:
        limiter.take("ana", 1.0)
    wait_s = caught.value.params["retry_after_s"]
    assert isinstance(wait_s, int)
    limiter.take("ana", 1.0 + wait_s)


def test_memory_is_bounded() -> None:
    """With too many owners the longest unseen is forgotten, and only that one."""
    limiter = RateLimiter(per_s=0.001, burst=1, max_owners=2)
    assert all(allowed(limiter, owner, 0.0) for owner in ("ana", "ben", "cem"))
    assert not allowed(limiter, "ben", 0.0) and not allowed(limiter, "cem", 0.0)
    assert allowed(limiter, "ana", 0.0)
