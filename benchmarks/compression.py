"""What permessage-deflate, compressed once for all readers, saves in bytes and costs in processor time.

    python -m benchmarks.compression                     everything, in about three minutes
    python -m benchmarks.compression --readers ""        frames and one article alone
    python -m benchmarks.compression --tokens-per-s 20   a slower article: smaller events

One article is written by the whole system as processes, the simulator as provider, and followed by a reader; its frames
are then made again, plain and compressed, by the gateway's own dialects. With --readers a gateway serves raw sockets
that negotiated compression, and others that did not; every frame of every reader is unpacked and checked afterwards.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import uvloop
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks.fanout_rig import cpu_of, pin, resident_kib, settle
from benchmarks.rig import JWT_KEYS, ROOT, Broker
from inkwire.following import PostFold
from inkwire_chassis import logs
from inkwire_chassis.auth import DEFAULT_SCOPES, KeyRing
from inkwire_chassis.clock import new_id
from inkwire_contracts.client_frames import SERVER_FRAME
from inkwire_contracts.fold import document
from inkwire_gateway.deflate import deflated_frame
from inkwire_gateway.dialects.native import DEFLATED, NATIVE, NativeWebSocket, event_payload, text_payloads
from inkwire_gateway.framing import text_frame
from inkwire_gateway.live_post import LivePost, Loaded
from inkwire_gateway.ring import MAX_MERGED_BYTES, Batch, Entry, Ring
from tests.support.log import ScriptedWriter, make_job, open_log
from tests.support.ports import free_port
from tests.support.processes import ServiceProcess
from tests.support.rfc6455 import TEXT, FrameParser, client_frame, new_key
from tests.support.system import SECRET, System, running_system
from tests.support.wait import eventually

OWNER: Final = "ana"
ARTICLE_TIMEOUT_S: Final = 240.0
LIVE_TIMEOUT_S: Final = 20.0
SYNC_END: Final = b"\x00\x00\xff\xff"
PROSE: Final = ("README.md", "docs/architecture.md", "docs/lifecycle.md", "docs/reliability.md", "docs/protocol.md")
"""Text that people wrote: the simulator's repeats itself more than an article does."""
SETTINGS: Final = ((1, 8, 15), (3, 8, 15), (6, 8, 15), (9, 8, 15), (1, 5, 12), (6, 5, 12), (1, 2, 10), (6, 9, 15))
"""Level, memLevel, window bits. The first is what ``deflate`` uses, (6, 5, 12) what the library does by default."""
MEASURE_S: Final = 0.1
LOAD_S: Final = 5.0
DELIVERIES_PER_S: Final = 50_000
MAX_EVENTS_PER_S: Final = 300
SETTLE_CHECKS: Final = 100
SERVER_CORE, CLIENT_CORE = 0, 1


# -- one article -------------------------------------------------------------------------------------------------------


def _token(keys: str, owner: str) -> str:
    ring = KeyRing.parse(keys, "inkwire")
    return ring.mint(owner, now=datetime.now(UTC), lifetime_s=3_600, jti=new_id(), scopes=DEFAULT_SCOPES)


async def _follow(system: System, jwt: str, channel: str) -> list[bytes]:
    frames: list[bytes] = []
    protocols = [Subprotocol("inkwire.v1"), Subprotocol(f"token.{jwt}")]
    url = system.client().websocket_url
    async with asyncio.timeout(ARTICLE_TIMEOUT_S), connect(url, subprotocols=protocols, compression=None) as socket:
        await socket.send(json.dumps({"type": "subscribe", "channel": channel}))
        async for text in socket:
            frames.append(str(text).encode())
            if json.loads(text).get("name") in ("post.published", "generation.failed"):
                break
    return frames


