"""Waiting before the next attempt."""

import random

from inkwire.calls import AT_ONCE_MAX_S, Backoff

SEED = 4200


def test_delays_double_up_to_a_bound() -> None:
    """At the longest jitter each delay is twice the one before, up to the bound; success starts over."""
    backoff = Backoff(jitter=lambda: 1.0)
    delays = [backoff.delay_s(at_once=False) for _ in range(10)]
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert delays[-1] == 5.0
    backoff.reset()
    assert backoff.delay_s(at_once=False) == 0.1


def test_clients_that_are_sent_elsewhere_spread() -> None:
    """Whoever is told to come back at once does so at some moment within 300 ms, each at another one."""
    seeded = random.Random(SEED)
    delays = [Backoff(seeded.random).delay_s(at_once=True) for _ in range(1_000)]
    assert all(0 <= delay_s <= AT_ONCE_MAX_S == 0.3 for delay_s in delays)
    tenths = [int(delay_s / AT_ONCE_MAX_S * 10) for delay_s in delays]
    assert all(50 <= tenths.count(tenth) <= 150 for tenth in range(10))


def test_sent_elsewhere_again_at_once_waits_longer() -> None:
    """Who received nothing before the next such close waits longer each time, to a bound; receiving starts over."""
    backoff = Backoff(random.Random(SEED).random)
    backoff.delay_s(at_once=True)
    delays = [backoff.delay_s(at_once=True) for _ in range(8)]
    for delay_s, ceiling_s in zip(delays, (0.6, 1.2, 2.4, 4.8, 5.0, 5.0, 5.0, 5.0), strict=True):
        assert ceiling_s / 2 <= delay_s <= ceiling_s
    backoff.reset()
    assert backoff.delay_s(at_once=True) <= AT_ONCE_MAX_S
