"""What a run cost and how fast it was, counted along the way. Pure; times are given in monotonic seconds."""

from collections.abc import Callable, Iterable

from inkwire_contracts.events import Metrics, Usage
from inkwire_contracts.fold import Snapshot, document

CostOf = Callable[[str, int, int], float | None]


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum; reported only if all of it is."""
    known = list(usages)
    return Usage(
        tokens_in=sum(usage.tokens_in for usage in known),
        tokens_out=sum(usage.tokens_out for usage in known),
        source="reported" if known and all(usage.source == "reported" for usage in known) else "estimated",
    )


class Meter:
    """Counts for one attempt; finished sections of earlier attempts are added from the snapshot."""

    def __init__(self, started_s: float) -> None:
        self.started_s = started_s
        self.first_token_s: float | None = None
        self.retries = 0
        self.model = ""
        self._thrown_away: list[Usage] = []
        self._streaming_s = 0.0
        self._streamed_tokens = 0

    def age_s(self, now_s: float) -> float:
        """Seconds since the attempt began."""
        return now_s - self.started_s

    def first_token(self, now_s: float) -> None:
        """A model's text arrived; only the first time counts."""
        if self.first_token_s is None:
            self.first_token_s = now_s

    def finished(self, usage: Usage, model: str, streaming_s: float) -> None:
        """A provider call ended well, ``streaming_s`` after its first text."""
        self.model = model
        self._streaming_s += streaming_s
        self._streamed_tokens += usage.tokens_out

    def wasted(self, usage: Usage) -> None:
        """A provider call failed after (we estimate) this much was paid for."""
        self.retries += 1
        self._thrown_away.append(usage)

    def metrics(self, snapshot: Snapshot, now_s: float, cost_of: CostOf, open_usage: Usage | None = None) -> Metrics:
        """The run's figures; ``open_usage`` is that of a section that was not finished."""
        usages = [section.usage for section in snapshot.sections if section.usage is not None] + self._thrown_away
        usages += [open_usage] if open_usage is not None else []
        total = total_usage(usages)
        model = self.model or next((s.model for s in reversed(snapshot.sections) if s.model), "")
        first = self.first_token_s
        return Metrics(
            model=model,
            time_to_first_token_ms=None if first is None else round((first - self.started_s) * 1000),
            duration_ms=round(self.age_s(now_s) * 1000),
            tokens_in=total.tokens_in,
            tokens_out=total.tokens_out,
            tokens_per_s=round(self._streamed_tokens / self._streaming_s, 1) if self._streaming_s > 0 else 0.0,
            cost_usd=cost_of(model, total.tokens_in, total.tokens_out) if model else None,
            retries=self.retries,
            usage_source=total.source,
            words=len(document(snapshot).split()),
        )
