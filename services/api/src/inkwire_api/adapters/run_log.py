"""Cancel intents, and the few events that the api writes under a claim of its own."""

from inkwire_api.adapters.log import JetStreamLog, asking
from inkwire_api.joining import joined, kept
from inkwire_api.ports import BrokerUnavailable, Compose, Damaged
from inkwire_chassis.event_log import EventLog, Fenced
from inkwire_contracts import subjects
from inkwire_contracts.commands import CancelIntent
from inkwire_contracts.events import ENDS, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_contracts.topology import EVENTS
from inkwire_stores.ports import PostStore, StoreUnavailable

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

    async def running(self, owner: str, post: str) -> int | None:
        with asking():
            newest = await self._log.jetstream.leader_last(EVENTS, subjects.post_events(owner, post))
        try:
            event = None if newest is None else parse_event(newest.payload)
        except (ValueError, TypeError):
            return None
        return None if event is None or event.type in ENDS else event.run

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
                held = await self._log.claim(
                    post,
                    run=run,
                    deliveries=NO_DELIVERY,
                    holder=HOLDER,
                    last_attempt=lambda: self._last_attempt(owner, post),
                )
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
        folded = await joined(self._reads, self._store, owner, post, at_least=at_least)
        if folded is not None and folded.corrupt:
            raise Damaged("the persister calls it corrupt")
        return None if folded is None else folded.snapshot

    async def _last_attempt(self, owner: str, post: str) -> int:
        """Of a post without claims: 0 if it is new, else they were purged with its events, and the count goes on."""
        with asking():
            newest = await self._log.newest_now(owner, post)
        if newest is not None and newest.event.attempt:
            return newest.event.attempt
        found = await kept(self._store, owner, post)
        if newest is None and not found.answered:
            raise StoreUnavailable("the log has nothing of the post, and the store does not answer")
        return found.post.snapshot.attempt if found.post is not None else 0
