"""A connection that has ended is free at once: it leaves no cycles, so its objects may be frozen while it lives."""

import asyncio
import gc
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from inkwire_chassis.lifecycle import cancel_and_wait, spawn
from inkwire_gateway.adapters import heap
from inkwire_gateway.adapters.heap import keep_heap
from inkwire_gateway.heap import HeapPolicy, Step
from tests.integration.gateway_support import Author, World, reader, token, world
from tests.support.wait import eventually

pytestmark = pytest.mark.nats


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The garbage collector stands still: only what nothing refers to is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living(at: World) -> list[weakref.ref[object]]:
    """What each connection is made of."""
    found: list[object] = list(at.gateway.server.handshakes.all())
    for client in at.gateway.server.clients.values():
        found += [client._connection, client.queue, client.session]
    protocols = [one.protocol for one in found if hasattr(one, "protocol")]
    return [weakref.ref(one) for one in (*found, *protocols) if type(one).__weakrefoffset__]


async def gone(watched: list[weakref.ref[object]]) -> None:
    """Wait until nothing refers to them."""
    assert watched, "something is watched"
    await eventually(lambda: all(one() is None for one in watched), what="all of the connection is free")


@pytest.mark.parametrize("ending", ["close", "cut", "bad_frame", "server"])
@pytest.mark.usefixtures("uncollected")
async def test_an_ended_connection_is_free_without_a_collection(nats_url: str, tmp_path: Path, ending: str) -> None:
    """Whoever ends it, and however."""
    async with world(nats_url, tmp_path) as at:
        author = Author(at.log)
        await author.begin("a")
        async with reader(at.port, token()) as client:
            await client.follow(author.channel)
            watched = living(at)
            if ending == "cut":
                client.socket.transport.abort()
            elif ending == "bad_frame":
                client.socket.transport.write(b"\xff\xff" + os.urandom(12))
            elif ending == "server":
                at.gateway.server.lose_everyone()
        await gone(watched)


@pytest.mark.parametrize("words", [b"", b"hello\r\n\r\n", b"GET /ws HTTP/1.1\r\n\r\n", b"GET /no HTTP/1.1\r\n\r\n"])
@pytest.mark.usefixtures("uncollected")
async def test_a_failed_handshake_is_free_without_a_collection(nats_url: str, tmp_path: Path, words: bytes) -> None:
    """What never became a connection leaves nothing behind, either."""
    async with world(nats_url, tmp_path) as at:
        _, writer = await asyncio.open_connection("127.0.0.1", at.port)
        await eventually(lambda: at.gateway.server.handshakes.all(), what="the handshake has begun")
        watched = living(at)
        writer.write(words)
        writer.write_eof()
        await gone(watched)
        writer.close()


class _EachTime(HeapPolicy):
    """Something is due at each look."""

    step_due = Step.FREEZE

    def step(self, middle_collections: int, now_s: float) -> Step:
        return self.step_due


class _Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


async def test_cycles_are_not_frozen_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cycle that was alive when it was frozen is not found by a collection, but when all is thawed."""
    monkeypatch.setattr(heap, "HeapPolicy", _EachTime)
    alive = [_Knot()]
    watched = weakref.ref(alive[0])
    keeping = spawn("heap", keep_heap())
    try:
        await eventually(lambda: not any(isinstance(one, _Knot) for one in gc.get_objects()), what="it is frozen")
        alive.clear()
        gc.collect()
        assert watched() is not None
        monkeypatch.setattr(_EachTime, "step_due", Step.THAW)
        await eventually(lambda: watched() is None, what="it is collected")
    finally:
        await cancel_and_wait(keeping)
        gc.unfreeze()
