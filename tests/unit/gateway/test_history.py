"""Posts are read from the log and the store, whichever of them answers."""

import asyncio
import random
from unittest.mock import patch

import pytest

from inkwire_chassis.lifecycle import spawn
from inkwire_contracts import subjects
from inkwire_gateway.adapters.history import LogHistory
from inkwire_gateway.live_post import Loaded
from inkwire_gateway.ports import Unavailable
from inkwire_stores.ports import StoredPost
from tests.support.memory_store import MemoryStore
from tests.support.memory_stream import MemoryStream, Turns
from tests.unit.gateway.builders import OWNER, POST, Script


class HangingStore(MemoryStore):
    """Takes questions and never answers."""

    async def get(self, post: str) -> StoredPost | None:
        await asyncio.Event().wait()
        return None


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
