"""One post from store and log together.

A post leaves the log once the store has it: so what the log does not confirm is looked up in the store once more, after
the log was read.
"""

from dataclasses import dataclass

from inkwire_api.ports import Damaged, Folded, PostLog
from inkwire_stores.ports import PostStore, StoredPost, StoreUnavailable

JOIN_TRIES = 5
"""Reads of a post whose log is being purged meanwhile; each finds the store further on."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store has of an owner's post; ``answered`` is false where it did not say."""

    post: StoredPost | None
    answered: bool


async def kept(store: PostStore, owner: str, post: str) -> Kept:
    """An owner's post in the store, or the store's silence."""
    try:
        stored = await store.get(post)
    except StoreUnavailable:
        return Kept(None, answered=False)
    return Kept(stored if stored is not None and stored.snapshot.owner == owner else None, answered=True)


async def joined(log: PostLog, store: PostStore, owner: str, post: str, *, at_least: int = 0) -> Folded | None:
    """The post up to the log's newest event; None where neither knows it.

    Args:
        log: where it goes on.
        store: where it may begin.
        owner: whose post.
        post: which one.
        at_least: a stream sequence that the answering replica must have reached; 0: what the leader has.

    Raises:
        BrokerUnavailable: the log did not answer.
        StoreUnavailable: the log has not all of the post, and the store does not answer.
        Damaged: the log does not go on from what the store has.
    """
    found = await kept(store, owner, post)
    damage: Damaged | None = None
    for _ in range(JOIN_TRIES):
        folded: Folded | None = None
        damage = None
        try:
            folded = await log.fold(owner, post, found.post, at_least=at_least)
        except Damaged as error:
            damage = error
        if folded is not None and (found.post is None or folded.snapshot is not found.post.snapshot):
            return folded  # the log itself has told
        if folded is not None and folded.snapshot.is_final:
            return folded
        again = await kept(store, owner, post)
        if not again.answered and folded is None:
            raise StoreUnavailable("the log has not all of the post, and the store does not answer")
        if not again.answered or _same(again.post, found.post):
            break
        found = again
    if damage is not None:
        raise damage
    return folded


def _same(one: StoredPost | None, other: StoredPost | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.snapshot.seq == other.snapshot.seq and one.epoch == other.epoch
