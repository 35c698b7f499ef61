"""What a post has cost, added up."""

import pytest
from pydantic import ValidationError

from inkwire_contracts.account import Account
from inkwire_contracts.events import MAX_USAGE_TOKENS, Usage

REPORTED = Usage(tokens_in=100, tokens_out=40, source="reported", cost_usd=0.5)
ESTIMATED = Usage(tokens_in=10, tokens_out=4, cost_usd=0.25)


def test_what_is_kept_and_what_is_wasted_add_up() -> None:
    """Everything is paid, only what is told as wasted is wasted, and estimates are told apart."""
    account = Account()
    account.pay(REPORTED, wasted=False)
    account.pay(ESTIMATED, wasted=True)
    account.pay(None, wasted=True)
    assert (account.tokens_in, account.tokens_out, account.tokens) == (110, 44, 154)
    assert (account.wasted_in, account.wasted_out, account.tokens_wasted) == (10, 4, 14)
    assert (account.tokens_estimated, account.cost_usd) == (14, 0.75)


def test_what_is_superseded_later_is_not_paid_twice() -> None:
    """Waste of what was paid before moves no token and no money."""
    account = Account()
    account.pay(REPORTED, wasted=False)
    account.waste(REPORTED)
    account.waste(None)
    assert (account.tokens, account.tokens_wasted, account.cost_usd) == (140, 140, 0.5)


def test_one_unknown_price_makes_the_sum_unknown() -> None:
    """A cost with a part missing is none, for good, and never 0."""
    account = Account()
    account.pay(REPORTED, wasted=False)
    account.pay(Usage(tokens_in=1), wasted=False)
    account.pay(REPORTED, wasted=False)
    assert account.cost_usd is None


def test_nothing_paid_costs_nothing() -> None:
    """An answer without tokens needs no price."""
    account = Account()
    account.pay(Usage(), wasted=True)
    assert (account.tokens, account.cost_usd) == (0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens_in": -1},
        {"tokens_out": -1},
        {"tokens_in": MAX_USAGE_TOKENS + 1},
        {"tokens_out": 2**63},
        {"cost_usd": -0.1},
        {"cost_usd": float("nan")},
        {"cost_usd": float("inf")},
    ],
)
def test_usage_is_bounded(wrong: dict[str, float]) -> None:
    """Counts that no provider can mean are refused before they spoil a sum."""
    with pytest.raises(ValidationError):
        Usage.model_validate(wrong)
    assert Usage(tokens_in=MAX_USAGE_TOKENS, tokens_out=0).tokens_in == MAX_USAGE_TOKENS
