"""Whether a failed provider call is made again, and when: a pure function of the error and the history."""

from dataclasses import dataclass

from inkwire_contracts.account import Account
from inkwire_generator.errors import ProviderError

INVALID_OUTPUT_RETRIES = 3
"""An answer that cannot be used costs as much as one that can, so it is asked for less often."""


UNUSABLE = "provider_invalid_output"

OVER_BUDGET = "budget_exceeded"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds. All durations in seconds."""

    max_retries_count: int = 6
    """Failures in a row without a finished section between them."""
    first_delay_s: float = 1.0
    max_delay_s: float = 20.0
    max_retry_after_s: float = 120.0
    """A provider that asks for a longer wait is given up."""
    max_age_s: float = 1_800.0
    """No call is begun again when the attempt is older than this."""
    max_cost_usd: float | None = None
    """No call is begun once the run has cost as much, where the prices of its models are known."""
    max_tokens: int | None = None
    """No call is begun once the run was paid with as many tokens, whatever they cost."""


@dataclass(frozen=True, slots=True)
class RetryHistory:
    """What happened so far, this failure not counted: ``failures`` in a row since the last progress; age in seconds.

    ``unusable`` are those of the failures that were whole answers of no use. A cut line says nothing about the model.
    """

    failures: int
    age_s: float
    unusable: int = 0
    over_budget: bool = False
    """The run has cost what it may cost: see :func:`is_over_budget`."""


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Wait ``delay_s`` and ask again, or (``None``) end the run with ``code``."""

    delay_s: float | None
    code: str


def is_over_budget(spent: Account, policy: RetryPolicy) -> bool:
    """Whether no further call may be made. One that is under way is not cut: a run ends above its limit by one answer.

    A cost that is not known bounds nothing; tokens are always known.
    """
    costly = policy.max_cost_usd is not None and spent.cost_usd is not None and spent.cost_usd >= policy.max_cost_usd
    return costly or (policy.max_tokens is not None and spent.tokens >= policy.max_tokens)


def decide(error: ProviderError, history: RetryHistory, policy: RetryPolicy, jitter: float) -> RetryDecision:
    """``jitter`` in [0, 1) spreads the delays of many posts over the lower half of each.

    A call that was not made counts for nothing: the run waits as it is told, bounded by its age alone.
    """
    if not error.retryable:
        return RetryDecision(None, error.code)
    if history.over_budget:
        return RetryDecision(None, OVER_BUDGET)
    if not error.asked:
        return _in_time((error.retry_after_s or 0.0) + jitter * policy.first_delay_s, error.code, history, policy)
    hopeless = error.code == UNUSABLE and history.unusable >= INVALID_OUTPUT_RETRIES
    if hopeless or history.failures >= policy.max_retries_count:
        return RetryDecision(None, error.code)
    backoff_s = min(policy.max_delay_s, policy.first_delay_s * 2 ** min(history.failures, 16))
    delay_s = backoff_s * (1 - jitter / 2)
    if error.retry_after_s is not None:
        if error.retry_after_s > policy.max_retry_after_s:
            return RetryDecision(None, error.code)
        delay_s = max(delay_s, error.retry_after_s)
    return _in_time(delay_s, error.code, history, policy)


def _in_time(delay_s: float, code: str, history: RetryHistory, policy: RetryPolicy) -> RetryDecision:
    if history.age_s + delay_s > policy.max_age_s:
        return RetryDecision(None, "deadline_exceeded")
    return RetryDecision(delay_s, code)
