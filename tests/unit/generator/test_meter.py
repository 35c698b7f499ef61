"""What an attempt pays, told once, and how fast it was."""

import pytest

from inkwire_contracts.events import MAX_USAGE_TOKENS, Usage
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator.adapters.prices import BundledPrices
from inkwire_generator.meter import Meter, total_usage
from tests.support.lives import POST

REPORTED = Usage(tokens_in=100, tokens_out=40, source="reported")


def post(*usages: Usage) -> Snapshot:
    """A post with finished sections of these costs."""
    snapshot = Snapshot(post=POST)
    for number, usage in enumerate(usages):
        section = Section(section=f"s{number}", text="two words ", usage=usage, model="gpt-4o-mini", status="done")
        snapshot.sections.append(section)
        snapshot.run_spent.pay(usage, wasted=False)
    return snapshot


def no_price(_model: str, _tokens_in: int, _tokens_out: int) -> None:
    """Nobody knows."""


def a_dollar_a_token(model: str, tokens_in: int, tokens_out: int) -> float | None:
    """Of the model m; of others nobody knows."""
    return float(tokens_in + tokens_out) if model == "m" else None


def test_a_run_without_trouble() -> None:
    """Times, tokens, speed and words of two finished sections."""
    meter = Meter(10.0, no_price)
    for now_s in (10.25, 11.0):
        meter.opened(400, "asked")
        meter.received(9, now_s)
        meter.finished(REPORTED, "m", streaming_s=2.0)
        assert meter.tell() == REPORTED
    metrics = meter.metrics(post(REPORTED, REPORTED), 15.0)
    assert (metrics.tokens_in, metrics.tokens_out, metrics.tokens_per_s) == (200, 80, 20.0)
    assert (metrics.time_to_first_token_ms, metrics.duration_ms, metrics.words) == (250, 5_000, 4)
    assert (metrics.usage_source, metrics.model, metrics.cost_usd, metrics.retries) == ("reported", "m", None, 0)
    assert metrics.tokens_wasted == 0


def test_an_open_answer_is_estimated_from_its_letters() -> None:
    """A quarter of a token for each character of question and answer, at the price of the model that was asked."""
    meter = Meter(0.0, a_dollar_a_token)
    meter.opened(200, "m")
    meter.received(20, 1.0)
    meter.received(1, 2.0)
    assert meter.tell() == Usage(tokens_in=50, tokens_out=6, source="estimated", cost_usd=56.0)
    assert meter.first_token_s == 1.0


def test_everything_is_told_once() -> None:
    """What one event has told, no later one tells again."""
    meter = Meter(0.0, no_price)
    meter.inherited(8, 4, "m")
    meter.finished(REPORTED, "m", streaming_s=1.0)
    meter.opened(8, "m")
    assert meter.tell() == Usage(tokens_in=2 + 100 + 2, tokens_out=1 + 40, source="estimated")
    assert meter.tell() is None


def test_what_a_run_has_spent_includes_what_nobody_told_yet() -> None:
    """The log's account, finished answers and the open one; asking changes neither log nor meter."""
    snapshot = post(REPORTED)
    before = snapshot.model_copy(deep=True)
    meter = Meter(0.0, a_dollar_a_token)
    meter.finished(REPORTED, "m", streaming_s=1.0)
    meter.opened(8, "m")
    spent = meter.spent(snapshot)
    assert (spent.tokens, spent.tokens_estimated, spent.cost_usd) == (140 + 140 + 2, 140 + 2, None)
    assert snapshot == before
    assert meter.spent(snapshot) == spent and meter.tell() is not None
    assert meter.spent(snapshot) == snapshot.run_spent


def test_a_call_that_nobody_answered_costs_nothing() -> None:
    """A refusal before the first byte is not paid for, and there is nothing to tell."""
    meter = Meter(0.0, no_price)
    assert meter.tell() is None
    assert meter.metrics(post(), 1.0).tokens_in == 0


def test_one_price_that_is_not_known_leaves_the_sum_without_one() -> None:
    """Two models answered for a section and only one has a price."""
    meter = Meter(0.0, a_dollar_a_token)
    meter.finished(REPORTED, "m", streaming_s=1.0)
    meter.finished(REPORTED, "nobody-knows-this-model", streaming_s=1.0)
    told = meter.tell()
    assert told is not None and (told.tokens_in, told.cost_usd) == (200, None)


def test_sums_stay_within_what_an_event_may_tell() -> None:
    """A provider that reports absurd counts spoils no event."""
    absurd = Usage(tokens_in=MAX_USAGE_TOKENS, tokens_out=MAX_USAGE_TOKENS)
    assert total_usage([absurd, absurd]) == absurd


@pytest.mark.parametrize(("kept", "wasted"), [(True, 0), (False, 14)])
def test_the_last_answer_of_a_run_that_ends_early(kept: bool, wasted: int) -> None:
    """What the terminal event tells is in its metrics: paid in any case, wasted only where no text is kept."""
    last = Usage(tokens_in=10, tokens_out=4, source="estimated", cost_usd=1.0)
    metrics = Meter(0.0, no_price).metrics(post(REPORTED), 1.0, last=last, kept=kept)
    assert (metrics.tokens_in, metrics.tokens_out, metrics.tokens_wasted) == (110, 44, wasted)
    assert (metrics.usage_source, metrics.cost_usd) == ("estimated", None)


def test_the_log_knows_what_other_workers_paid() -> None:
    """A worker that takes over reports what the log says was paid, wasted and tried again before it."""
    snapshot = post(REPORTED)
    snapshot.run_spent.pay(REPORTED, wasted=True)
    snapshot.run_spent.retries = 3
    metrics = Meter(0.0, no_price).metrics(snapshot, 1.0)
    assert (metrics.tokens_in, metrics.tokens_wasted, metrics.retries, metrics.model) == (200, 140, 3, "gpt-4o-mini")
    assert metrics.time_to_first_token_ms is None and metrics.tokens_per_s == 0.0


def test_a_run_that_never_began() -> None:
    """Nothing paid, nothing known, nothing owed."""
    metrics = Meter(0.0, no_price).metrics(Snapshot(post=POST), 0.0)
    assert (metrics.tokens_in, metrics.model, metrics.usage_source, metrics.cost_usd) == (0, "", "estimated", 0.0)


def test_prices_of_known_models() -> None:
    """A known model has a price, also for one short answer; an unknown one and the simulator have none."""
    prices = BundledPrices()
    cost = prices.cost_usd("gpt-4o-mini", 1_000_000, 0)
    assert cost == pytest.approx(0.15, rel=0.5)
    assert prices.cost_usd("gpt-4o-mini", 1, 0) == pytest.approx((cost or 0) / 1e6, rel=0.1)
    assert prices.cost_usd("nobody-knows-this-model", 10, 10) is None
    assert BundledPrices(simulated=True).cost_usd("gpt-4o-mini", 10, 10) is None
