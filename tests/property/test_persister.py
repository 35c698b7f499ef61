"""Whatever the order, the batches, the duplicates and the races: the same log ends as the same stored post."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from inkwire_contracts.fold import Snapshot, digest, document, fold_all
from inkwire_persister.counters import Counters
from inkwire_persister.intake import Delivery, is_key
from inkwire_persister.keeper import Keeper
from inkwire_persister.ports import LogUnavailable
from inkwire_stores.ports import StoredPost, StoreUnavailable
from tests.support.memory_store import MemoryLog, MemoryStore
from tests.support.post_logs import PostLog

EPOCH = "epoch-1"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@st.composite
def post_logs(draw: st.DrawFn) -> PostLog:
    """A log with take-overs, retries of a section, several runs and any end, or none yet."""
    log = PostLog()
    log.request()
    for run in range(1, draw(st.integers(1, 3)) + 1):
        if run > 1:
            log.run = run
            log.request()
        _write_run(draw, log)
        if log.events[-1].type not in ("failed", "cancelled"):
            break
    if draw(st.booleans()):
        log.delete()
    return log


def _write_run(draw: st.DrawFn, log: PostLog) -> None:
    sections = [(f"s{number}", draw(TEXT)) for number in range(draw(st.integers(1, 4)))]
    log.start()
    log.plan(sections)
    for name, text in sections:
        log.open_section(name, text[: draw(st.integers(0, len(text)))], chunk=7)
        accident = draw(st.sampled_from(["none", "none", "take-over", "retry", "failed", "cancelled", "stop"]))
        if accident in ("failed", "cancelled"):
            partial = text[: draw(st.integers(0, len(text)))]
            log.fail(name, partial) if accident == "failed" else log.cancel(name, partial)
            return
        if accident == "stop":
            return
        if accident == "take-over":
            log.start()
        if accident == "retry":
            log.retry(name)
        log.write_section(name, text, chunk=5)
    snapshot = Snapshot(post=log.post)
    fold_all(snapshot, log.events)
    log.publish(document(snapshot))


@st.composite
def arrivals(draw: st.DrawFn, deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    """Batches in any order, every event at least once, some more often."""
    repeated = draw(st.lists(st.sampled_from(deliveries), max_size=len(deliveries)))
    order = draw(st.permutations([*deliveries, *repeated]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=6)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True) if start < end]


def placed(log: PostLog, noise: int) -> list[Delivery]:
    """The log in a stream that it shares with others, some events stored twice (after the duplicate window)."""
    chance = random.Random(noise)
    deliveries: list[Delivery] = []
    stream_seq = 0
    for event in log.events:
        for _ in range(1 + (chance.random() < 0.15)):
            stream_seq += chance.randint(1, 5)
            deliveries.append(Delivery(event, stream_seq))
    return deliveries


def expected(log: PostLog, deliveries: Sequence[Delivery]) -> StoredPost:
    """The fold of the key events, each at its first place in the stream."""
    snapshot = Snapshot(post=log.post)
    fold_all(snapshot, log.key_events)
    first = next(delivery.stream_seq for delivery in deliveries if delivery.event is log.key_events[-1])
    has_text = snapshot.is_final and snapshot.status != "deleted"
    return StoredPost(snapshot, first, EPOCH, document(snapshot) if has_text else None)


async def keep_until_done(keeper: Keeper, batch: Sequence[Delivery]) -> None:
    """Redeliver as the broker does while store or log are away."""
    for _ in range(50):
        try:
            await keeper.keep(batch, EPOCH)
            return
        except (StoreUnavailable, LogUnavailable):
            await asyncio.sleep(0)
    raise AssertionError("never stored")


def assert_stored(stored: StoredPost, wanted: StoredPost, keys: list[Delivery]) -> None:
    """What was stored is what was wanted. An event that the log holds twice may be met at either place."""
    places = {delivery.stream_seq for delivery in keys if delivery.event.seq == wanted.snapshot.seq}
    assert stored.stream_seq in places
    assert replace(stored, stream_seq=wanted.stream_seq) == wanted


@given(st.data())
def test_any_arrival_ends_as_the_same_stored_post(data: st.DataObject) -> None:
    """Any order, batching, duplication and outage of key events stores exactly the fold of the log."""
    log = data.draw(post_logs())
    deliveries = placed(log, data.draw(st.integers(0, 99)))
    keys = [delivery for delivery in deliveries if is_key(delivery.event)]
    store = MemoryStore(outages=data.draw(st.lists(st.booleans(), max_size=12)))
    memory = MemoryLog(deliveries, EPOCH, outages=data.draw(st.lists(st.booleans(), max_size=6)))
    keeper = Keeper(store, memory, Counters())

    async def deliver() -> None:
        for batch in data.draw(arrivals(keys)):
            await keep_until_done(keeper, batch)

    asyncio.run(deliver())
    stored = store.posts[log.post]
    assert_stored(stored, expected(log, deliveries), keys)
    if stored.snapshot.status == "published":
        assert stored.markdown is not None and digest(stored.markdown) == stored.snapshot.sha256


@given(st.data())
def test_two_persisters_end_as_one(data: st.DataObject) -> None:
    """Two keepers on one store, each with its own share of the events at the same time, store what one would have."""
    log = data.draw(post_logs())
    deliveries = placed(log, data.draw(st.integers(0, 99)))
    keys = [delivery for delivery in deliveries if is_key(delivery.event)]
    shares: tuple[list[Delivery], list[Delivery]] = ([], [])
    for delivery in keys:
        shares[data.draw(st.integers(0, 1))].append(delivery)
    plans = [data.draw(arrivals(share)) for share in shares if share]
    store = _YieldingStore()

    async def deliver(batches: list[list[Delivery]]) -> None:
        keeper = Keeper(store, MemoryLog(deliveries, EPOCH), Counters())
        for batch in batches:
            await keep_until_done(keeper, batch)

    async def both() -> None:
        await asyncio.gather(*(deliver(plan) for plan in plans))

    asyncio.run(both())
    stored = store.posts[log.post]
    wanted = expected(log, deliveries)
    assert_stored(stored, wanted, keys)


class _YieldingStore(MemoryStore):
    """Lets the other persister in between a get and the put after it, and orders them by chance of their batches."""

    async def get(self, post: str) -> StoredPost | None:
        found = await super().get(post)
        await asyncio.sleep(0)
        return found
