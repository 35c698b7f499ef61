"""What a post has cost, as its log tells it: paid, of that wasted, of that estimated.

Each amount is told once, by the event that makes it known, and added here by the fold; so whoever reads the log knows
the account, and no worker's memory is part of it. docs/accounting.md says which event tells what.
"""

from pydantic import BaseModel, ConfigDict

from inkwire_contracts.events import Usage


class Account(BaseModel):
    """Tokens and money paid to providers. Mutable: the fold adds to it.

    ``wasted_in`` and ``wasted_out`` are among ``tokens_in`` and ``tokens_out``: paid for text that does not stand.
    ``tokens_estimated`` are those, of both directions, that no provider reported. ``cost_usd`` is ``None`` as soon as
    the price of one paid answer is not known: a sum with a part missing would be wrong.
    """

    model_config = ConfigDict(extra="ignore")

    tokens_in: int = 0
    tokens_out: int = 0
    wasted_in: int = 0
    wasted_out: int = 0
    tokens_estimated: int = 0
    cost_usd: float | None = 0.0
    retries: int = 0
    """Provider calls that failed and were made again."""

    @property
    def tokens(self) -> int:
        """Paid in both directions."""
        return self.tokens_in + self.tokens_out

    @property
    def tokens_wasted(self) -> int:
        """Wasted in both directions."""
        return self.wasted_in + self.wasted_out

    def pay(self, usage: Usage | None, *, wasted: bool) -> None:
        """Add what an event tells; ``wasted``: for text that does not stand."""
        if usage is None:
            return
        tokens = usage.tokens_in + usage.tokens_out
        self.tokens_in += usage.tokens_in
        self.tokens_out += usage.tokens_out
        if usage.source == "estimated":
            self.tokens_estimated += tokens
        if tokens > 0 or usage.cost_usd is not None:
            known = self.cost_usd is not None and usage.cost_usd is not None
            self.cost_usd = (self.cost_usd or 0.0) + (usage.cost_usd or 0.0) if known else None
        if wasted:
            self.waste(usage)

    def waste(self, usage: Usage | None) -> None:
        """What was paid for before has been superseded."""
        if usage is not None:
            self.wasted_in += usage.tokens_in
            self.wasted_out += usage.tokens_out
