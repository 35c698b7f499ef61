"""The keeper over a store and a log in memory."""

import pytest

from inkwire_contracts.events import PublishedData
from inkwire_contracts.fold import digest
from inkwire_persister.counters import Counters
from inkwire_persister.intake import Delivery, is_key
from inkwire_persister.keeper import TRIES, Contended, HistoryLost, Keeper
from inkwire_persister.ports import LogUnavailable, LogUnreadable
from inkwire_stores.ports import StoredPost, StoreUnavailable
from tests.support.memory_store import MemoryLog, MemoryStore
from tests.support.post_logs import PostLog, text_of, whole_post, with_stream_seqs


class World:
    """A keeper of one post's log."""

    def __init__(self, written: PostLog | None = None) -> None:
        self.log = MemoryLog([Delivery(*placed) for placed in with_stream_seqs((written or whole_post()).events)])
        self.store = MemoryStore()
        self.counters = Counters()
        self.keeper = Keeper(self.store, self.log, self.counters)
        self.keys = [delivery for delivery in self.log.deliveries if is_key(delivery.event)]
        self.post = self.keys[0].event.post

    async def keep(self, *deliveries: Delivery) -> None:
        await self.keeper.keep(deliveries, self.log.name)

    @property
    def stored(self) -> StoredPost:
        return self.store.posts[self.post]


def forged() -> PostLog:
    """A post whose published event names the digest of another text."""
    log = whole_post()
    log.events[-1] = log.events[-1].model_copy(update={"data": PublishedData(sha256=digest("other"), length=1)})
    return log


async def test_a_batch_of_one_post_is_one_write() -> None:
    """All key events of a post at once are stored by a single put, without reading the log."""
    world = World()
    await world.keep(*world.keys)
    assert world.store.puts == 1 and world.log.reads == []
    assert world.stored.markdown == text_of()


async def test_a_redelivery_writes_nothing() -> None:
    """What is stored already is only acknowledged."""
    world = World()
    await world.keep(*world.keys)
    for delivery in world.keys:
        await world.keep(delivery)
    assert world.store.puts == 1


async def test_missing_events_are_read_from_the_log() -> None:
    """A late event alone brings the post up to the log's end, all between included."""
    world = World()
    await world.keep(*world.keys[:2])
    await world.keep(world.keys[5])
    assert world.log.reads == [world.keys[1].stream_seq]
    assert world.stored.snapshot.status == "published" and world.counters.gap_reads == 1


async def test_a_lost_race_is_decided_again() -> None:
    """When another persister stored more in between, only what is still missing is added."""
    world, faster = World(), World()
    await faster.keep(*faster.keys[:4])
    world.store.lost_races = [faster.stored]
    await world.keep(*world.keys)
    assert world.stored.markdown == text_of() and world.store.puts == 1


async def test_a_race_that_is_lost_again_and_again_is_given_up() -> None:
    """The loop of lost races is bounded; the events are then tried later."""

    class Contested(MemoryStore):
        async def put(self, stored: StoredPost, *, expected_seq: int) -> bool:
            self.puts += 1
            return False

    world, contested = World(), Contested()
    with pytest.raises(Contended):
        await Keeper(contested, world.log, world.counters).keep(world.keys, world.log.name)
    assert contested.puts == TRIES and world.counters.posts_written == 0


async def test_an_outage_is_the_callers_to_retry() -> None:
    """A store or log that is away is an error; the same call later stores all."""
    world = World()
    world.store.outages = [True, False, True]
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await world.keep(*world.keys)
    world.log.outages = [True]
    with pytest.raises(LogUnavailable):
        await world.keep(world.keys[3])
    await world.keep(world.keys[3])
    assert world.stored.markdown == text_of()


async def test_a_replica_that_lags_is_not_believed() -> None:
    """A log that answers without the delivered event itself is asked again later."""
    world = World()
    world.log.deliveries = world.log.deliveries[:3]
    with pytest.raises(LogUnavailable):
        await world.keep(world.keys[4])
    assert world.store.posts == {}


async def test_a_wrong_digest_is_loud_and_never_published() -> None:
    """A log that breaks its own digest is refolded, then stored as corrupt and counted once."""
    world = World(forged())
    await world.keep(*world.keys)
    assert world.log.reads == [0]
    assert world.stored.corrupt and world.stored.snapshot.status == "failed"
    assert (world.counters.refolds, world.counters.corrupt_posts) == (1, 1)
    await world.keep(*world.keys)
    assert world.counters.corrupt_posts == 1


async def test_damage_in_the_store_is_repaired_from_the_log() -> None:
    """A stored section that differs from the log is noticed at the end and replaced."""
    world = World()
    await world.keep(*world.keys[:-1])
    world.stored.snapshot.sections[1].set_text("bit rot")
    await world.keep(world.keys[-1])
    assert world.stored.markdown == text_of() and not world.stored.corrupt
    assert world.counters.refolds == 1 and world.counters.corrupt_posts == 0


async def test_a_log_that_cannot_be_read_makes_the_post_corrupt() -> None:
    """If something in the log is no event, what is stored is kept and marked."""

    class Unreadable(MemoryLog):
        async def key_events(self, *_: object, **__: object) -> list[Delivery]:
            raise LogUnreadable("ValidationError")

    world = World()
    await world.keep(*world.keys[:5])
    keeper = Keeper(world.store, Unreadable(), world.counters)
    await keeper.keep([world.keys[7]], world.log.name)
    assert world.stored.corrupt and world.stored.snapshot.seq == world.keys[4].event.seq
    assert world.counters.corrupt_posts == 1


async def test_events_without_history_are_reported() -> None:
    """Where neither store nor log know the beginning, the events are not silently acknowledged."""
    world = World()
    world.log.deliveries = world.log.deliveries[5:]
    with pytest.raises(HistoryLost):
        await world.keep(world.keys[-1])
    assert world.store.posts == {}


async def test_another_epoch_is_noticed() -> None:
    """A post stored from a log that was lost is folded again from the one that is there."""
    world = World()
    await world.keep(*world.keys[:3])
    world.log.name = "epoch-2"
    await world.keep(world.keys[3])
    assert world.stored.epoch == "epoch-2" and world.stored.markdown == text_of()
