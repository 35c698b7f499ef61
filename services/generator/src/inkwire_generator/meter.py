"""What an attempt pays and how fast it is, counted until the log is told. Pure; times are in monotonic seconds.

The account itself is the log's (:mod:`inkwire_contracts.account`): each amount leaves the meter with one event, so that
whoever takes over knows it. docs/accounting.md has the rules.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from inkwire_contracts.account import Account
from inkwire_contracts.events import MAX_USAGE_TOKENS, Metrics, Usage
from inkwire_contracts.fold import Snapshot, document
from inkwire_generator.completion import estimated_usage

CostOf = Callable[[str, int, int], float | None]


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum; reported only if all of it is, and with a cost only if all of it has a price."""
    known = list(usages)
    costs = [usage.cost_usd for usage in known if usage.tokens_in + usage.tokens_out]
    return Usage(
        tokens_in=min(MAX_USAGE_TOKENS, sum(usage.tokens_in for usage in known)),
        tokens_out=min(MAX_USAGE_TOKENS, sum(usage.tokens_out for usage in known)),
        source="reported" if known and all(usage.source == "reported" for usage in known) else "estimated",
        cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """An answer that is under way: nothing is reported of it yet."""

    model: str
    prompt_chars: int
    text_chars: int = 0


class Meter:
    """Counts for one attempt."""

    def __init__(self, started_s: float, cost_of: CostOf) -> None:
        self.started_s = started_s
        self.first_token_s: float | None = None
        self.model = ""
        self._cost_of = cost_of
        self._untold: list[Usage] = []
        self._call: _Call | None = None
        self._streaming_s = 0.0
        self._streamed_tokens = 0

    def age_s(self, now_s: float) -> float:
        """Seconds since the attempt began."""
        return now_s - self.started_s

    def inherited(self, prompt_chars: int, text_chars: int, model: str) -> None:
        """The attempt before left text of an unfinished answer behind; what it was paid is our estimate."""
        self._untold.append(self._priced(estimated_usage(prompt_chars, text_chars), model))

    def opened(self, prompt_chars: int, model: str) -> None:
        """A provider has begun to answer: from here on it is paid for."""
        self._call = _Call(model, prompt_chars)

    def received(self, text_chars: int, now_s: float) -> None:
        """A model's text arrived."""
        if self.first_token_s is None:
            self.first_token_s = now_s
        if self._call is not None:
            self._call = _Call(self._call.model, self._call.prompt_chars, self._call.text_chars + text_chars)

    def finished(self, usage: Usage, model: str, streaming_s: float) -> None:
        """A provider's answer ended well, ``streaming_s`` after its first text."""
        self.model = model
        self._call = None
        self._untold.append(self._priced(usage, model))
        self._streaming_s += streaming_s
        self._streamed_tokens += usage.tokens_out

    def untold(self) -> Usage | None:
        """What was paid and no event has told yet; an open answer is estimated."""
        untold = list(self._untold)
        if self._call is not None:
            usage = estimated_usage(self._call.prompt_chars, self._call.text_chars)
            untold.append(self._priced(usage, self._call.model))
        return total_usage(untold) if untold else None

    def tell(self) -> Usage | None:
        """:meth:`untold`, for the event that is written now."""
        usage = self.untold()
        self._untold, self._call = [], None
        return usage

    def spent(self, snapshot: Snapshot) -> Account:
        """What the run has cost so far: the account of its log, and what no event has told yet."""
        account = snapshot.run_spent.model_copy()
        account.pay(self.untold(), wasted=False)
        return account

    def metrics(self, snapshot: Snapshot, now_s: float, *, last: Usage | None = None, kept: bool = True) -> Metrics:
        """The run's figures: the account of its log, and ``last``, which its terminal event tells (``kept`` or not)."""
        account = snapshot.run_spent.model_copy()
        account.pay(last, wasted=not kept)
        first = self.first_token_s
        return Metrics(
            model=self.model or next((s.model for s in reversed(snapshot.sections) if s.model), ""),
            time_to_first_token_ms=None if first is None else round((first - self.started_s) * 1000),
            duration_ms=round(self.age_s(now_s) * 1000),
            tokens_in=account.tokens_in,
            tokens_out=account.tokens_out,
            tokens_per_s=round(self._streamed_tokens / self._streaming_s, 1) if self._streaming_s > 0 else 0.0,
            cost_usd=account.cost_usd,
            retries=account.retries,
            usage_source="reported" if account.tokens and not account.tokens_estimated else "estimated",
            words=len(document(snapshot).split()),
            tokens_wasted=account.tokens_wasted,
        )

    def _priced(self, usage: Usage, model: str) -> Usage:
        return usage.model_copy(update={"cost_usd": self._cost_of(model, usage.tokens_in, usage.tokens_out)})
