"""When deltas are due, on a clock that the test holds."""

import pytest

from inkwire_openai_sim.pacing import LONGEST_WAIT_S, MAX_BATCH, SHORTEST_WAIT_S, Pacer, Speed


class Bench:
    """A pacer, its clock and its speed."""

    def __init__(self, tokens_per_s: float) -> None:
        self.now_s, self.speed = 100.0, Speed(tokens_per_s, 0)
        self.pacer = Pacer(lambda: self.speed, lambda: self.now_s)


@pytest.mark.parametrize("rate", [0.5, 3, 60, 999, 7_000])
def test_pace_is_exact_over_time(rate: float) -> None:
    """Whoever waits as told and sends what is allowed has sent rate x time deltas, never more, at most a batch less."""
    bench, sent = Bench(rate), 0
    for _ in range(400):
        sent = max(sent, bench.pacer.allowed(sent))
        assert sent <= 1 + (bench.now_s - 100) * rate + 1e-3
        bench.now_s += bench.pacer.wait_s(sent)
    assert sent >= (bench.now_s - 100) * rate - max(1, rate * SHORTEST_WAIT_S + 1)


def test_late_sender_catches_up_in_batches() -> None:
    """After a pause the missed deltas are due at once, at most MAX_BATCH in one write."""
    bench = Bench(1_000)
    bench.now_s += 1
    assert bench.pacer.allowed(0) == MAX_BATCH
    assert bench.pacer.allowed(MAX_BATCH) == 2 * MAX_BATCH
    assert bench.pacer.wait_s(MAX_BATCH) == SHORTEST_WAIT_S


def test_no_speed_means_no_pause() -> None:
    """Speed 0 sends full batches without waiting."""
    bench = Bench(0)
    assert (bench.pacer.allowed(10), bench.pacer.wait_s(10)) == (10 + MAX_BATCH, 0.0)


def test_change_of_speed_counts_from_now() -> None:
    """A new speed is noticed within LONGEST_WAIT_S and neither repays nor demands what the old one would have sent."""
    bench = Bench(0.01)
    assert bench.pacer.allowed(0) == 1
    assert bench.pacer.wait_s(1) == LONGEST_WAIT_S
    bench.now_s, bench.speed = 150.0, Speed(10, 0)
    assert bench.pacer.allowed(1) == 2
    bench.now_s += 1
    assert bench.pacer.allowed(2) == 12
