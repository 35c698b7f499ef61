"""The gateway's bytes, held to RFC 6455 by a reader of our own: whatever a client does and however little it takes."""

import asyncio
import itertools
import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from inkwire_contracts.close_codes import CLOSE_CODES
from inkwire_contracts.fold import digest, document
from tests.integration.gateway_support import Author, Reader, World, token, world
from tests.support.loops import on_loops
from tests.support.quiet import faults_logged
from tests.support.raw_websocket import RawWebSocket, connected_socket, opened, raw_websocket, shake_hands
from tests.support.rfc6455 import (
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    close,
    handshake,
    new_key,
    text,
)
from tests.support.wait import eventually, scaled_s

pytestmark = pytest.mark.nats

GENEROUS: dict[str, Any] = {
    "frames_per_s": 100_000.0,
    "frame_burst": 100_000,
    "ring_bytes": 16 * 1024**2,
    "ring_events": 100_000,
    "max_owner_connections": 5_000,
    "linger_s": 60.0,
}
BOUNDARIES = (125, 126, 127, 65_534, 65_535, 65_536, 65_537)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever a client does is no fault of the server's: its log has neither errors nor stack traces."""
    yield
    assert faults_logged(caplog, capsys) == []


def say(**frame: Any) -> bytes:
    """A frame of the native protocol, as bytes of the wire."""
    return text(json.dumps(frame))


def takes_little(port: int) -> None:
    """Let the kernel take only some KiB of each connection that is accepted from now on, so that writes are cut."""
    if not os.path.isdir("/proc/self/fd"):
        return
    for entry in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(entry)))
        except OSError:
            continue
        with found:
            listens = found.family == socket.AF_INET and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and found.getsockname()[1] == port:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2_048)


async def sized_chunk(author: Author, like: dict[str, Any], size_bytes: int) -> None:
    """Write a chunk whose event frame, made like one that was seen, has exactly so many bytes."""
    assert author.truth.open_section is not None
    section = author.truth.section(author.truth.open_section)
    assert section is not None
    event = {**like["event"], "seq": author.truth.seq + 1}
    length = size_bytes
    while True:
        data = {
            "section": section.section,
            "start": section.length,
            "end": section.length + length,
            "text": "x" * length,
        }
        frame = {**like, "event": {**event, "data": data}}
        over = len(json.dumps(frame, separators=(",", ":"))) - size_bytes
        if over == 0:
            break
        length -= over
    await author.chunk("x" * length)


@on_loops("asyncio", "asyncio-debug", "uvloop", "uvloop-debug")
async def test_lengths_at_the_boundaries(nats_url: str, tmp_path: Path) -> None:
    """Frames of 125, 126, 65,535 and 65,536 bytes, and one more or less, have heads that are right and minimal."""
    async with world(nats_url, tmp_path, **GENEROUS) as w:
        takes_little(w.port)
        author = Author(w.log)
        await author.begin("a", "b", "c", "d", "e")
        async with raw_websocket(w.port, token(), receive_bytes=4096) as raw:
            r = Reader(cast(Any, raw))
            await r.follow(author.channel)
            unused = "conversation:" + "z" * 26
            for digits in (16, 17, 18):
                await r.send(type="subscribe", channel=unused)
                await r.send(type="unsubscribe", channel=unused, id=10**digits)
                await r.until("unsubscribed", id=10**digits)
            sizes = iter([65_534, 65_535, 65_536, 65_537])
            for name in ("a", "b", "c", "d"):
                await author.open_section(name)
                await author.chunk("like this")
                like = await r.until("event", name="chunk.produced")
                await sized_chunk(author, like, next(sizes))
                await author.complete()
            await author.open_section("e")
            await author.complete()
            await author.publish()
            end = await r.read_to_end(author.channel)
            assert digest(document(end)) == end.sha256 and r.exact
            assert set(BOUNDARIES) <= set(raw.sizes), sorted(set(raw.sizes))
            assert await raw.leave() == 1000 and raw.parser.at_boundary