def article(tokens_per_s: float) -> list[bytes]:
    """Every frame of an article, from the moment it was asked for, as a reader without compression gets them."""
    jwt = _token(f"k1:{SECRET}", OWNER)
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/posts.sqlite3"
        with running_system(Path(folder), store, tokens_per_s=tokens_per_s) as system:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {jwt}"}
            body = json.dumps({"title": "Top 10 Laravel tips"}).encode()
            request = urllib.request.Request(f"{system.api_url}/posts", body, headers)  # noqa: S310
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                channel = str(json.load(answer)["channel"])
            return asyncio.run(_follow(system, jwt, channel))


@dataclass
class Article:
    """The frames taken apart."""

    channel: str
    entries: list[Entry]
    times: list[datetime]
    events: list[bytes]
    """Live frames, as payloads."""
    post: LivePost
    """At its end."""

    @classmethod
    def of(cls, frames: Sequence[bytes]) -> "Article":
        """Fold it as a client does.

        Raises:
            ValueError: the post was not published.
        """
        fold: PostFold | None = None
        entries: list[Entry] = []
        times: list[datetime] = []
        events: list[bytes] = []
        for frame in frames:
            told = json.loads(frame)
            if told["type"] == "subscribed":
                fold = PostFold(told["channel"].removeprefix("post:"))
            if fold is not None:
                fold.receive(SERVER_FRAME.validate_json(frame))
            if told["type"] == "event":
                event, raw = told["event"], frame[frame.index(b'"event":') + len(b'"event":') : -1]
                section = event["data"]["section"] if event["type"] == "chunk" else None
                entries.append(Entry(event["seq"], told["name"], raw, section))
                times.append(datetime.fromisoformat(event["time"]))
                events.append(frame)
        if fold is None or fold.snapshot.status != "published":
            raise ValueError("the article was not published")
        post = LivePost(fold.snapshot.post, Ring(10_000, 2**24), max_buffer=1)
        post.start(Loaded(fold.snapshot, 1, "2026-01-01T00:00:00.000000000Z", []))
        return cls(f"post:{fold.snapshot.post}", entries, times, events, post)

    def merged(self, every_s: float) -> list[Batch]:
        """What a reader gets that can be written to only once in a while."""
        ring = Ring(100_000, 2**28)
        cursor = self.entries[0].seq - 1
        ring.clear(cursor)
        due, found = self.times[0] + timedelta(seconds=every_s), list[Batch]()

        def write() -> int:
            at = cursor
            while (batch := ring.batch_after(at, ring.head)) is not None:
                found.append(batch)
                at = batch.seq
            return at

        for entry, when in zip(self.entries, self.times, strict=True):
            if when >= due:
                cursor, due = write(), when + timedelta(seconds=every_s)
            ring.append(entry)
        write()
        return found


# -- frames ------------------------------------------------------------------------------------------------------------


def timed(make: Callable[[bytes], bytes], payloads: Sequence[bytes]) -> tuple[float, float]:
    """Share of the plain bytes, and the median of µs for each payload."""
    rounds: list[float] = []
    size, end_s = 0, time.perf_counter() + MEASURE_S
    while not rounds or time.perf_counter() < end_s:
        begin_s = time.perf_counter()
        size = sum(len(make(payload)) for payload in payloads)
        rounds.append((time.perf_counter() - begin_s) / len(payloads) * 1e6)
    return size / sum(len(text_frame(payload)) for payload in payloads), statistics.median(rounds)


