"""A persister whose janitor is quick, inside the test's own loop, and what the log still holds of a post."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from inkwire_chassis.event_log import EventLog
from inkwire_chassis.lifecycle import Supervisor
from inkwire_contracts import subjects
from inkwire_contracts.topology import EVENTS
from inkwire_persister.app import Persister, running
from inkwire_persister.settings import Settings
from inkwire_stores import PostStore, StoredPost
from tests.support.wait import eventually

AT_ONCE: dict[str, Any] = {"purge_after_s": 0.0, "purge_interval_s": 0.05, "longest_retry_s": 0.5}


@asynccontextmanager
async def running_persister(nats_url: str, store_url: str, **changes: Any) -> AsyncIterator[Persister]:
    """It purges what has ended, at once, unless ``changes`` say otherwise."""
    supervisor = Supervisor()
    chosen = Settings(**{"nats_url": nats_url, "store_url": store_url, "health_port": 0, **AT_ONCE, **changes})
    try:
        async with running(chosen, supervisor) as persister:
            yield persister
            supervisor.request_stop("the test is over")
    finally:
        await supervisor.cancel_all()
    assert supervisor.failure is None, supervisor.failure


async def held_by_log(log: EventLog, owner: str, post: str) -> dict[str, int]:
    """How many messages the log holds of a post, by subject."""
    held: dict[str, int] = {}
    filters = (subjects.post_events(owner, post), subjects.claim(post), subjects.cancels(owner, post))
    for subject in filters:
        info = await log.jetstream.api(f"STREAM.INFO.{EVENTS}", {"subjects_filter": subject})
        held.update(info["state"].get("subjects") or {})
    return held


async def until_purged(log: EventLog, store: PostStore, owner: str, post: str, *, after_seq: int = 0) -> StoredPost:
    """Wait until the store says that nothing of the post is left in the log; what the store has.

    ``after_seq``: an earlier state, purged before, is not meant.
    """

    async def purged() -> StoredPost | None:
        stored = await store.get(post)
        return stored if stored is not None and stored.purged and stored.snapshot.seq > after_seq else None

    stored = await eventually(purged, what=f"post {post} is purged", timeout_s=30.0)
    held = await held_by_log(log, owner, post)
    if stored.snapshot.status == "deleted":
        kept = {subjects.post_event(owner, post, "deleted"): 1, subjects.claim(post): 1}
        assert held == kept, held
    else:
        assert held == {}, held
    return stored
