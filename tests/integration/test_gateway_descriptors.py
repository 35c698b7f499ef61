"""Readers vanish in the middle of a fan-out while others come: descriptors are used again, and no byte goes astray."""

import asyncio
import json
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from inkwire_contracts.fold import document
from tests.integration.gateway_support import Author, reader, token, world
from tests.support.loops import on_loops
from tests.support.quiet import faults_logged
from tests.support.raw_websocket import RawWebSocket, shake_hands
from tests.support.rfc6455 import handshake, new_key, text
from tests.support.wait import eventually

pytestmark = pytest.mark.nats

ROUNDS = 150
AT_ONCE = 5


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """A reader that vanishes is no fault of the server's: its log has neither errors nor stack traces."""
    yield
    assert faults_logged(caplog, capsys) == []


@dataclass
class Guest:
    """A connection of one owner, with everything that came on it."""

    author: Author
    raw: RawWebSocket
    key: str
    heard: list[str] = field(default_factory=list)

    @classmethod
    def arrive(cls, port: int, author: Author, jwt: str) -> "Guest":
        """Connect and send a handshake at once; the server takes notice when its loop turns."""
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        key = new_key()
        sock.send(handshake(f"127.0.0.1:{port}", "/ws", key, (("Authorization", f"Bearer {jwt}"),)))
        return cls(author, RawWebSocket(sock), key)

    async def settle(self) -> None:
        """Follow one's own post until it is live: the first bytes are the handshake's, whoever had the descriptor."""
        await shake_hands(self.raw, self.key)
        await self.raw.send_bytes(text(json.dumps({"type": "subscribe", "channel": self.author.channel})))
        await self.raw.until(self._live)
        assert not self.raw.ended, self.raw.close_code
        self.check()

    def _live(self) -> bool:
        self.heard += self.raw.texts()
        return any('"type":"live"' in frame for frame in self.heard)

    def check(self) -> None:
        """Only frames of one's own have come."""
        self.heard += self.raw.texts()
        frames = [json.loads(frame) for frame in self.heard]
        assert {f["owner"] for f in frames if f["type"] == "welcome"} == {self.author.owner}
        assert {f["channel"] for f in frames if "channel" in f} <= {self.author.channel}

    async def part(self, cut: bool) -> None:
        """Look at all that came meanwhile, and vanish, or leave in order."""
        if cut:
            self.raw.cut()
        else:
            await self.raw.leave()
            self.raw.sock.close()
        self.check()


@on_loops("asyncio", "uvloop")
async def test_no_byte_reaches_another_owner(nats_url: str, tmp_path: Path) -> None:
    """However resets, connections and fan-outs of two owners fall together, each sees only the own post."""
    rng, jwts = random.Random(5), {owner: token(owner) for owner in ("ada", "bob")}
    limits: dict[str, Any] = {"max_owner_connections": 10_000, "linger_s": 60.0, "frames_per_s": 10_000.0}
    async with world(nats_url, tmp_path, **limits) as w:
        authors = {owner: Author(w.log, owner) for owner in jwts}
        for author in authors.values():
            await author.begin("s")
            await author.open_section("s")
        async with reader(w.port, jwts["ada"]) as ada, reader(w.port, jwts["bob"]) as bob:
            witnesses = {"ada": ada, "bob": bob}
            for owner, witness in witnesses.items():
                await witness.follow(authors[owner].channel)
            guests: list[Guest] = []
            for turn in range(ROUNDS):
                owner, other = ("ada", "bob") if turn % 2 else ("bob", "ada")
                writing = asyncio.create_task(authors[other].chunk(f"only for {other} {turn} "))
                for _ in range(rng.randint(0, 12)):
                    await asyncio.sleep(0)
                leaving, guests = guests, []
                for guest in leaving:  # in the order of their descriptors, which are free for those who come
                    guest.raw.cut()
                    guests.append(Guest.arrive(w.port, authors[owner], jwts[owner]))
                    if rng.random() < 0.2:
                        await asyncio.sleep(0)
                guests += [Guest.arrive(w.port, authors[owner], jwts[owner]) for _ in range(AT_ONCE - len(guests))]
                second = asyncio.create_task(_after(writing, authors[other], f"and more for {other} "))
                await asyncio.gather(*(guest.settle() for guest in guests), second)
                for guest in leaving:
                    guest.check()
            for guest in guests:
                await guest.part(cut=False)
            for owner, author in authors.items():
                await author.complete()
                await author.publish()
                end = await witnesses[owner].read_to_end(author.channel)
                assert document(end) == author.text and witnesses[owner].exact
            await eventually(lambda: w.gateway.server.count.total == 2, what="only the two witnesses are left")


async def _after(first: asyncio.Task[None], author: Author, content: str) -> None:
    await first
    await author.chunk(content)


@on_loops("asyncio", "uvloop")
async def test_all_readers_but_one_vanish_in_one_fan_out(nats_url: str, tmp_path: Path) -> None:
    """Writes to sockets that are gone fail for these alone: the reader behind them in the fan-out misses nothing."""
    jwt = token()
    async with world(nats_url, tmp_path, max_owner_connections=10_000, linger_s=60.0) as w:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        for _ in range(8):
            early = [Guest.arrive(w.port, author, jwt) for _ in range(20)]
            await asyncio.gather(*(guest.settle() for guest in early))
            async with reader(w.port, jwt) as last:
                await last.follow(author.channel)
                writing = asyncio.create_task(author.chunk("x" * 3_000))
                for guest in early:
                    guest.raw.cut()
                await writing
                await author.chunk("and so on")
                await last.until("event", name="chunk.produced")
                while last.snapshots[author.channel].seq < author.truth.seq:
                    await last.next()
                assert document(last.snapshots[author.channel]) == author.text and last.exact
            await eventually(lambda: w.gateway.server.count.total == 0, what="all of them are noticed")
