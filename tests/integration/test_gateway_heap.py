"""A connection that has ended is free at once: it leaves no cycles, so its objects may be frozen while it lives."""

import asyncio
import gc
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.gateway_support import Author, World, reader, token, world
from tests.support.processes import ManagedProcess
from tests.support.wait import eventually, eventually_sync

pytestmark = pytest.mark.nats


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The garbage collector stands still: only what nothing refers to is freed."""
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


LARGE = b"GET /ws HTTP/1.1\r\n" + b"Cookie: %a\r\n" % ("c" * 4_000) * 5


@pytest.mark.parametrize(
    "words",
    [b"", b"hello\r\n\r\n", b"GET /ws HTTP/1.1\r\n\r\n", b"GET /no HTTP/1.1\r\n\r\n", LARGE],
    ids=["nothing", "no request", "no headers", "another path", "too large"],
)
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


# In a process of its own: the whole heap is frozen and looked at again and again.
KNOT = """
import asyncio, gc, weakref
from inkwire_gateway.adapters import heap
from inkwire_gateway.heap import HeapPolicy, Step

class EachTime(HeapPolicy):
    due = Step.FREEZE
    def step(self, middle_collections, now_s):
        return self.due

class Knot:
    def __init__(self):
        self.itself = self

async def until(reached):
    while not reached():
        await asyncio.sleep(0)

async def main():
    heap.HeapPolicy, heap.LOOK_INTERVAL_S = EachTime, 0
    alive = [Knot()]
    watched = weakref.ref(alive[0])
    keeping = asyncio.create_task(heap.keep_heap())
    await until(lambda: not any(type(one) is Knot for one in gc.get_objects()))
    alive.clear()
    gc.collect()
    print("frozen and kept", watched() is not None)
    EachTime.due = Step.THAW
    await until(lambda: watched() is None)
    print("thawed and free")
    keeping.cancel()

asyncio.run(main())
"""


def test_cycles_are_not_frozen_for_good(keep: Callable[[ManagedProcess], ManagedProcess]) -> None:
    """A cycle that was alive when it was frozen is not found by a collection, but when all is thawed."""
    process = keep(ManagedProcess("heap", [sys.executable, "-c", KNOT])).start()
    eventually_sync(lambda: not process.running, what="both were seen", timeout_s=30)
    assert process.term() == 0
    assert process.lines == ["frozen and kept True", "thawed and free"]
