"""Posts are read from the log and the store, whichever of them answers."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest

from inkwire_chassis.lifecycle import spawn
from inkwire_contracts import subjects
from inkwire_gateway.adapters.history import READS_COUNT, LogHistory
from inkwire_gateway.live_post import Loaded
from inkwire_gateway.ports import Unavailable
from inkwire_stores.ports import StoredPost
from tests.support.memory_store import MemoryStore
from tests.support.memory_stream import MemoryStream, Turns
from tests.support.wait import scaled_s
from tests.unit.gateway.builders import OWNER, POST, Script


class HangingStore(MemoryStore):
    """Takes questions and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Semaphore(0)

    async def get(self, post: str) -> StoredPost | None:
        self.asked.release()
        await asyncio.Event().wait()
        return None


@dataclass
class CountingStream(MemoryStream):
    """Knows how many histories were read from it at the same time, at most."""

    under_way: int = 0
    most: int = 0

    @asynccontextmanager
    async def direct_parts(self, stream: str, query: Mapping[str, Any], *, messages: int) -> AsyncIterator[Any]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            async with super().direct_parts(stream, query, messages=messages) as parts:
                yield parts
        finally:
            self.under_way -= 1


async def questions(store: HangingStore, count: int) -> None:
    """Until the store has been asked so often more."""
    for _ in range(count):
        await store.asked.acquire()


async def load(script: Script) -> Loaded | None:
    """A post of that log, where the store hangs."""
    turns = Turns(random.Random(0))
    stream = MemoryStream(turns)
    for stored in script.events:
        stream.store(subjects.post_event(OWNER, POST, stored.event.type), stored.raw, {})
    history = LogHistory(stream.log(turns.draw), HangingStore(), recent_events=10)
    with patch("inkwire_gateway.adapters.store_time.STORE_TIMEOUT_S", 0.01):
        loading = spawn("load", history.load(OWNER, POST))
        await turns.play(loading)
    return loading.result()


async def test_a_store_that_hangs_is_not_waited_for_where_the_log_tells_all() -> None:
    """A post that has ended and is still in the log is read there."""
    script = Script().begin()
    script.chunk("Hello")
    script.publish()
    loaded = await load(script)
    assert loaded is not None and loaded.snapshot == script.truth and loaded.source == "log"


async def test_a_store_that_hangs_is_told_where_it_is_needed() -> None:
    """A post that only the store may know is asked for again by whoever wants it, in turn with others."""
    with pytest.raises(Unavailable):
        await load(Script())


async def test_a_bounded_number_of_histories_is_read_at_a_time() -> None:
    """However many posts are loaded at once, the broker looks through its log for a few of them."""
    turns = Turns(random.Random(0))
    stream, posts = CountingStream(turns), [letter * 26 for letter in "abcdefghijklmnopqrst"]
    for post in posts:
        for stored in Script(post).begin().events:
            stream.store(subjects.post_event(OWNER, post, stored.event.type), stored.raw, {})
    history = LogHistory(stream.log(turns.draw), MemoryStore(), recent_events=10)
    loading = [spawn("load", history.load(OWNER, post)) for post in posts]
    await turns.play(*loading)
    loaded = [task.result() for task in loading]
    assert [found.snapshot.post for found in loaded if found is not None] == posts
    assert stream.most == READS_COUNT < len(posts)


async def test_who_waits_for_the_store_keeps_nobody_from_the_log() -> None:
    """Posts whose beginning only a store has that hangs, as many as are read at a time: another post is read."""
    turns = Turns(random.Random(0))
    stream, posts = MemoryStream(turns), [letter * 26 for letter in "abcdefghijklmnoq"]
    assert len(posts) == READS_COUNT
    for post in [*posts, POST]:
        for stored in Script(post).begin().events[0 if post == POST else 1 :]:
            stream.store(subjects.post_event(OWNER, post, stored.event.type), stored.raw, {})
    store = HangingStore()
    history = LogHistory(stream.log(turns.draw), store, recent_events=10)
    with patch("inkwire_gateway.adapters.store_time.STORE_TIMEOUT_S", 600.0):
        waiting = [spawn("load", history.load(OWNER, post)) for post in posts]
        async with asyncio.timeout(scaled_s(20)):
            await turns.play(spawn("wait", questions(store, READS_COUNT)))
            loading = spawn("load", history.load(OWNER, POST))
            await turns.play(loading)
    assert loading.result() is not None and not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
