"""What a run cost and how fast it was."""

import pytest

from inkwire_contracts.events import Usage
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator.adapters.prices import BundledPrices
from inkwire_generator.metrics import Meter
from tests.support.lives import POST

REPORTED = Usage(tokens_in=100, tokens_out=40, source="reported")


def post(*usages: Usage) -> Snapshot:
    """A post with finished sections of these costs."""
    sections = [
        Section(section=f"s{n}", text="two words ", usage=usage, model="gpt-4o-mini", status="done")
        for n, usage in enumerate(usages)
    ]
    return Snapshot(post=POST, sections=sections)


def no_price(_model: str, _tokens_in: int, _tokens_out: int) -> None:
    """Nobody knows."""


def test_a_run_without_trouble() -> None:
    """Times, tokens, speed and words of two finished sections."""
    meter = Meter(started_s=10.0)
    for now_s in (10.25, 11.0):
        meter.opened(prompt_chars=400)
        meter.received(9, now_s)
        meter.finished(REPORTED, "m", streaming_s=2.0)
        assert meter.kept() == REPORTED
    metrics = meter.metrics(post(REPORTED, REPORTED), 15.0, no_price)
    assert (metrics.tokens_in, metrics.tokens_out, metrics.tokens_per_s) == (200, 80, 20.0)
    assert (metrics.time_to_first_token_ms, metrics.duration_ms, metrics.words) == (250, 5_000, 4)
    assert (metrics.usage_source, metrics.model, metrics.cost_usd, metrics.retries) == ("reported", "m", None, 0)
    assert metrics.tokens_wasted == 0


def test_what_was_superseded_is_counted() -> None:
    """A failed answer and one that could not be used cost too, and an estimate among reports makes all an estimate."""
    meter = Meter(0.0)
    meter.opened(prompt_chars=200)
    meter.received(20, 1.0)
    meter.superseded()
    meter.finished(REPORTED, "m", streaming_s=1.0)
    meter.superseded()
    meter.inherited(Usage(tokens_in=7, tokens_out=3))
    metrics = meter.metrics(post(REPORTED), 1.0, no_price)
    assert (metrics.tokens_in, metrics.tokens_out) == (50 + 100 + 7 + 100, 5 + 40 + 3 + 40)
    assert (metrics.tokens_wasted, metrics.usage_source) == (205, "estimated")


def test_an_unfinished_section_is_paid_but_not_wasted() -> None:
    """What a cancelled run holds of its open section is kept, and its cost stands: ended answers and the last one."""
    meter = Meter(0.0)
    meter.finished(REPORTED, "m", streaming_s=1.0)
    meter.opened(prompt_chars=8)
    meter.received(4, 1.0)
    metrics = meter.metrics(post(), 1.0, no_price)
    assert (metrics.tokens_in, metrics.tokens_out, metrics.tokens_wasted) == (102, 41, 0)


def test_a_call_that_nobody_answered_costs_nothing() -> None:
    """A refusal before the first byte is not paid for."""
    meter = Meter(0.0)
    meter.superseded()
    assert meter.metrics(post(), 1.0, no_price).tokens_in == 0


def test_sections_of_earlier_attempts_count() -> None:
    """A worker that takes over adds what the log says was paid before it."""
    metrics = Meter(0.0).metrics(post(REPORTED, REPORTED), 1.0, no_price)
    assert (metrics.tokens_in, metrics.model) == (200, "gpt-4o-mini")
    assert metrics.time_to_first_token_ms is None and metrics.tokens_per_s == 0.0


def test_a_run_that_never_began() -> None:
    """Nothing paid, nothing known."""
    metrics = Meter(0.0).metrics(Snapshot(post=POST), 0.0, no_price)
    assert (metrics.tokens_in, metrics.model, metrics.usage_source) == (0, "", "estimated")


def test_prices_of_known_models() -> None:
    """A known model has a price, an unknown one and the simulator have none."""
    prices = BundledPrices()
    cost = prices.cost_usd("gpt-4o-mini", 1_000_000, 0)
    assert cost == pytest.approx(0.15, rel=0.5)
    assert prices.cost_usd("nobody-knows-this-model", 10, 10) is None
    assert BundledPrices(simulated=True).cost_usd("gpt-4o-mini", 10, 10) is None
