"""What people and clients see of a post: short summaries for lists and channels, made from the snapshot alone."""

from pydantic import BaseModel, ConfigDict

from inkwire_contracts.fold import PostStatus, Snapshot


class PostSummary(BaseModel):
    """One line of a list of posts."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    title: str
    recipe: str
    status: PostStatus
    priority: str
    run: int
    seq: int
    percent: int
    message: str
    words: int | None
    sha256: str | None
    created_at: str
    updated_at: str


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
        message=snapshot.error.message if snapshot.error else snapshot.progress.message,
        words=snapshot.metrics.words if snapshot.metrics else None,
        sha256=snapshot.sha256,
        created_at=snapshot.created_at,
        updated_at=snapshot.updated_at,
    )
