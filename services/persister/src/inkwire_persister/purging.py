"""What of a post may leave the log: the proof that nothing is lost by it, and the places up to which to purge. Pure.

Nothing is purged that was not proven: what the log says of the post, every chunk of it, must fold to the text that the
store holds, and for a published post to the digest that its last event vouches for. What was proven once (the store's
``proven_seq``) is not proven again, so that a purge that was cut short is carried on with what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inkwire_contracts.events import Deleted, GenerateRequested
from inkwire_contracts.fold import Snapshot, digest, document, fold_all
from inkwire_persister.intake import Delivery
from inkwire_stores.ports import StoredPost

Reason = Literal["open", "corrupt", "newer", "missing", "hole", "differs", "unreadable", "broken"]
ALARMING: frozenset[Reason] = frozenset({"missing", "hole", "differs", "unreadable", "broken"})
"""Reasons that do not go away by themselves."""


@dataclass(frozen=True, slots=True)
class LastClaim:
    """The newest claim on a post: where it is, and for which run."""

    stream_seq: int
    run: int


@dataclass(frozen=True, slots=True)
class Purge:
    """Everything up to these places of the stream may go; 0: nothing is there."""

    events_up_to: int
    claims_up_to: int
    late_copies: tuple[tuple[str, int], ...] = ()
    """Type and place of events that came once more after a deletion: its own event lies before them, and stays."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing may go, and why.

    ``open``: the run has not ended. ``corrupt``: the store says so. ``newer``: the store has not caught up, or the next
    run has begun. ``missing``: the log lacks the events that the store's state came from. ``hole``: the log begins in
    the middle of a run. ``differs``: the log folds to another text. ``unreadable``, ``broken``: it could not be judged.
    """

    reason: Reason


def plan(stored: StoredPost, events: Sequence[Delivery], claim: LastClaim | None) -> Purge | Keep:
    """Decide about one post.

    Args:
        stored: what the store has.
        events: all that the log has of the post, in the order of the log.
        claim: the newest claim, read before the events: none that came later is touched.
    """
    snapshot = stored.snapshot
    if stored.corrupt:
        return Keep("corrupt")
    if not snapshot.is_final:
        return Keep("open")
    to_prove = [delivery for delivery in events if delivery.event.seq > stored.proven_seq]
    if any(delivery.event.seq > snapshot.seq for delivery in to_prove):
        return Keep("newer")
    if to_prove or stored.proven_seq < snapshot.seq:
        doubt = _doubt(stored, to_prove)
        if doubt is not None:
            return Keep(doubt)
    up_to = _events_up_to(snapshot, events)
    late = tuple((d.event.type, d.stream_seq) for d in events if d.stream_seq > up_to and d.event.type != "deleted")
    return Purge(up_to, _claims_up_to(snapshot, claim), late)


def _doubt(stored: StoredPost, events: Sequence[Delivery]) -> Reason | None:
    """Why the log does not prove what is stored; None: it does."""
    if max((delivery.event.seq for delivery in events), default=0) != stored.snapshot.seq:
        return "missing"
    if stored.snapshot.status == "deleted":
        return None if any(isinstance(d.event, Deleted) for d in events) else "missing"
    base = _base(stored.snapshot, events[0])
    if base is None:
        return "hole"
    fold_all(base, (delivery.event for delivery in events))
    return None if _proves(base, stored) else "differs"


def _base(snapshot: Snapshot, first: Delivery) -> Snapshot | None:
    """What the log is folded upon: nothing, or, where it begins with a later run, the sections as they are stored.

    Those that the run touches it writes anew; the others were proven when the runs before were purged.
    """
    event = first.event
    if event.seq == 1:
        return Snapshot(post=snapshot.post)
    if not isinstance(event, GenerateRequested):
        return None
    place = {"seq": event.seq - 1, "key_seq": event.prev, "run": event.run - 1, "status": "cancelled"}
    return snapshot.model_copy(deep=True, update=place)


def _proves(folded: Snapshot, stored: StoredPost) -> bool:
    kept = stored.snapshot
    text = document(kept)
    if (folded.seq, folded.run, folded.status, folded.sha256) != (kept.seq, kept.run, kept.status, kept.sha256):
        return False
    if [_content(section) for section in folded.sections] != [_content(section) for section in kept.sections]:
        return False
    if kept.status == "published" and digest(text) != kept.sha256:
        return False
    return digest(document(folded)) == digest(text) and stored.markdown == text


def _content(section: object) -> tuple[object, ...]:
    fields = ("section", "title", "in_document", "status", "text", "data")
    return tuple(getattr(section, field) for field in fields)


def _events_up_to(snapshot: Snapshot, events: Sequence[Delivery]) -> int:
    """Up to the last event, one that was stored twice included; of a deleted post ``deleted`` stays."""
    if snapshot.status == "deleted":
        return max((d.stream_seq - 1 for d in events if isinstance(d.event, Deleted)), default=0)
    return max((delivery.stream_seq for delivery in events), default=0)


def _claims_up_to(snapshot: Snapshot, claim: LastClaim | None) -> int:
    """All claims; but the one of a deletion, and of a run that is about to begin, stays."""
    if claim is None:
        return 0
    stays = snapshot.status == "deleted" or claim.run > snapshot.run
    return claim.stream_seq - 1 if stays else claim.stream_seq
