"""What becomes of a stored post when key events arrive: pure decisions, so that every order of them can be tried.

``project`` folds what follows; where that is not enough it says what to read, and ``refold`` decides from the whole
log. Both give the same stored post for the same log, whatever was delivered in which order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from inkwire_contracts.errors import render
from inkwire_contracts.events import TERMINAL_TYPES, Deleted, Event
from inkwire_contracts.fold import Outcome, Problem, Snapshot, digest, document, fold
from inkwire_persister.intake import Delivery
from inkwire_stores.ports import StoredPost

Reason = Literal["gap", "invalid", "digest", "epoch", "unreadable"]

CORRUPT = "corrupt"
"""The error code of a post whose log contradicts itself."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Store this, if the store still holds ``expected_seq`` (0: nothing)."""

    stored: StoredPost
    expected_seq: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The store has it all."""


@dataclass(frozen=True, slots=True)
class Behind:
    """Events are missing before the delivered ones: read the log after this stream sequence."""

    after_stream_seq: int


@dataclass(frozen=True, slots=True)
class Refold:
    """The stored post cannot be carried on as it is: read the log from its beginning."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing of the post can be folded and nothing is stored: its history is gone."""

    reason: Reason


def project(
    stored: StoredPost | None, deliveries: Sequence[Delivery], epoch: str
) -> Apply | Duplicate | Behind | Refold:
    """Carry a stored post on by key events of one post, in any order and with duplicates.

    Args:
        stored: what the store has; ``None`` for nothing.
        deliveries: key events, as they came.
        epoch: the log that they came from.
    """
    if stored is not None and stored.epoch != epoch:
        return Refold("epoch")
    ordered = sorted(deliveries, key=_place)
    snapshot = _copy(stored, ordered)
    before = snapshot.seq
    stream_seq, outcome = _fold(snapshot, ordered, stored.stream_seq if stored else 0)
    if outcome is Outcome.GAP and stored is not None and stored.stream_seq >= ordered[-1].stream_seq:
        return Refold("epoch")  # later by its seq, earlier by its place: what is stored came from another log
    if outcome is Outcome.GAP:
        return Behind(stored.stream_seq if stored else 0)
    if outcome is Outcome.INVALID or (stored is not None and stored.corrupt and snapshot.seq > before):
        return Refold("invalid")
    if not is_proven(snapshot):
        return Refold("digest")
    if snapshot.seq == before:
        return Refold("epoch") if stored is not None and _ends_early(stored, ordered) else Duplicate()
    return Apply(_finished(snapshot, stream_seq, epoch), stored.snapshot.seq if stored else 0)


def refold(
    stored: StoredPost | None, history: Sequence[Delivery], epoch: str, reason: Reason
) -> Apply | Duplicate | Lost:
    """Decide from all that the log still has of a post.

    The log is the truth: what folds whole and matches its digest replaces what is stored. What does not is stored
    as corrupt, never as published. A log that is only an older part of what is stored (a broker restored from a
    backup) changes nothing, unless the run that is stored as open has ended in it: then it is no part but another
    story. One whose beginning was purged is folded upon what is stored. A deletion always wins.
    """
    ordered = sorted(history, key=_place)
    alone = _attempt(None, ordered, epoch)
    found = alone
    if stored is not None and not alone.whole:
        found = _attempt(stored, ordered, epoch)
        if found.whole and not found.advanced:
            return Duplicate()
    fresh = found.post if found.whole and found.advanced else None
    if fresh is None or fresh.corrupt:
        fresh = _tombstone(stored, ordered, epoch) or fresh
    if fresh is None:
        furthest = max((found, alone), key=lambda attempt: attempt.post.snapshot.seq).post if ordered else stored
        if furthest is None or furthest.snapshot.seq == 0:
            return Lost(reason)
        fresh = _as_corrupt(furthest)
    if stored is None:
        return Apply(fresh, 0)
    if fresh.snapshot.seq < stored.snapshot.seq and not fresh.corrupt and not _is_another_end(stored, fresh):
        return Duplicate()
    return Duplicate() if fresh == stored else Apply(fresh, stored.snapshot.seq)


