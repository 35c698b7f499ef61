"""Cancel intents, and the few events that the api writes under a claim of its own."""

from inkwire_api.adapters.log import JetStreamLog, asking
from inkwire_api.ports import BrokerUnavailable, Compose, Damaged
from inkwire_chassis.event_log import EventLog, Fenced
from inkwire_contracts import subjects
from inkwire_contracts.commands import CancelIntent
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_contracts.topology import EVENTS
from inkwire_stores.ports import PostStore, StoredPost, StoreUnavailable

HOLDER = "api"
NO_DELIVERY = 0
"""Of the api's claims: a worker's claim of the same run counts more, so it always wins."""


class JetStreamRuns:
    """See :class:`inkwire_api.ports.RunLog`."""

    def __init__(self, log: EventLog, reads: JetStreamLog, store: PostStore) -> None:
        self._log = log
        self._reads = reads
        self._store = store

    async def current(self, owner: str, post: str) -> Snapshot | None:
        with asking():
            newest = await self._log.jetstream.leader_last(EVENTS, subjects.post_events(owner, post))
        return await self._folded(owner, post, 0 if newest is None else newest.seq)

    async def deliveries(self, post: str, run: int) -> int:
        with asking():
            claim, _ = await self._log.read_claim(post)
        return claim.deliveries if claim is not None and claim.run == run else 0

    async def wish_cancel(self, intent: CancelIntent) -> None:
        with asking():
            await self._log.store_cancel_intent(intent)

    async def write(self, owner: str, post: str, run: int, compose: Compose) -> Snapshot | None:
        try:
            with asking():
                held = await self._log.claim(post, run=run, deliveries=NO_DELIVERY, holder=HOLDER)
        except Fenced:
            return None
        snapshot = await self._folded(owner, post, held.token)
        if snapshot is None:
            raise BrokerUnavailable("a claimed post is in neither the log nor the store")
        event = compose(snapshot, held.attempt)
        if event is None:
            return snapshot
        try:
            with asking():
                await self._log.append(event, held)
        except Fenced:
            return None
        if fold(snapshot, event) is not Outcome.APPLIED:
            raise Damaged(f"our own {event.type} does not fold")
        return snapshot

    async def _folded(self, owner: str, post: str, at_least: int) -> Snapshot | None:
        stored, store_answered = await self._stored(owner, post)
        try:
            folded = await self._reads.fold(owner, post, stored, at_least=at_least)
        except Damaged:
            if store_answered:
                raise
            raise StoreUnavailable("the log holds a later part of the post, and the store does not answer") from None
        if folded is None and not store_answered:
            raise StoreUnavailable("the log has nothing of the post, and the store does not answer")
        if folded is not None and folded.corrupt:
            raise Damaged("the persister calls it corrupt")
        return None if folded is None else folded.snapshot

    async def _stored(self, owner: str, post: str) -> tuple[StoredPost | None, bool]:
        try:
            stored = await self._store.get(post)
        except StoreUnavailable:
            return None, False
        return (stored if stored is not None and stored.snapshot.owner == owner else None), True
