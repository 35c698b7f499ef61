"""How long a run still waits for its provider, as a terminal says it."""

from datetime import UTC, datetime, timedelta

import pytest

from inkwire.countdown import countdown
from inkwire_contracts.fold import Progress, RetryNotice, Snapshot

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def retrying(code: str = "provider_rate_limited") -> Snapshot:
    """A run that asks again seven seconds after BEGAN."""
    notice = RetryNotice(code=code, message="", delay_ms=7_000, retry=1, time="2026-01-02T03:04:05.000Z")
    return Snapshot(post="p", status="retrying", retry=notice)


def waiting(**params: object) -> Snapshot:
    """A run that waits for its turn."""
    return Snapshot(post="p", status="generating", progress=Progress(code="waiting_for_provider", params=params))


@pytest.mark.parametrize(
    ("passed_s", "words"),
    [(0.0, "in 7 s"), (1.2, "in 6 s"), (6.9, "in 1 s"), (7.0, "now"), (99.0, "now"), (-3_600.0, "in 7 s")],
)
def test_a_retry_counts_down(passed_s: float, words: str) -> None:
    """Seconds, then now; a clock that is behind tells no more than the whole."""
    assert countdown(retrying(), BEGAN + timedelta(seconds=passed_s)) == f"Retrying {words} (rate limited)"


def test_the_reason_is_said() -> None:
    """A code without a short reason stands for itself."""
    assert countdown(retrying("provider_cut"), BEGAN) == "Retrying in 7 s (connection cut)"
    assert countdown(retrying("newer"), BEGAN) == "Retrying in 7 s (newer)"


def test_a_turn_is_waited_for() -> None:
    """The end of the wait is the event's own; what is no time is not counted."""
    told = waiting(delay_s=9, until="2026-01-02T03:04:14.000Z")
    assert countdown(told, BEGAN + timedelta(seconds=4)) == "The model provider is asked in 5 s (rate limited)"
    assert countdown(waiting(delay_s=9), BEGAN) is None
    assert countdown(waiting(delay_s="long", until="soon"), BEGAN) is None


def test_nothing_is_waited_for() -> None:
    """While text is written there is nothing to count."""
    assert countdown(Snapshot(post="p", status="generating"), BEGAN) is None