class Visitor:
    """A reader that takes a few bytes at a time and talks all the while."""

    def __init__(self, raw: RawWebSocket, author: Author, other: str, rng: random.Random) -> None:
        self.raw = raw
        self.reader = Reader(cast(Any, raw))
        self.author = author
        self.other = other
        self.rng = rng
        self.pings: list[bytes] = []
        self.follows = "no"
        """Of the other channel: no, asked, yes or leaving."""
        self.times = 0
        self.refused = False
        """Whether it has sent what is refused."""

    async def until(self, done: Callable[[], object]) -> None:
        """Read, and do this or that between two reads, mostly in the middle of a frame."""
        async with asyncio.timeout(scaled_s(30)):
            while not done() and not self.raw.ended:
                await self.raw.read()
                for content in self.raw.texts():
                    self.heard(json.loads(content))
                if self.rng.random() < 0.15:
                    await self.talk()

    def heard(self, frame: dict[str, Any]) -> None:
        """Apply a frame; those of a channel that was left have no place."""
        assert frame["type"] != "error" or (self.refused and frame["code"] == "invalid_frame"), frame
        if frame.get("channel") == self.other:
            if frame["type"] == "subscribed":
                assert self.follows == "asked"
                self.follows = "yes"
            elif frame["type"] == "unsubscribed":
                assert self.follows == "leaving"
                self.follows = "no"
            else:
                assert self.follows in ("yes", "leaving"), f"{frame['type']} of a channel that was left"
        self.reader.apply(frame)

    async def talk(self) -> None:
        """One thing that a client may do at any time."""
        what = self.rng.randrange(4)
        if what == 0:
            payload = b"%d:" % len(self.pings) + self.rng.randbytes(self.rng.randint(0, 115))
            self.pings.append(payload)
            await self.raw.ping(payload)
        elif what == 1:
            await self.reader.send(type="ping", id=self.rng.randrange(10**9))
        elif what == 2 and self.follows == "no" and self.times < 2:
            self.follows, self.times = "asked", self.times + 1
            await self.reader.send(type="subscribe", channel=self.other)
        elif what == 3 and self.follows == "yes" and self.rng.random() < 0.1:
            self.follows = "leaving"
            await self.reader.send(type="unsubscribe", channel=self.other)

    def check(self) -> None:
        """What must hold wherever the stream has stopped."""
        assert self.reader.exact
        answered = iter(self.pings)
        assert all(pong in answered for pong in self.raw.pongs), "pongs of pings that were sent, in their order"
        here = self.reader.snapshots.get(self.author.channel)
        if here is not None and self.author.channel in self.reader.live:
            assert digest(document(here)) == self.author.digests[here.seq], "a prefix, to the character"


async def visit(w: World, author: Author, other: str, seed: int) -> None:
    """One reader's life, whose end is one of five."""
    rng = random.Random(seed)

    def size() -> int:
        return rng.choice((1, 2, 3, rng.randint(4, 200), rng.randint(200, 4_000), rng.randint(200, 4_000)))

    offers = (("Sec-WebSocket-Extensions", "permessage-deflate"),) if seed % 2 else ()
    async with raw_websocket(w.port, token(), receive_bytes=4096, read_size=size, headers=offers) as raw:
        visitor = Visitor(raw, author, other, rng)
        await visitor.reader.send(type="subscribe", channel=author.channel)
        ends = ("read", "leave", "refused", "finish", "cut")[seed % 5]
        if ends == "read":
            await visitor.until(lambda: _final(visitor) and visitor.follows in ("no", "yes"))
            await raw.ping(b"last")
            visitor.pings.append(b"last")
            await visitor.until(lambda: b"last" in raw.pongs)
            assert _final(visitor) and document(visitor.reader.snapshots[author.channel]) == author.text
            assert await raw.leave(3000 + seed) == 3000 + seed
        else:
            stop = rng.randint(5, 60)
            await visitor.until(lambda: len(visitor.reader.frames) >= stop)
            visitor.refused = ends == "refused"
            await _part(visitor, ends)
        for content in raw.texts():
            visitor.heard(json.loads(content))
        visitor.check()


