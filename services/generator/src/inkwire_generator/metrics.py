"""What a run cost and how fast it was, counted along the way. Pure; times are given in monotonic seconds."""

from collections.abc import Callable, Iterable

from inkwire_contracts.events import Metrics, Usage
from inkwire_contracts.fold import Snapshot, document
from inkwire_generator.completion import estimated_usage

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
        self._wasted: list[Usage] = []
        self._open: list[Usage] = []
        self._call_chars: tuple[int, int] | None = None
        self._streaming_s = 0.0
        self._streamed_tokens = 0

    def age_s(self, now_s: float) -> float:
        """Seconds since the attempt began."""
        return now_s - self.started_s

    def opened(self, prompt_chars: int) -> None:
        """A provider has begun to answer: from here on it is paid for."""
        self._call_chars = (prompt_chars, 0)

    def received(self, text_chars: int, now_s: float) -> None:
        """A model's text arrived."""
        if self.first_token_s is None:
            self.first_token_s = now_s
        prompt_chars, before_chars = self._call_chars or (0, 0)
        self._call_chars = (prompt_chars, before_chars + text_chars)

    def finished(self, usage: Usage, model: str, streaming_s: float) -> None:
        """A provider's answer ended well, ``streaming_s`` after its first text."""
        self.model = model
        self._call_chars = None
        self._open.append(usage)
        self._streaming_s += streaming_s
        self._streamed_tokens += usage.tokens_out

    def kept(self) -> Usage:
        """The open section is finished: what its answers cost, for the log."""
        usage, self._open = total_usage(self._open), []
        return usage

    def superseded(self) -> None:
        """The open section begins again: whatever was paid for it is wasted."""
        self._wasted += self._open_usages()
        self._open, self._call_chars = [], None

    def inherited(self, usage: Usage) -> None:
        """An attempt before this one was paid this much (we estimate) for text that is superseded now."""
        self._wasted.append(usage)

    def metrics(self, snapshot: Snapshot, now_s: float, cost_of: CostOf) -> Metrics:
        """The run's figures, a section that was not finished included."""
        kept = [section.usage for section in snapshot.sections if section.usage is not None]
        total = total_usage([*kept, *self._wasted, *self._open_usages()])
        wasted = total_usage(self._wasted)
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
            tokens_wasted=wasted.tokens_in + wasted.tokens_out,
        )

    def _open_usages(self) -> list[Usage]:
        """The open section's answers; one that is under way reports nothing, so it is estimated."""
        return [*self._open, estimated_usage(*self._call_chars)] if self._call_chars is not None else self._open
