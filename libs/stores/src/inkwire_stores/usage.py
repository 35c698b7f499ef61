"""What posts have cost, in total: the same arithmetic for every store. Pure.

A store keeps a :class:`Spending` beside each post and adds them up in groups by itself, so that no text is read. What
is left, from groups and samples to the answer, is here. A post counts with all its runs in the period in which it was
created; a deleted one still does, for what was paid stays paid.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inkwire_contracts.fold import Snapshot
from inkwire_contracts.views import ModelUsage, Percentiles, UsageTotals

MAX_SAMPLES = 1_000
"""Percentiles are those of the newest published posts, of so many at most."""

MAX_MODELS = 50
"""Models listed one by one, those with most tokens; the others are added up under OTHER_MODELS."""

OTHER_MODELS = "(others)"
RATIO_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Spending:
    """One post's account as totals need it. ``cost_usd`` is ``None`` where it is not known, and then ``unpriced``.

    ``model`` is the one that answered last; times are those that the last run's end tells.
    """

    model: str
    tokens_in: int
    tokens_out: int
    tokens_wasted: int
    tokens_estimated: int
    cost_usd: float | None
    words: int
    first_text_ms: int | None
    run_ms: int | None

    @property
    def unpriced(self) -> bool:
        """Something was paid, and how much is not known."""
        return self.cost_usd is None


@dataclass(frozen=True, slots=True)
class Group:
    """Posts of one status and model that all have a price, or all have none; sums over them."""

    status: str
    model: str
    unpriced: bool
    posts: int
    tokens_in: int
    tokens_out: int
    tokens_wasted: int
    tokens_estimated: int
    cost_usd: float
    words: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of one published post."""

    first_text_ms: int | None
    run_ms: int | None


def spending(snapshot: Snapshot) -> Spending:
    """What a post has cost; of one folded before accounts were kept, what its last run's end tells."""
    spent, metrics = snapshot.spent, snapshot.metrics
    model = metrics.model if metrics else next((s.model for s in reversed(snapshot.sections) if s.model), "")
    words, first_ms, run_ms = (
        (metrics.words, metrics.time_to_first_token_ms, metrics.duration_ms) if metrics else (0, None, None)
    )
    if spent.tokens == 0 and metrics is not None:
        tokens = metrics.tokens_in + metrics.tokens_out
        return Spending(
            model,
            metrics.tokens_in,
            metrics.tokens_out,
            metrics.tokens_wasted,
            tokens if metrics.usage_source == "estimated" else 0,
            metrics.cost_usd if tokens else 0.0,
            words,
            first_ms,
            run_ms,
        )
    return Spending(
        model,
        spent.tokens_in,
        spent.tokens_out,
        spent.tokens_wasted,
        spent.tokens_estimated,
        spent.cost_usd,
        words,
        first_ms,
        run_ms,
    )


def totals(groups: Iterable[Group], samples: Sequence[Sample]) -> UsageTotals:
    """The answer: sums over the groups, and percentiles of the samples."""
    known = list(groups)
    by_status: Counter[str] = Counter()
    for group in known:
        by_status[group.status] += group.posts
    tokens_in, tokens_out, wasted = (_sum(known, name) for name in ("tokens_in", "tokens_out", "tokens_wasted"))
    paid = tokens_in + tokens_out
    return UsageTotals(
        posts=by_status.total(),
        by_status=dict(sorted(by_status.items())),
        words=_sum(known, "words"),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_wasted=wasted,
        tokens_estimated=_sum(known, "tokens_estimated"),
        waste_ratio=round(wasted / paid, RATIO_DIGITS) if paid else None,
        cost_usd=_cost(known),
        posts_without_price=_without_price(known),
        by_model=_by_model(known),
        sampled_posts=len(samples),
        time_to_first_token_ms=percentiles([s.first_text_ms for s in samples]),
        duration_ms=percentiles([s.run_ms for s in samples]),
    )


def percentiles(values: Iterable[int | None]) -> Percentiles:
    """The 50th and the 95th by nearest rank: always a value that occurred; ``None`` where there are none."""
    ordered = sorted(value for value in values if value is not None)
    return Percentiles(p50=_nearest_rank(ordered, 50), p95=_nearest_rank(ordered, 95))


def _nearest_rank(ordered: Sequence[int], percent: int) -> int | None:
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


def _by_model(groups: Sequence[Group]) -> list[ModelUsage]:
    """Models that answered, dearest in tokens first."""
    of_model: defaultdict[str, list[Group]] = defaultdict(list)
    for group in groups:
        if group.tokens_in + group.tokens_out:
            of_model[group.model].append(group)
    ranked = sorted(of_model.items(), key=lambda item: (-_tokens(item[1]), item[0]))
    listed = [_model_usage(model, mine) for model, mine in ranked[:MAX_MODELS]]
    rest = [group for _, mine in ranked[MAX_MODELS:] for group in mine]
    return [*listed, _model_usage(OTHER_MODELS, rest)] if rest else listed


def _model_usage(model: str, groups: Sequence[Group]) -> ModelUsage:
    return ModelUsage(
        model=model,
        posts=_sum(groups, "posts"),
        tokens_in=_sum(groups, "tokens_in"),
        tokens_out=_sum(groups, "tokens_out"),
        tokens_wasted=_sum(groups, "tokens_wasted"),
        cost_usd=_cost(groups),
        posts_without_price=_without_price(groups),
    )


def _cost(groups: Sequence[Group]) -> float | None:
    """Of the posts that have one; none at all where something was paid and nothing of it has a price."""
    priced = [group for group in groups if not group.unpriced]
    paid_priced = any(group.tokens_in + group.tokens_out for group in priced)
    if not paid_priced and any(group.unpriced for group in groups):
        return None
    return math.fsum(group.cost_usd for group in priced)


def _without_price(groups: Iterable[Group]) -> int:
    return sum(group.posts for group in groups if group.unpriced)


def _tokens(groups: Sequence[Group]) -> int:
    return _sum(groups, "tokens_in") + _sum(groups, "tokens_out")


def _sum(groups: Iterable[Group], name: str) -> int:
    return sum(int(getattr(group, name)) for group in groups)
