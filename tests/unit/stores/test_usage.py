"""From groups and samples to totals."""

import pytest

from inkwire_contracts.events import Metrics, Usage
from inkwire_contracts.fold import Section, Snapshot
from inkwire_stores.usage import MAX_MODELS, OTHER_MODELS, Group, Sample, percentiles, spending, totals
from tests.support.post_logs import post_id


def group(model: str = "m", *, tokens: int = 0, cost_usd: float | None = 0.0, posts: int = 1) -> Group:
    """Published posts of one model."""
    return Group("published", model, cost_usd is None, posts, tokens, 0, 0, 0, cost_usd or 0.0, 0)


def test_nearest_rank() -> None:
    """Always a value that occurred; half of the values are at most p50."""
    assert percentiles([]).model_dump() == {"p50": None, "p95": None}
    assert percentiles([None, 7]).model_dump() == {"p50": 7, "p95": 7}
    assert percentiles([4, 1, 3, 2]).model_dump() == {"p50": 2, "p95": 4}
    assert percentiles(range(1, 101)).model_dump() == {"p50": 50, "p95": 95}


def test_the_order_of_samples_does_not_matter() -> None:
    """Both stores give them in an order of their own."""
    samples = [Sample(3, 30), Sample(None, 10), Sample(1, 20)]
    assert totals([], samples) == totals([], samples[::-1])


def test_many_models_are_listed_up_to_a_bound() -> None:
    """The others are added up, so that nothing is missing from the list."""
    groups = [group(f"model-{number:03}", tokens=1_000 - number, cost_usd=1.0) for number in range(MAX_MODELS + 5)]
    listed = totals(groups, []).by_model
    assert [line.model for line in listed] == [f"model-{n:03}" for n in range(MAX_MODELS)] + [OTHER_MODELS]
    assert (listed[-1].posts, listed[-1].cost_usd) == (5, 5.0)
    assert sum(line.tokens_in for line in listed) == sum(one.tokens_in for one in groups)


@pytest.mark.parametrize(
    ("groups", "cost_usd", "without"),
    [
        ([], 0.0, 0),
        ([group()], 0.0, 0),
        ([group(tokens=1, cost_usd=None)], None, 1),
        ([group(tokens=1, cost_usd=None), group()], None, 1),
        ([group(tokens=1, cost_usd=None, posts=3), group(tokens=1, cost_usd=0.5)], 0.5, 3),
    ],
)
def test_the_cost_of_what_has_a_price(groups: list[Group], cost_usd: float | None, without: int) -> None:
    """Never 0 for something that was paid at an unknown price."""
    found = totals(groups, [])
    assert (found.cost_usd, found.posts_without_price) == (cost_usd, without)


def test_a_posts_spending_is_that_of_all_its_runs() -> None:
    """Tokens and cost come from the account, words and times from the end of the last run."""
    snapshot = Snapshot(post=post_id(1), metrics=Metrics(model="m", words=9, duration_ms=80, tokens_in=1, tokens_out=1))
    snapshot.spent.pay(Usage(tokens_in=10, tokens_out=20, cost_usd=0.5), wasted=True)
    spent = spending(snapshot)
    assert (spent.tokens_in, spent.tokens_out, spent.tokens_wasted, spent.tokens_estimated) == (10, 20, 30, 30)
    assert (spent.cost_usd, spent.model, spent.words, spent.run_ms, spent.first_text_ms) == (0.5, "m", 9, 80, None)


def test_a_post_of_an_older_version_tells_its_last_run() -> None:
    """Where no account was kept, the metrics are all there is; without a price they have none."""
    metrics = Metrics(model="m", tokens_in=10, tokens_out=5, tokens_wasted=3, usage_source="reported")
    spent = spending(Snapshot(post=post_id(1), metrics=metrics))
    assert (spent.tokens_in, spent.tokens_wasted, spent.tokens_estimated) == (10, 3, 0)
    assert spent.unpriced


def test_a_post_that_is_being_written() -> None:
    """It has no metrics yet: the model is that of its last finished section, and nothing paid has a price of 0."""
    sections = [Section(section="s1", model="m"), Section(section="s2")]
    spent = spending(Snapshot(post=post_id(1), sections=sections))
    assert (spent.model, spent.words, spent.run_ms, spent.cost_usd, spent.unpriced) == ("m", 0, None, 0.0, False)
