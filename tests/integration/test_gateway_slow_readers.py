"""Readers that take little or nothing, on real sockets: who makes progress lives, who makes none is closed."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from websockets.asyncio.client import ClientConnection

from inkwire_contracts.fold import digest, document
from inkwire_gateway.adapters.client import Client
from inkwire_gateway.adapters.server import ServerLimits
from tests.integration.gateway_support import Author, HeldTime, Reader, World, token, world
from tests.support.raw_websocket import RawWebSocket, raw_websocket
from tests.support.rfc6455 import TEXT, client_frame
from tests.support.wait import eventually

pytestmark = pytest.mark.nats

SLOW_TIMEOUT_S = 60.0
KERNEL_BYTES = 4096
"""What the readers' kernel holds, about."""
LITTLE_BYTES = 1024
SECTIONS = ("s0", "s1", "s2", "s3")
CHUNKS = 60
"""Of each section; each has 4 KB."""
MAX_READERS = 20


@dataclass
class Sip:
    """A reader that reads when the test says so, and as much; ``client`` is its other end, in the gateway."""

    raw: RawWebSocket
    folded: Reader
    client: Client
    channel: str

    async def sip(self) -> None:
        """Read a little, again and again, until the gateway got rid of something for it."""
        held = self.client.transport_bytes()
        while self.client.queue.paused and self.client.transport_bytes() == held and not self.raw.ended:
            await self.read()

    async def read(self) -> None:
        """Read once, a little."""
        await self.raw.read()
        for each in self.raw.texts():
            self.folded.apply(json.loads(each))

    @property
    def ended(self) -> bool:
        """Whether it has the whole post."""
        known = self.folded.snapshots.get(self.channel)
        return known is not None and self.channel in self.folded.live and known.is_final

    async def read_to_end(self, author: Author) -> None:
        """Read everything, and hold it to what was written."""
        while not self.ended:
            assert not self.raw.ended, self.raw.close_code
            await self.read()
        assert self.folded.exact
        assert digest(document(self.folded.snapshots[self.channel])) == digest(author.text)


@asynccontextmanager
async def sipping(w: World, author: Author) -> AsyncIterator[Sip]:
    """A reader that asked for a post, read nothing of it, and is full."""
    before = set(w.gateway.server.clients.values())
    async with raw_websocket(w.port, token(), receive_bytes=KERNEL_BYTES, read_size=lambda: LITTLE_BYTES) as raw:
        assert json.loads(await raw.recv())["type"] == "welcome"
        (client,) = set(w.gateway.server.clients.values()) - before
        await raw.send(json.dumps({"type": "subscribe", "channel": author.channel}))
        await eventually(lambda: client.queue.paused, what="its socket is full")
        yield Sip(raw, Reader(cast("ClientConnection", raw)), client, author.channel)


async def write(author: Author, *sections: str) -> None:
    """Sections that take more than the kernel does."""
    for name in sections:
        await author.open_section(name)
        for n in range(CHUNKS):
            await author.chunk(f"{n:06}" + "é" * 2_000)
        await author.complete()


async def test_progress_keeps_a_slow_reader(nats_url: str, tmp_path: Path) -> None:
    """Who takes nothing is closed with 4102 in its time; who takes a little outlives it by far, and is exact."""
    async with world(nats_url, tmp_path, slow_timeout_s=SLOW_TIMEOUT_S, ping_interval_s=3_600) as w:
        author, time, closes = Author(w.log), HeldTime(w.gateway), w.gateway.hub.counters.closes
        await author.begin(*SECTIONS)
        await write(author, *SECTIONS[:2])
        async with sipping(w, author) as slow, sipping(w, author) as dead:
            for _ in range(6):
                await slow.sip()
                slow.client.check_life(time.monotonic_s(), time.now().timestamp(), w.gateway.server.limits)
                time.advance(0.75 * SLOW_TIMEOUT_S)
            await eventually(lambda: closes[4102] > 0, what="one is closed")
            assert slow.client.queue.paused, "something has waited for it all the time"
            assert await dead.raw.end() in (4102, None)  # None: it was cut before it read that far
            assert closes == {4102: 1}
            await write(author, *SECTIONS[2:])
            await author.publish()
            await slow.read_to_end(author)
        assert closes == {4102: 1}