async def _part(visitor: Visitor, how: str) -> None:
    raw = visitor.raw
    if how == "leave":
        assert await raw.leave(4_999) == 4_999, "a Close frame is answered, behind what was written, and then nothing"
    elif how == "refused":
        await raw.send_bytes(b"".join(text("{") for _ in range(10)))
        for n in range(30):  # some of them come after the Close frame was sent
            visitor.pings.append(b"late %d" % n)
            await raw.ping(visitor.pings[-1])
            await asyncio.sleep(0)
        assert await raw.end() == 4000
    elif how == "finish":
        raw.finish()
        await raw.until(lambda: False)
    else:
        raw.cut()
        raw.ended = True


def _final(visitor: Visitor) -> bool:
    channel = visitor.author.channel
    here = visitor.reader.snapshots.get(channel)
    return here is not None and channel in visitor.reader.live and here.is_final


@on_loops("asyncio-debug", "uvloop")
async def test_readers_that_take_little_and_talk_all_the_while(nats_url: str, tmp_path: Path) -> None:
    """Chunks, catch-up, pongs, answers and Close frames never land inside one another, and every text is exact."""
    async with world(nats_url, tmp_path, **GENEROUS, compression=True) as w:
        takes_little(w.port)
        before = Author(w.log)
        await before.begin("big")
        await before.open_section("big")
        for n in range(12):
            await before.chunk(f"{n}:" + "\U0001f600é" * 1_500)
        await before.complete()
        await before.publish()
        author, rng = Author(w.log), random.Random(1)
        await author.begin("s0", "s1", "s2")
        async with asyncio.TaskGroup() as tasks:
            for seed in range(10):
                tasks.create_task(visit(w, author, before.channel, seed))
            for name in ("s0", "s1", "s2"):
                await author.open_section(name)
                for _ in range(40):
                    await author.chunk("å\U0001f600x" * rng.choice((1, 5, 40, 400, 1_500)))
                await author.complete()
            await author.publish()
        await eventually(lambda: w.gateway.server.count.total == 0, what="nobody is left behind")


@on_loops("asyncio", "uvloop")
async def test_all_in_one_piece_or_byte_by_byte(nats_url: str, tmp_path: Path) -> None:
    """A handshake, a subscribe, pings and Close are the same in single bytes as in one segment."""
    async with world(nats_url, tmp_path, **GENEROUS) as w:
        author = Author(w.log)
        await author.whole()
        for size in (1, 3, 1_000):
            sock = await connected_socket(w.port)
            raw, key = RawWebSocket(sock), new_key()
            await _in_pieces(
                raw, handshake(f"127.0.0.1:{w.port}", "/ws", key, (("Authorization", f"Bearer {token()}"),)), size
            )
            await shake_hands(raw, key)
            follow = say(type="subscribe", channel=author.channel) + client_frame(PING, b"one") + say(type="ping", id=1)
            await _in_pieces(raw, follow, size)
            r = Reader(cast(Any, raw))
            assert document(await r.read_to_end(author.channel)) == author.text and r.exact
            await _in_pieces(raw, client_frame(PING, b"two") + close(4_321), size)
            assert await raw.end() == 4_321 and raw.parser.at_boundary
            answers = [*r.frames, *map(json.loads, raw.texts())]
            assert raw.pongs == [b"one", b"two"] and {"type": "pong", "id": 1} in answers
            sock.close()