def with_settings(level: int, mem_level: int, window_bits: int, preset: bytes = b"") -> Callable[[bytes], bytes]:
    """A frame by other settings of zlib, whether it pays or not."""

    def make(payload: bytes) -> bytes:
        compressor = zlib.compressobj(level, zlib.DEFLATED, -window_bits, mem_level, zdict=preset)
        return text_frame((compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(SYNC_END))

    return make


def with_takeover() -> Callable[[bytes], bytes]:
    """What a connection of its own compressor gets: better, and once for each reader."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12, 5)
    return lambda payload: text_frame(
        (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(SYNC_END)
    )


def kinds(found: Article) -> dict[str, list[bytes]]:
    """Payloads of every sort that is sent often or is large."""
    prose = "".join((ROOT / name).read_text() for name in PROSE)
    channel = found.channel

    def chunk(size: int) -> list[bytes]:
        sample = next(json.loads(entry.raw) for entry in found.entries if entry.section is not None)
        pieces = [prose[at : at + size] for at in range(0, min(len(prose), 20 * size) - size + 1, size)]
        return [
            event_payload(channel, Batch(1, "chunk.produced", json.dumps({**sample, "data": {**sample["data"],
                          "end": sample["data"]["start"] + size, "text": piece}}, separators=(",", ":")).encode()))
            for piece in pieces
        ]  # fmt: skip

    def named(name: str) -> list[bytes]:
        return [frame for frame, entry in zip(found.events, found.entries, strict=True) if entry.name == name]

    return {
        "chunk, as written": named("chunk.produced")[:500],
        "section completed": named("section.completed"),
        "merged, 2 KB": chunk(1_700),
        "merged, 60 KB": chunk(MAX_MERGED_BYTES - 1_500),
        "catch-up text": list(text_payloads(channel, "s1", prose[:64_000])),
    }


def show_kinds(found: Article) -> None:
    """Share and µs of each setting and kind of frame."""
    payloads = kinds(found)
    print("| share of the plain bytes, µs a frame | " + " | ".join(payloads) + " |")
    print("|---|" + "---|" * len(payloads))
    sizes = [f"{statistics.mean(map(len, frames)):,.0f}" for frames in payloads.values()]
    print("| bytes, plain | " + " | ".join(sizes) + " |")
    preset = payloads["chunk, as written"][0]
    rows: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
        "plain": lambda: text_frame,
        "**in use**": lambda: deflated_frame,
        **{f"level {s[0]}, memLevel {s[1]}, window {s[2]}": (lambda s=s: with_settings(*s)) for s in SETTINGS},  # type: ignore[misc]
        "taken over (each reader its own)": with_takeover,
        "(a preset dictionary, which there is not)": lambda: with_settings(1, 8, 15, preset),
    }
    for name, make in rows.items():
        cells = [timed(make(), frames) for frames in payloads.values()]
        print(f"| {name} | " + " | ".join(f"{share:.2f}, {us:.1f}" for share, us in cells) + " |", flush=True)


def ways(found: Article, dialect: NativeWebSocket) -> Iterator[tuple[str, int, int]]:
    """Frames and bytes of the whole article, in each way of reading it."""
    live = [dialect.event(found.channel, Batch(entry.seq, entry.name, entry.raw)) for entry in found.entries]
    yield "followed live", len(live), sum(map(len, live))
    for every_s in (1.0, 10.0):
        frames = [dialect.event(found.channel, batch) for batch in found.merged(every_s)]
        yield f"merged, a write every {every_s:g} s", len(frames), sum(map(len, frames))
    frames = list(dialect.catch_up(found.channel, found.post.capture()))
    yield "caught up with at its end", len(frames), sum(map(len, frames))


def show_article(found: Article) -> None:
    """Bytes of the whole article, plain and compressed."""
    text = document(found.post.snapshot)
    print(f"\n| an article of {len(text.encode()):,} bytes | frames | plain, bytes | compressed | share | taken over |")
    print("|---|---|---|---|---|---|")
    own = NativeWebSocket(with_takeover()), NativeWebSocket(with_takeover())
    takeovers = list(ways(found, own[0]))[:3] + list(ways(found, own[1]))[3:]
    for (name, count, plain), (_, _, packed), (_, _, taken) in zip(
        ways(found, NATIVE), ways(found, DEFLATED), takeovers, strict=True
    ):
        print(f"| {name} | {count:,} | {plain:,} | {packed:,} | **{packed / plain:.2f}** | {taken / plain:.2f} |")


# -- many readers ------------------------------------------------------------------------------------------------------


class Tap(asyncio.Protocol):
    """A raw socket that follows a post and keeps every byte, for :meth:`check`."""

    def __init__(self, channel: str, jwt: str, port: int, *, deflate: bool) -> None:
        self._channel, self._jwt, self._port, self._deflate = channel, jwt, port, deflate
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self.received = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for everything at once."""
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's are not of that class
        lines = [
            "GET /ws HTTP/1.1", f"Host: 127.0.0.1:{self._port}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {new_key()}", "Sec-WebSocket-Version: 13", f"Authorization: Bearer {self._jwt}",
            *(["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"] if self._deflate else []),
        ]  # fmt: skip
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        transport.write(client_frame(TEXT, json.dumps({"type": "subscribe", "channel": self._channel}).encode()))

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self._data += data
        self.received += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The run is over, or it failed."""
        self.lost = True

    @property
    def live(self) -> bool:
        """Whether it has caught up; that frame is too small to be compressed."""
        return b'{"type":"live"' in self._data

    def told(self) -> list[dict[str, Any]]:
        """Every frame, by a parser that is nobody's library.

        Raises:
            ValueError: the handshake was not what was asked for.
        """
        head, _, frames = bytes(self._data).partition(b"\r\n\r\n")
        if (b"permessage-deflate" in head) is not self._deflate:
            raise ValueError("compression was not negotiated, or without being asked for")
        parser = FrameParser(from_server=True, deflate=self._deflate)
        return [json.loads(message.data) for message in parser.feed(frames) if message.opcode == TEXT]

    def check(self, text: str) -> int:
        """How many event frames came; what the reader has is the text that was written.

        Raises:
            ValueError: it is not.
        """
        fold, events = PostFold(self._channel.removeprefix("post:")), 0
        for frame in self.told():
            if frame["type"] != "welcome":
                fold.receive(SERVER_FRAME.validate_python(frame))
            events += frame["type"] == "event"
        if document(fold.snapshot) != text or self.lost:
            raise ValueError(f"a reader has {len(document(fold.snapshot))} characters of {len(text)}")
        return events

    def close(self) -> None:
        """Go."""
        if self._transport is not None:
            self._transport.abort()


@dataclass
class Load:
    """One way, one shape."""

    cpu_s: float = 0.0
    kib: float = 0.0
    deliveries: int = 0
    bytes_out: int = 0
    rounds: list[float] = field(default_factory=list)


async def _quiet(taps: Sequence[Tap]) -> None:
    before = -1
    for _ in range(SETTLE_CHECKS):
        await asyncio.sleep(0.2)
        if (now := sum(tap.received for tap in taps)) == before:
            return
        before = now
    raise TimeoutError("readers still receive")


async def _load(broker: Broker, gateway: ServiceProcess, port: int, shape: tuple[int, int], deflate: bool) -> Load:
    posts, readers = shape
    jwt = _token(JWT_KEYS, OWNER)
    prose = (ROOT / PROSE[0]).read_text()
    loop = asyncio.get_running_loop()
    async with open_log(broker.url) as log:
        writers = [await ScriptedWriter.begin(log, make_job(OWNER)) for _ in range(posts)]
        for writer in writers:
            await writer.open("s1")
        idle_kib = resident_kib(gateway.pid)
        taps: list[Tap] = []
        for writer in writers:
            for _ in range(readers):
                tap = Tap(f"post:{writer.job.post}", jwt, port, deflate=deflate)
                await loop.create_connection(lambda tap=tap: tap, "127.0.0.1", port)  # type: ignore[misc]
                taps.append(tap)
        await eventually(lambda: all(tap.live for tap in taps), what="all readers are live", timeout_s=LIVE_TIMEOUT_S)
        await _quiet(taps)
        found = Load(kib=(resident_kib(gateway.pid) - idle_kib) / len(taps))
        before, begin = sum(tap.received for tap in taps), cpu_of(gateway.pid).total_s
        start_s = time.monotonic()
        rate = min(MAX_EVENTS_PER_S, DELIVERIES_PER_S // readers)
        for number in range(int(rate * LOAD_S)):
            at = (number * 24) % (len(prose) - 24)
            await writers[number % posts].chunk(prose[at : at + 24])
            await asyncio.sleep(max(0.0, start_s + number / rate - time.monotonic()))
        await _quiet(taps)
        found.cpu_s = cpu_of(gateway.pid).total_s - begin
        found.bytes_out = sum(tap.received for tap in taps) - before
        texts = [document(writer.snapshot) for writer in writers]
        found.deliveries = sum(tap.check(texts[index // readers]) for index, tap in enumerate(taps))
        for tap in taps:
            tap.close()
        await asyncio.to_thread(settle, gateway.pid)
    return found


async def _provision(broker: Broker) -> None:
    async with open_log(broker.url):
        pass


def show_readers(shapes: Sequence[tuple[int, int]], rounds: int) -> None:
    """Processor time of a gateway with readers who negotiated compression, beside one with others."""
    print("\n| posts x readers | way | µs of the gateway for a delivery (each round) | bytes each | KiB a connection |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        broker = Broker(Path(folder) / "nats", "always").start()
        stack.callback(broker.stop)
        pin(broker.process.pid, CLIENT_CORE)
        asyncio.run(_provision(broker))
        for shape in shapes:
            found: dict[bool, list[Load]] = {False: [], True: []}
            for _ in range(rounds):
                for deflate, loads in found.items():
                    with _gateway(Path(folder), broker) as (gateway, port):
                        loads.append(asyncio.run(_load(broker, gateway, port, shape, deflate)))
            for deflate, loads in found.items():
                each = [load.cpu_s / load.deliveries * 1e6 for load in loads]
                size = statistics.mean(load.bytes_out / load.deliveries for load in loads)
                print(f"| {shape[0]} x {shape[1]:,} | {'compressed' if deflate else 'plain'} "
                      f"| **{statistics.median(each):.2f}** ({', '.join(f'{us:.2f}' for us in each)}) | {size:.0f} "
                      f"| {statistics.median(load.kib for load in loads):.1f} |", flush=True)  # fmt: skip


@contextlib.contextmanager
def _gateway(folder: Path, broker: Broker) -> Iterator[tuple[ServiceProcess, int]]:
    port = free_port()
    environment = {
        "INKWIRE_NATS_URL": broker.url,
        "INKWIRE_STORE_URL": f"sqlite:///{folder / 'posts.sqlite3'}",
        "INKWIRE_JWT_KEYS": JWT_KEYS,
        "INKWIRE_LOG_LEVEL": "warning",
        "INKWIRE_GATEWAY_PORT": str(port),
        "INKWIRE_GATEWAY_MAX_OWNER_CONNECTIONS": "10000",
        "INKWIRE_GATEWAY_COMPRESSION": "true",
    }
    gateway = ServiceProcess("gateway", env=environment, ready_url=f"http://127.0.0.1:{port}/readyz", cwd=ROOT)
    gateway.start()
    try:
        gateway.wait_ready()
        pin(gateway.pid, SERVER_CORE)
        yield gateway, port
    finally:
        gateway.kill9()


def _shape(text: str) -> tuple[int, int]:
    posts, _, readers = text.partition("x")
    return int(posts), int(readers)


def main() -> int:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens-per-s", type=float, default=50.0, help="of the simulator's article (default 50)")
    parser.add_argument("--readers", default="1x1000,200x5", help="posts x readers, comma separated; empty: none")
    parser.add_argument("--rounds", type=int, default=2, help="of each way and shape of readers (default 2)")
    parser.add_argument("--frames", type=Path, help="keep the article's frames in this file, and read them from it")
    given = parser.parse_args()
    logs.configure("benchmark", form="human", level="error")
    kept = given.frames is not None and given.frames.exists()
    frames = [f.encode() for f in json.loads(given.frames.read_text())] if kept else article(given.tokens_per_s)
    if given.frames is not None and not kept:
        given.frames.write_text(json.dumps([frame.decode() for frame in frames]))
    found = Article.of(frames)
    show_kinds(found)
    show_article(found)
    uvloop.install()
    if shapes := [_shape(text) for text in given.readers.split(",") if text]:
        show_readers(shapes, given.rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
