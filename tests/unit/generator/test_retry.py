"""Whether a failed provider call is made again."""

import pytest

from inkwire_contracts.account import Account
from inkwire_generator.errors import ProviderError
from inkwire_generator.retry import (
    INVALID_OUTPUT_RETRIES,
    RetryDecision,
    RetryHistory,
    RetryPolicy,
    decide,
    is_over_budget,
)

POLICY = RetryPolicy()
CUT = ProviderError("provider_cut", retryable=True)


def test_what_cannot_help_is_not_tried() -> None:
    """Keys, quotas, filters and limits of length end the run at once, with their own code."""
    error = ProviderError("provider_quota", retryable=False)
    assert decide(error, RetryHistory(0, 0), POLICY, 0.0) == RetryDecision(None, "provider_quota")


def test_delays_double_up_to_a_bound() -> None:
    """Failures in a row wait 1, 2, 4, 8, 16 and then 20 seconds."""
    delays = [decide(CUT, RetryHistory(failures, 0), POLICY, 0.0).delay_s for failures in range(6)]
    assert delays == [1, 2, 4, 8, 16, 20]


def test_jitter_takes_off_up_to_a_half() -> None:
    """Chance spreads the delays between a half and the whole."""
    assert decide(CUT, RetryHistory(1, 0), POLICY, 0.5).delay_s == 1.5
    assert decide(CUT, RetryHistory(1, 0), POLICY, 0.999).delay_s == pytest.approx(1.0, abs=0.01)


def test_failures_in_a_row_are_bounded() -> None:
    """After as many failures as allowed the run ends with the error's code."""
    last = RetryHistory(POLICY.max_retries_count, 0)
    assert decide(CUT, last, POLICY, 0.0) == RetryDecision(None, "provider_cut")


def test_unusable_answers_are_asked_for_less_often() -> None:
    """An unusable answer has a smaller bound of its own, which a smaller policy still lowers."""
    unusable = ProviderError("provider_invalid_output", retryable=True)
    assert decide(unusable, RetryHistory(5, 0, INVALID_OUTPUT_RETRIES - 1), POLICY, 0.0).delay_s is not None
    assert decide(unusable, RetryHistory(5, 0, INVALID_OUTPUT_RETRIES), POLICY, 0.0).delay_s is None
    assert decide(CUT, RetryHistory(5, 0, INVALID_OUTPUT_RETRIES), POLICY, 0.0).delay_s is not None
    assert decide(unusable, RetryHistory(0, 0), RetryPolicy(max_retries_count=0), 0.0).delay_s is None


def test_retry_after_is_honoured() -> None:
    """A provider that asks for a longer wait gets it, one that asks for a shorter one gets ours."""
    longer = ProviderError("provider_rate_limited", retryable=True, retry_after_s=7.0)
    shorter = ProviderError("provider_rate_limited", retryable=True, retry_after_s=0.1)
    assert decide(longer, RetryHistory(0, 0), POLICY, 0.0).delay_s == 7.0
    assert decide(shorter, RetryHistory(0, 0), POLICY, 0.0).delay_s == 1.0


def test_an_endless_retry_after_ends_the_run() -> None:
    """A provider that asks for more than the bound is given up."""
    error = ProviderError("provider_rate_limited", retryable=True, retry_after_s=POLICY.max_retry_after_s + 1)
    assert decide(error, RetryHistory(0, 0), POLICY, 0.0) == RetryDecision(None, "provider_rate_limited")


def test_a_call_that_was_not_made_counts_for_nothing() -> None:
    """Behind an open circuit or a throttle a run waits as it is told, spread by chance, however often it failed."""
    held = ProviderError("provider_unavailable", retryable=True, retry_after_s=300.0, asked=False)
    assert decide(held, RetryHistory(99, 0), POLICY, 0.0) == RetryDecision(300.0, "provider_unavailable")
    assert decide(held, RetryHistory(99, 0), POLICY, 0.5).delay_s == 300.5
    assert decide(held, RetryHistory(0, POLICY.max_age_s - 299), POLICY, 0.0).code == "deadline_exceeded"


def test_an_old_attempt_is_not_continued() -> None:
    """When the wait would end beyond the attempt's age limit, the run ends as too late."""
    assert decide(CUT, RetryHistory(0, POLICY.max_age_s), POLICY, 0.0) == RetryDecision(None, "deadline_exceeded")


def test_a_run_that_cost_enough_asks_no_more() -> None:
    """Money that is used up ends the run instead of a retry, made or not; a hopeless error keeps its own code."""
    over = RetryHistory(0, 0, over_budget=True)
    held = ProviderError("provider_unavailable", retryable=True, retry_after_s=1.0, asked=False)
    refused = ProviderError("provider_auth", retryable=False)
    assert decide(CUT, over, POLICY, 0.0) == RetryDecision(None, "budget_exceeded")
    assert decide(held, over, POLICY, 0.0) == RetryDecision(None, "budget_exceeded")
    assert decide(refused, over, POLICY, 0.0).code == "provider_auth"


@pytest.mark.parametrize(
    ("cost_usd", "max_cost_usd", "max_tokens", "over"),
    [
        (0.49, 0.5, None, False),
        (0.5, 0.5, None, True),
        (None, 0.5, None, False),
        (None, 0.5, 100, True),
        (None, 0.5, 101, False),
        (9.0, None, 100, True),
        (9.0, None, None, False),
    ],
)
def test_money_and_tokens(
    cost_usd: float | None, max_cost_usd: float | None, max_tokens: int | None, over: bool
) -> None:
    """Either limit is enough; a cost that is not known bounds nothing, tokens of both directions always do."""
    policy = RetryPolicy(max_cost_usd=max_cost_usd, max_tokens=max_tokens)
    assert is_over_budget(Account(tokens_in=60, tokens_out=40, cost_usd=cost_usd), policy) is over