async def _in_pieces(raw: RawWebSocket, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        await raw.send_bytes(data[start : start + size])


@on_loops("asyncio-debug", "uvloop-debug")
async def test_fragments_of_the_client(nats_url: str, tmp_path: Path) -> None:
    """A client may cut its messages anywhere, within a character too, and put control frames between (5.4)."""
    async with world(nats_url, tmp_path, **GENEROUS) as w:
        author, rng = Author(w.log), random.Random(2)
        await author.begin("s")
        await author.open_section("s")
        async with raw_websocket(w.port, token()) as raw:
            r = Reader(cast(Any, raw))
            await r.follow(author.channel)
            for n in range(100):
                message = json.dumps({"type": "ping", "id": n, "pad": "é\U0001f600"}, ensure_ascii=False).encode()
                cuts = sorted(rng.choices(range(len(message) + 1), k=rng.randint(0, 6)))
                edges = [0, *cuts, len(message)]
                parts = [message[a:b] for a, b in itertools.pairwise(edges)]
                for at, part in enumerate(parts):
                    opcode = CONTINUATION if at else TEXT
                    piece = client_frame(opcode, part, fin=at == len(parts) - 1)
                    await raw.send_bytes(
                        piece + client_frame(PING, b"%d.%d" % (n, at)) + client_frame(PONG, b"unasked")
                    )
                    if rng.random() < 0.2:
                        await author.chunk("between ")
                await r.until("pong", id=n)
            assert len(raw.pongs) >= 100 and len(set(raw.pongs)) == len(raw.pongs)
            await author.complete()
            await author.publish()
            assert document(await r.read_to_end(author.channel)) == author.text and r.exact
            await raw.send_bytes(client_frame(TEXT, b'{"type":', fin=False))
            assert await raw.leave(1001) in (1001, 1002), "a Close within a message ends it all the same"


@on_loops("asyncio", "uvloop")
async def test_nothing_after_the_servers_close(nats_url: str, tmp_path: Path) -> None:
    """Readers in mid-catch-up that are closed all at once get whole frames, the Close frame, and the end."""
    async with world(nats_url, tmp_path, **GENEROUS) as w:
        takes_little(w.port)
        author = Author(w.log)
        await author.begin("big", "now")
        await author.open_section("big")
        for _ in range(20):
            await author.chunk("é" * 2_500)
        await author.complete()
        await author.open_section("now")
        readers = []
        for _ in range(20):
            raw = await opened(await connected_socket(w.port, receive_bytes=4096), w.port, token())
            await raw.send_bytes(say(type="subscribe", channel=author.channel))
            readers.append(raw)
        for n, raw in enumerate(readers):
            await raw.until(lambda raw=raw, n=n: sum(raw.sizes) > n * 1_000)
        writing = asyncio.create_task(_write_on(author))
        ends = [asyncio.create_task(raw.end()) for raw in readers]
        w.gateway.server.lose_everyone()
        assert {await end for end in ends} == {CLOSE_CODES["lost_position"].code}
        await writing
        for raw in readers:
            raw.sock.close()
        await eventually(lambda: w.gateway.server.count.total == 0, what="nobody is left behind")


@on_loops("uvloop")
async def test_nothing_after_a_close_that_the_library_sends(nats_url: str, tmp_path: Path) -> None:
    """Who sends what is no text while events flow gets 1007 as the last frame: it has left the fan-out by then."""
    async with world(nats_url, tmp_path, **GENEROUS) as w:
        authors, readers = [Author(w.log) for _ in range(4)], []
        for author in authors:
            await author.begin("s")
            await author.open_section("s")
        for _ in range(40):
            raw = await opened(await connected_socket(w.port), w.port, token())
            await raw.send_bytes(b"".join(say(type="subscribe", channel=author.channel) for author in authors))
            live: list[str] = []
            await raw.until(lambda raw=raw, live=live: _lives(raw, live) == len(authors))
            readers.append(raw)
        async with asyncio.TaskGroup() as writing:
            for author in authors:
                writing.create_task(_write_on(author))
            for raw in readers:
                await raw.send_bytes(client_frame(TEXT, b"\xff"))
                await asyncio.sleep(0)
        assert {await raw.end() for raw in readers} == {1007}
        for raw in readers:
            raw.sock.close()


def _lives(raw: RawWebSocket, found: list[str]) -> int:
    found += [content for content in raw.texts() if '"type":"live"' in content]
    return len(found)


async def _write_on(author: Author) -> None:
    for _ in range(50):
        await author.chunk("too late for those")
