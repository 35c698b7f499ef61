"""permessage-deflate: compressed once for all who negotiated it, the same text for everybody, and bounds that hold."""

import random
import string
import tracemalloc
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from inkwire_contracts.client_frames import MAX_CLIENT_FRAME_BYTES
from inkwire_contracts.fold import digest, document
from inkwire_gateway.deflate import deflated_frame
from inkwire_gateway.dialects.native import DEFLATED, NATIVE
from tests.integration.gateway_support import Author, Reader, close_code, narrow_reader, reader, token, world
from tests.support.rfc6455 import CONTINUATION, PING, TEXT, client_frame

pytestmark = pytest.mark.nats

SYNC_END = b"\x00\x00\xff\xff"
MIB = 1024**2


def extensions(of: Reader) -> str:
    """What the server answered to the offer of a client of the websockets library."""
    assert of.socket.response is not None
    return of.socket.response.headers.get("Sec-WebSocket-Extensions", "")


class OtherLibrary:
    """aiohttp's client in the place of the other one's: another implementation of the protocol and of the extension."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        """One text frame."""
        await self._socket.send_str(text)

    async def recv(self) -> str:
        """The next text."""
        return await self._socket.receive_str()


@asynccontextmanager
async def aiohttp_reader(port: int, jwt: str) -> AsyncIterator[Reader]:
    """A client that offers compression as aiohttp does."""
    protocols = ("inkwire.v1", f"token.{jwt}")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/ws", protocols=protocols, compress=15) as socket,
    ):
        assert socket.compress == 15 and socket.client_notakeover
        yield Reader(cast(ClientConnection, OtherLibrary(socket)))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[bytes]]:
    """How often each payload is framed for those who negotiated compression."""
    made: Counter[bytes] = Counter()

    def frame(payload: bytes) -> bytes:
        made[payload] += 1
        return deflated_frame(payload)

    with monkeypatch.context() as patch:
        patch.setattr(DEFLATED, "_frame", frame)
        yield made


async def test_all_kinds_of_clients_read_the_same(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressed by two libraries or plain: one text, one digest; each event is compressed once, whoever reads it."""
    async with world(nats_url, tmp_path, compression=True) as w, AsyncExitStack() as stack:
        author = Author(w.log)
        await author.begin("s0", "s1")
        packed = await stack.enter_async_context(reader(w.port, token()))
        second = await stack.enter_async_context(reader(w.port, token()))
        other = await stack.enter_async_context(aiohttp_reader(w.port, token()))
        plain = await stack.enter_async_context(reader(w.port, token(), compression=None))
        shared = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        assert [extensions(r) for r in (packed, second, plain)] == [shared, shared, ""]
        readers = (packed, second, other, plain)
        for each in readers:
            await each.follow(author.channel)
        groups = w.gateway.hub.channels["ada", author.channel].groups
        assert {d: len(g.members) for d, g in groups.items()} == {DEFLATED: 3, NATIVE: 1}
        with counted(monkeypatch) as made:
            for name in ("s0", "s1"):
                await author.open_section(name)
                for n in range(20):
                    await author.chunk(f"{name}-{n} åß\U0001f600 ")
                await author.complete()
            await author.publish()
            ends = [await each.read_to_end(author.channel) for each in readers]
        assert {document(end) for end in ends} == {author.text}
        assert {end.sha256 for end in ends} == {digest(author.text)}
        assert all(each.exact for each in readers)
        assert made and set(made.values()) == {1}, "three readers, one frame"
        assert all(deflated_frame(payload)[0] == 0xC1 for payload in made), "and each was worth compressing"
        events = [f for f in packed.frames if f["type"] == "event"]
        assert len(made) == len(events) == len([f for f in other.frames if f["type"] == "event"])


async def test_a_finished_post_is_caught_up_with_compressed(nats_url: str, tmp_path: Path) -> None:
    """Joins and resumes go the same way: text frames are compressed, and a position is resumed exactly."""
    async with world(nats_url, tmp_path, compression=True) as w:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        for _ in range(30):
            await author.chunk("Nothing repeats itself like a text that repeats itself. " * 20)
        async with aiohttp_reader(w.port, token()) as first:
            await first.follow(author.channel)
            position, so_far = first.positions[author.channel], first.snapshots[author.channel]
            assert document(so_far) == author.text
        await author.complete()
        await author.publish()
        async with reader(w.port, token()) as again:
            again.snapshots[author.channel] = so_far
            await again.follow(author.channel, position)
            assert again.recovered[author.channel]
            assert document(await again.read_to_end(author.channel)) == author.text and again.exact
        async with reader(w.port, token()) as late:
            await late.follow(author.channel)
            assert late.snapshots[author.channel].sha256 == digest(document(late.snapshots[author.channel]))