async def test_what_waits_for_all_is_bounded(nats_url: str, tmp_path: Path) -> None:
    """Beyond the bound the one longest without progress is closed, neither who came before it nor who came after."""
    bound = 150_000
    async with world(nats_url, tmp_path, slow_timeout_s=3600, max_waiting_bytes=bound) as w, AsyncExitStack() as stack:
        author, closes, waiting = Author(w.log), w.gateway.hub.counters.closes, w.gateway.server.waiting
        await author.begin(*SECTIONS)
        await write(author, *SECTIONS)
        first = await stack.enter_async_context(sipping(w, author))
        dead: list[Sip] = []
        while not closes and len(dead) < MAX_READERS:
            dead.append(await stack.enter_async_context(sipping(w, author)))
            await first.sip()
        await eventually(lambda: closes, what="one is closed")
        assert closes == {4102: 1}
        assert waiting.total_bytes <= bound
        assert await dead[0].raw.end() in (4102, None)
        await author.publish()
        for each in (first, *dead[1:]):
            await each.read_to_end(author)
        assert closes == {4102: 1}


async def test_answers_that_wait_are_bounded_for_all_together(nats_url: str, tmp_path: Path) -> None:
    """Full readers that go on asking pass the bound by the answers alone: then, too, the oldest of them go."""
    bound, many = 200_000, {"frames_per_s": 100_000, "frame_burst": 1_000_000, "max_invalid_frames": 10_000}
    limits = {"slow_timeout_s": 3600, "max_waiting_bytes": bound, **many}
    async with world(nats_url, tmp_path, **limits) as w, AsyncExitStack() as stack:
        author, closes, waiting = Author(w.log), w.gateway.hub.counters.closes, w.gateway.server.waiting
        await author.begin(*SECTIONS)
        await write(author, SECTIONS[0])
        slow = [await stack.enter_async_context(sipping(w, author)) for _ in range(8)]
        assert not closes and waiting.total_bytes < bound
        asked = client_frame(TEXT, json.dumps({"type": "subscribe", "channel": "nonsense", "id": 1}).encode()) * 150
        for each in slow:
            await each.raw.send_bytes(asked)
        await eventually(lambda: sum(each.client.reply_bytes() > 20_000 for each in slow[-3:]) == 3, what="all asked")
        assert 0 < closes[4102] == len(slow) - len(waiting)
        assert waiting.total_bytes <= bound
        assert sum(each.client.transport_bytes() + each.client.reply_bytes() for each in slow[-len(waiting) :]) <= bound


async def test_progress_is_a_sign_of_life(nats_url: str, tmp_path: Path) -> None:
    """Who was full since it was asked is asked again, not closed, and has longer to answer: much stands before that."""
    async with (
        world(nats_url, tmp_path, ping_interval_s=3_600) as w,
        raw_websocket(w.port, token(), receive_bytes=4_096) as raw,
    ):
        await raw.recv()
        (client,) = w.gateway.server.clients.values()
        limits = ServerLimits(ping_interval_s=20, pong_timeout_s=20)
        now_s, unix_s = w.gateway.clock.monotonic_s(), w.gateway.clock.now().timestamp()
        client.check_life(now_s + 21, unix_s, limits)
        client.full()
        client.has_room()
        client.check_life(now_s + 82, unix_s, limits)
        client.check_life(now_s + 82 + 21, unix_s, limits)
        assert w.gateway.hub.counters.closes == {}
        client.check_life(now_s + 82 + 121, unix_s, limits)
        assert w.gateway.hub.counters.closes == {4104: 1}
