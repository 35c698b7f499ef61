"""How fast one provider key may be asked."""

import pytest

from inkwire_generator.throttle import Throttle, ThrottlePolicy, duration_s

POLICY = ThrottlePolicy()


def headers(name: str, limit: int, remaining: int, reset: str) -> dict[str, str]:
    """The three headers for requests or tokens."""
    return {
        f"x-ratelimit-limit-{name}": str(limit),
        f"x-ratelimit-remaining-{name}": str(remaining),
        f"x-ratelimit-reset-{name}": reset,
    }


def test_nothing_known_nothing_held() -> None:
    """A provider that says nothing about limits is asked at once, as often as posts want."""
    throttle = Throttle(POLICY)
    for _ in range(100):
        assert throttle.wait_s(1_000, 0.0) == 0.0
        throttle.take(1_000, 0.0)
    throttle.observe({"x-ratelimit-remaining-requests": "many"}, 0.0)
    assert throttle.wait_s(1_000, 0.0) == 0.0


def test_the_first_refusal_holds_everybody() -> None:
    """All posts wait as long as the provider asked one of them, up to a bound."""
    throttle = Throttle(POLICY)
    throttle.refused(7.0, began_s=0.0, now_s=1.0)
    assert throttle.wait_s(1, 1.0) == 7.0
    throttle.refused(3_600.0, began_s=0.0, now_s=1.0)
    assert throttle.wait_s(1, 1.0) == POLICY.max_hold_s
    unnamed = Throttle(POLICY)
    unnamed.refused(None, began_s=0.0, now_s=1.0)
    assert unnamed.wait_s(1, 1.0) == POLICY.first_hold_s


def test_calls_are_spaced_after_a_refusal() -> None:
    """Those who waited do not all ask in the same moment; good answers bring the space back to nothing."""
    throttle = Throttle(POLICY)
    throttle.refused(1.0, began_s=0.0, now_s=0.0)
    waits = []
    for _ in range(3):
        waits.append(throttle.wait_s(1, 0.0))
        throttle.take(1, 0.0)
    assert waits == pytest.approx([1.0, 1.05, 1.1])
    for _ in range(10):
        throttle.succeeded()
    throttle.take(1, 100.0)
    assert throttle.wait_s(1, 100.0) == 0.0


def test_refusals_of_one_moment_count_once() -> None:
    """Calls that were under way when the first was refused say nothing new; one begun later doubles the space."""
    throttle = Throttle(POLICY)
    throttle.refused(1.0, began_s=0.0, now_s=1.0)
    throttle.refused(1.0, began_s=0.5, now_s=1.0)
    throttle.take(1, 10.0)
    assert throttle.wait_s(1, 10.0) == pytest.approx(0.05)
    throttle.refused(0.0, began_s=10.0, now_s=20.0)
    throttle.take(1, 20.0)
    assert throttle.wait_s(1, 20.0) == pytest.approx(0.1)


def test_used_up_requests_are_waited_for() -> None:
    """With none of sixty requests a minute left, the next is there in a second; calls under way count too."""
    throttle = Throttle(POLICY)
    throttle.observe(headers("requests", 60, 0, "1m0s"), 0.0)
    assert throttle.wait_s(1, 0.0) == pytest.approx(1.0)
    assert throttle.wait_s(1, 1.0) == pytest.approx(0.0)
    throttle.take(1, 1.0)
    assert throttle.wait_s(1, 1.0) == pytest.approx(1.0)
    throttle.answered(1)
    assert throttle.wait_s(1, 1.0) == pytest.approx(0.0)


def test_tokens_are_waited_for_by_the_size_of_the_call() -> None:
    """A small call goes where a large one must wait; one above the limit waits for a full bucket, not for ever."""
    throttle = Throttle(POLICY)
    throttle.observe(headers("tokens", 6_000, 3_000, "30s"), 0.0)
    assert throttle.wait_s(2_000, 0.0) == 0.0
    assert throttle.wait_s(4_000, 0.0) == pytest.approx(10.0)
    assert throttle.wait_s(1_000_000, 0.0) == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3_723.5),
        ("20ms", 0.02),
        ("12", 12.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("-1", None),
    ],
)
def test_durations(text: str | None, seconds: float | None) -> None:
    """The forms in which providers write how long, and nonsense."""
    assert duration_s(text) == seconds