async def test_slow_compressed_reader_gets_merged_text(nats_url: str, tmp_path: Path) -> None:
    """Who reads late gets what it missed in fewer frames, compressed too, exactly; others are not held up."""
    chance = random.Random(7)
    async with world(nats_url, tmp_path, compression=True, ring_bytes=8 * MIB) as w:
        author = Author(w.log)
        names = [f"s{n}" for n in range(6)]
        await author.begin(*names)
        async with narrow_reader(w.port, token()) as slow, reader(w.port, token()) as fast:
            assert "permessage-deflate" in extensions(slow)
            await slow.follow(author.channel)
            await fast.follow(author.channel)
            for name in names:
                await author.open_section(name)
                for _ in range(25):
                    await author.chunk("".join(chance.choices(string.ascii_letters, k=4_000)))
                await author.complete()
            await author.publish()
            assert document(await fast.read_to_end(author.channel)) == author.text and fast.exact
            assert document(await slow.read_to_end(author.channel)) == author.text and slow.exact
            assert [f for f in slow.frames if f["type"] == "event" and "first_seq" in f["event"]], "it was slow enough"
            assert [f["type"] for f in slow.frames].count("snapshot") == 1


async def test_off_by_default(nats_url: str, tmp_path: Path) -> None:
    """Without the setting nothing is negotiated, however much it is offered."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        assert extensions(r) == ""
        await r.until("welcome")


async def test_a_client_with_a_small_window_is_served_plain(nats_url: str, tmp_path: Path) -> None:
    """Shared frames need the whole window; who has less of it reads the same text uncompressed."""
    small = [ClientPerMessageDeflateFactory(server_max_window_bits=10)]
    async with world(nats_url, tmp_path, compression=True) as w:
        author = Author(w.log)
        await author.whole()
        async with reader(w.port, token(), extensions=small) as r:
            assert extensions(r) == ""
            await r.follow(author.channel)
            assert document(r.snapshots[author.channel]) == author.text


PING_FRAME = b'{"type": "ping", "id": 1}'


def deflated(text: bytes, *, before: bytes = b"") -> bytes:
    """A message's payload as a client compresses it; with ``before`` it leans on a message that came before."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=before)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(SYNC_END)


RSV1 = 4


def write(r: Reader, *frames: bytes) -> None:
    """Send frames past the client's library."""
    for frame in frames:
        r.socket.transport.write(frame)


async def test_compressed_requests_are_understood(nats_url: str, tmp_path: Path) -> None:
    """Compressed, plain, and compressed in fragments: on one connection, in any order."""
    async with world(nats_url, tmp_path, compression=True) as w, reader(w.port, token()) as r:
        await r.send(type="ping", id=1)
        await r.until("pong", id=1)
        packed = deflated(b'{"type": "ping", "id": 2}')
        write(
            r,
            client_frame(TEXT, b'{"type": "ping", "id": 3}'),
            client_frame(TEXT, packed[:9], fin=False, rsv=RSV1),
            client_frame(PING, b"between"),
            client_frame(CONTINUATION, packed[9:]),
            client_frame(TEXT, packed, rsv=RSV1),
        )
        for number in (3, 2, 2):
            await r.until("pong", id=number)


@pytest.mark.parametrize("fragments", [1, 4])
async def test_a_decompression_bomb_is_refused(nats_url: str, tmp_path: Path, fragments: int) -> None:
    """A few kilobytes that would become nine megabytes are never unpacked: 1009, and others do not notice."""
    bomb = deflated(b" " * (9 * MIB))
    assert len(bomb) < MAX_CLIENT_FRAME_BYTES
    size = -(-len(bomb) // fragments)
    parts = [bomb[start : start + size] for start in range(0, len(bomb), size)]
    frames = [
        client_frame(CONTINUATION if n else TEXT, part, fin=n == fragments - 1, rsv=0 if n else RSV1)
        for n, part in enumerate(parts)
    ]
    async with (
        world(nats_url, tmp_path, compression=True) as w,
        reader(w.port, token()) as r,
        reader(w.port, token()) as other,
    ):
        await r.until("welcome")
        await other.until("welcome")
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            write(r, *frames)
            assert await close_code(r) == 1009
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < MIB
        await other.send(type="ping", id=1)
        await other.until("pong", id=1)


@pytest.mark.parametrize("junk", [b"\xff" * 40, deflated(PING_FRAME, before=PING_FRAME)], ids=["no-block", "context"])
async def test_what_is_no_deflate_ends_that_connection_alone(nats_url: str, tmp_path: Path, junk: bytes) -> None:
    """Bytes that cannot be unpacked, or only with an earlier message, close their connection; others go on."""
    async with (
        world(nats_url, tmp_path, compression=True) as w,
        reader(w.port, token()) as r,
        reader(w.port, token()) as other,
    ):
        await r.until("welcome")
        write(r, client_frame(TEXT, junk, rsv=RSV1))
        assert await close_code(r) == 1002
        await other.send(type="ping", id=1)
        await other.until("pong", id=1)


async def test_compressed_frames_without_the_extension_are_refused(nats_url: str, tmp_path: Path) -> None:
    """With the setting on, a connection that negotiated nothing has no business with RSV1."""
    async with world(nats_url, tmp_path, compression=True) as w, reader(w.port, token(), compression=None) as r:
        await r.until("welcome")
        write(r, client_frame(TEXT, deflated(PING_FRAME), rsv=RSV1))
        assert await close_code(r) == 1002