def _ends_early(stored: StoredPost, ordered: Sequence[Delivery]) -> bool:
    """Whether the stored run, which the store thinks open, has ended before the place that the store has reached."""
    snapshot = stored.snapshot
    if snapshot.is_final:
        return False
    return any(d.event.type in TERMINAL_TYPES and d.event.run == snapshot.run for d in ordered)


def _is_another_end(stored: StoredPost, fresh: StoredPost) -> bool:
    """Whether the log ends a run that goes on in the store: a shorter log, and yet not an older part."""
    return fresh.snapshot.is_final and not stored.snapshot.is_final and fresh.snapshot.run >= stored.snapshot.run


def is_proven(snapshot: Snapshot) -> bool:
    """Whether a published post's text is the one that its last event vouches for; true for all others."""
    return snapshot.status != "published" or digest(document(snapshot)) == snapshot.sha256


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A fold of the whole log: the post it gives, whether every event followed, and whether any was new."""

    post: StoredPost
    whole: bool
    advanced: bool


def _attempt(stored: StoredPost | None, ordered: Sequence[Delivery], epoch: str) -> _Attempt:
    if not ordered:
        return _Attempt(stored or StoredPost(Snapshot(post=""), 0, epoch), stored is not None, False)
    snapshot = _copy(stored, ordered)
    start = snapshot.seq
    stream_seq, outcome = _fold(snapshot, ordered, stored.stream_seq if stored else 0)
    post = _finished(snapshot, stream_seq, epoch)
    whole = outcome not in (Outcome.GAP, Outcome.INVALID)
    return _Attempt(post if is_proven(snapshot) else _as_corrupt(post), whole, snapshot.seq > start)


def _fold(snapshot: Snapshot, ordered: Sequence[Delivery], stream_seq: int) -> tuple[int, Outcome]:
    """Fold in place up to the first event that does not follow; where it got to, and how that ended."""
    for delivery in ordered:
        outcome = fold(snapshot, delivery.event)
        if outcome in (Outcome.GAP, Outcome.INVALID):
            return stream_seq, outcome
        if outcome is Outcome.APPLIED:
            stream_seq = delivery.stream_seq
    return stream_seq, Outcome.APPLIED


def _copy(stored: StoredPost | None, ordered: Sequence[Delivery]) -> Snapshot:
    return stored.snapshot.model_copy(deep=True) if stored else Snapshot(post=ordered[0].event.post)


def _finished(snapshot: Snapshot, stream_seq: int, epoch: str) -> StoredPost:
    has_text = snapshot.is_final and snapshot.status != "deleted"
    return StoredPost(snapshot, stream_seq, epoch, document(snapshot) if has_text else None)


def _as_corrupt(stored: StoredPost) -> StoredPost:
    """Nobody sees it as published, and every list says what is the matter."""
    problem = Problem(code=CORRUPT, message=render(CORRUPT))
    snapshot = stored.snapshot.model_copy(deep=True, update={"status": "failed", "error": problem, "retry": None})
    return replace(stored, snapshot=snapshot, markdown=document(snapshot), corrupt=True)


def _tombstone(stored: StoredPost | None, ordered: Sequence[Delivery], epoch: str) -> StoredPost | None:
    """A deleted post of which the log keeps nothing else that folds."""
    for delivery in reversed(ordered):
        event: Event = delivery.event
        if isinstance(event, Deleted):
            snapshot = Snapshot(
                post=event.post,
                owner=event.owner,
                run=event.run,
                attempt=event.attempt,
                seq=event.seq,
                key_seq=event.seq,
                status="deleted",
                created_at=stored.snapshot.created_at if stored else "",
                updated_at=event.time,
            )
            return StoredPost(snapshot, delivery.stream_seq, epoch)
    return None


def _place(delivery: Delivery) -> int:
    return delivery.stream_seq
