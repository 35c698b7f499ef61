"""The janitor over a store and a log in memory: what is due, what stays, and what a failure leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from inkwire_contracts.fold import Snapshot, document, fold_all
from inkwire_persister.counters import Counters
from inkwire_persister.intake import Delivery
from inkwire_persister.janitor import Fill, Janitor, Limits
from inkwire_persister.ports import LogUnavailable, LogUnreadable
from inkwire_persister.purging import LastClaim
from inkwire_stores.ports import StoredPost
from tests.support.clock import ManualClock
from tests.support.memory_store import MemoryStore
from tests.support.post_logs import TIME, post_id, whole_post, with_stream_seqs

EPOCH = "e1"


@dataclass
class FakeLog:
    """What the janitor asks for, and what it purged, in order."""

    posts: dict[str, list[Delivery]] = field(default_factory=dict)
    ratio: float = 0.1
    unreadable: set[str] = field(default_factory=set)
    fails_at: str = ""
    calls: list[str] = field(default_factory=list)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fails_at:
            self.fails_at = ""
            raise LogUnavailable("away")

    async def fill(self) -> Fill:
        return Fill(EPOCH, self.ratio)

    async def last_claim(self, post: str) -> LastClaim | None:
        return LastClaim(5, 1) if self.posts.get(post) else None

    async def events(self, owner: str, post: str) -> Sequence[Delivery]:
        if post in self.unreadable:
            raise LogUnreadable("ValueError")
        return list(self.posts.get(post, []))

    async def purge_events(self, owner: str, post: str, *, up_to: int) -> int:
        self._call("events")
        kept = [delivery for delivery in self.posts[post] if delivery.stream_seq > up_to]
        gone, self.posts[post] = len(self.posts[post]) - len(kept), kept
        return gone

    async def purge_type(self, owner: str, post: str, event_type: str, *, up_to: int) -> int:
        raise AssertionError("no post here was deleted")

    async def purge_wishes(self, owner: str, post: str, *, run: int, up_to: int) -> int:
        self._call("wishes")
        return 0

    async def purge_claims(self, post: str, *, up_to: int) -> int:
        self._call("claims")
        return 1 if up_to else 0


class World:
    """Posts that ended at TIME, and a janitor at a later time."""

    def __init__(self, *numbers: int, age_s: float = 7_200.0) -> None:
        self.store, self.log, self.counters = MemoryStore(), FakeLog(), Counters()
        self.clock = ManualClock(datetime.fromisoformat(TIME) + timedelta(seconds=age_s))
        limits = Limits(after_s=3_600.0, pressed_after_s=60.0, pressure_ratio=0.6)
        self.janitor = Janitor(self.store, self.log, self.counters, self.clock, limits)
        for number in numbers:
            written = whole_post(number)
            snapshot = Snapshot(post=written.post)
            fold_all(snapshot, written.key_events)
            self.store.posts[written.post] = StoredPost(snapshot, 1, EPOCH, document(snapshot))
            self.log.posts[written.post] = [Delivery(*each) for each in with_stream_seqs(written.events)]

    @property
    def purged(self) -> set[str]:
        return {post for post, stored in self.store.posts.items() if stored.purged}


async def test_what_is_due_is_purged_claims_last() -> None:
    """Events, wishes, claims; then the store notes it, and the next round finds nothing."""
    world = World(1)
    assert not await world.janitor.round()
    assert world.purged == {post_id(1)} and world.log.calls == ["events", "wishes", "claims"]
    await world.janitor.round()
    assert world.counters.purged_posts == 1 and world.log.calls == ["events", "wishes", "claims"]


async def test_what_ended_a_moment_ago_stays_until_the_log_is_filling() -> None:
    """The age that counts falls at the pressure ratio, and the next round comes soon."""
    world = World(1, age_s=120.0)
    await world.janitor.round()
    assert world.purged == set()
    world.log.ratio = 0.7
    assert await world.janitor.round()
    assert world.purged == {post_id(1)}


async def test_a_failure_at_any_step_is_made_good_by_the_next_round() -> None:
    """What was noted as proven is not proven again, though the log has lost its beginning."""
    for step in ("events", "wishes", "claims"):
        world = World(1)
        world.log.fails_at = step
        await world.janitor.round()
        assert world.purged == set() and world.store.posts[post_id(1)].proven_seq > 0
        await world.janitor.round()
        assert world.purged == {post_id(1)} and world.counters.purge_refusals == 0


async def test_one_post_that_cannot_be_judged_keeps_no_other_in_the_log() -> None:
    """It is counted once, and left alone for a while."""
    world = World(1, 2, 3)
    world.log.unreadable.add(post_id(1))
    world.store.posts[post_id(2)] = replace(world.store.posts[post_id(2)], markdown="forged")
    for _ in range(3):
        await world.janitor.round()
    assert world.purged == {post_id(3)}
    assert world.counters.purge_refusals == 2
    assert len(world.log.posts[post_id(2)]) > 5


async def test_without_store_or_log_nothing_happens_and_nothing_ends() -> None:
    """The next round tries again."""
    world = World(1)
    world.store.outages = [True]
    assert not await world.janitor.round()
    assert world.purged == set()
    await world.janitor.round()
    assert world.purged == {post_id(1)}
