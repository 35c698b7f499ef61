"""What people and clients see of a post: short summaries for lists and channels, made from the snapshot alone."""

from inkwire_contracts.data import Data
from inkwire_contracts.fold import PostStatus, Snapshot


class PostSummary(Data):
    """One line of a list of posts."""

    id: str
    title: str
    recipe: str
    status: PostStatus
    priority: str
    run: int
    seq: int
    percent: int
    message: str
    """What is being done, or why it failed; empty once a run has ended otherwise."""
    words: int | None
    sha256: str | None
    created_at: str
    updated_at: str
    conversation: str | None = None
    """Of a reply: where it belongs."""


class Percentiles(Data):
    """By nearest rank; null where nothing was measured."""

    p50: int | None
    p95: int | None


class ModelUsage(Data):
    """What posts have cost whose last answer was this model's. ``cost_usd`` is null where no price is known."""

    model: str
    posts: int
    tokens_in: int
    tokens_out: int
    tokens_wasted: int
    cost_usd: float | None
    posts_without_price: int


class UsageTotals(Data):
    """What posts have cost together, all their runs included, deleted posts too.

    ``tokens_wasted`` and ``tokens_estimated`` are among ``tokens_in`` and ``tokens_out``; ``waste_ratio`` is null where
    nothing was paid. ``cost_usd`` leaves out ``posts_without_price``, and is null where no paid post has a price.
    Percentiles are those of the newest ``sampled_posts`` published ones.
    """

    posts: int
    by_status: dict[str, int]
    words: int
    tokens_in: int
    tokens_out: int
    tokens_wasted: int
    tokens_estimated: int
    waste_ratio: float | None
    cost_usd: float | None
    posts_without_price: int
    by_model: list[ModelUsage]
    sampled_posts: int
    time_to_first_token_ms: Percentiles
    duration_ms: Percentiles


def told(snapshot: Snapshot) -> str:
    """What to tell of a post in a line: why it failed, else what is being done; empty where nothing is any more."""
    if snapshot.error:
        return snapshot.error.message
    return "" if snapshot.is_final else snapshot.progress.message


def summary(snapshot: Snapshot) -> PostSummary:
    """The summary of a folded post."""
    return PostSummary(
        id=snapshot.post,
        title=snapshot.title,
        recipe=snapshot.recipe,
        status=snapshot.status,
        priority=snapshot.priority,
        run=snapshot.run,
        seq=snapshot.seq,
        percent=snapshot.progress.percent,
        message=told(snapshot),
        words=snapshot.metrics.words if snapshot.metrics else None,
        sha256=snapshot.sha256,
        created_at=snapshot.created_at,
        updated_at=snapshot.updated_at,
        conversation=snapshot.turn.conversation if snapshot.turn else None,
    )
