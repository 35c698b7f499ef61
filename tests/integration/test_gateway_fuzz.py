"""Broken clients without number: each gets the right close code or is dropped, and nobody else notices."""

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inkwire_contracts.client_frames import MAX_CLIENT_FRAME_BYTES
from inkwire_contracts.close_codes import CLOSE_CODES
from inkwire_contracts.fold import document
from tests.integration.gateway_support import Author, World, reader, token, world
from tests.support.loops import on_loops
from tests.support.quiet import faults_logged
from tests.support.raw_websocket import RawWebSocket, connected_socket, opened, raw_websocket
from tests.support.rfc6455 import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_DATA,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    FrameParser,
    Violation,
    client_frame,
    close,
    handshake,
    new_key,
    text,
)
from tests.support.wait import eventually, scaled_s

pytestmark = pytest.mark.nats

DROPPED = -1
"""The stream ended without a Close frame."""
NO_CODE = 1005
"""The Close frame had no code."""

TOLERANT: dict[str, Any] = {
    "frames_per_s": 100_000.0,
    "frame_burst": 100_000,
    "max_invalid_frames": 10_000,
    "max_owner_connections": 10_000,
    "linger_s": 60.0,
}
AT_ONCE = 32


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """A broken client is no fault of the server's: its log has neither errors nor stack traces."""
    yield
    assert faults_logged(caplog, capsys) == []


@dataclass(frozen=True)
class Verdict:
    """What RFC 6455 lets a server answer to some bytes. ``codes``: empty if it has no reason to close."""

    codes: frozenset[int]
    waits: bool
    """The server may wait for the rest of a frame."""
    in_message: bool


def judge(data: bytes) -> Verdict:
    """By a reader that has nothing in common with the server's."""
    parser = FrameParser(from_server=False, max_message_bytes=MAX_CLIENT_FRAME_BYTES, utf8=False)
    codes: set[int] = set()
    waits = False
    try:
        parser.feed(data)
    except Violation as broken:
        if parser.closed is None:  # behind a Close frame nothing is looked at
            codes, waits = set(broken.codes), not broken.whole
    if parser.invalid_texts:
        codes.add(INVALID_DATA)
    if parser.closed is not None:
        codes.add(parser.closed.close_code or NO_CODE)
        if parser.in_message:
            codes.add(PROTOCOL_ERROR)
    waits = waits or (not codes and not parser.at_boundary)
    return Verdict(frozenset(codes), waits, parser.in_message)


async def outcome(raw: RawWebSocket) -> int:
    """Read to the end: how the server closed."""
    await raw.end()
    return DROPPED if raw.parser.closed is None else raw.close_code or NO_CODE


async def hold(port: int, jwt: str, data: bytes) -> int:
    """Send bytes on a connection of their own and hold the server to the verdict; the code it closed with."""
    verdict = judge(data)
    sock = await connected_socket(port)
    try:
        raw = await opened(sock, port, jwt)
        await raw.send_bytes(data)
        if verdict.waits:
            raw.finish()
            got = await outcome(raw)
            assert got in verdict.codes | {DROPPED}, f"{got}, not {verdict}: {data[:200]!r}"
        elif verdict.codes:
            got = await outcome(raw)
            assert got in verdict.codes, f"{got}, not {verdict}: {data[:200]!r}"
        else:
            await raw.ping(b"still there?")
            await raw.until(lambda: b"still there?" in raw.pongs)
            assert not raw.ended, f"closed with {raw.close_code} for nothing: {data[:200]!r}"
            await raw.send_bytes(close(1000))
            got = await outcome(raw)
            assert got == 1000 or (verdict.in_message and got == PROTOCOL_ERROR), f"{got}: {data[:200]!r}"
        return got
    finally:
        sock.close()


async def hold_all(port: int, cases: Iterable[bytes]) -> Counter[int]:
    """Many of them, some at once; how often which code came."""
    left, codes, jwt = iter(cases), Counter[int](), token()

    async def work() -> None:
        for data in left:
            codes[await hold(port, jwt, data)] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    return codes


@asynccontextmanager
async def undisturbed(w: World) -> AsyncIterator[Author]:
    """Somebody reads a post that is written throughout; at the end all is exact and nothing is left behind."""
    author, busy = Author(w.log), True
    await author.begin("s")
    await author.open_section("s")

    async def write() -> None:
        while busy:
            await author.chunk("on and on \U0001f600 ")

    async with reader(w.port, token()) as r:
        await r.follow(author.channel)
        tasks, sockets = len(asyncio.all_tasks()), open_sockets()
        reading = asyncio.create_task(r.read_to_end(author.channel))
        writing = asyncio.create_task(write())
        try:
            yield author
        except BaseException:
            reading.cancel()
            raise
        finally:
            busy = False
            await writing
        await eventually(lambda: w.gateway.server.count.total == 1, what="only the reader is connected")
        await author.complete()
        await author.publish()
        assert document(await reading) == author.text and r.exact
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks, what="no task is left behind")
        await eventually(lambda: open_sockets() <= sockets, what="no socket is left behind")


def open_sockets() -> int:
    """Sockets of this process, where the system tells."""
    folder = "/proc/self/fd"
    found = 0
    for entry in os.listdir(folder) if os.path.isdir(folder) else []:
        with contextlib.suppress(OSError):
            found += os.readlink(f"{folder}/{entry}").startswith("socket:")
    return found


def native(**frame: Any) -> bytes:
    """A frame of our protocol."""
    return text(json.dumps(frame))


def table() -> Iterator[tuple[str, bytes, int]]:
    """What is wrong, the bytes, and the code that answers it."""
    for opcode in (*range(3, 8), *range(11, 16)):
        yield f"opcode {opcode}", client_frame(opcode, b"a"), 1002
    for rsv in range(1, 8):
        yield f"reserved bits {rsv}", client_frame(TEXT, b"{}", rsv=rsv), 1002
        yield f"reserved bits {rsv} of a ping", client_frame(PING, rsv=rsv), 1002
    for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
        yield f"not masked {opcode}", client_frame(opcode, b"", masked=False), 1002
    for opcode in (PING, PONG, CLOSE):
        yield f"{opcode} of 126 bytes", client_frame(opcode, b"\x03\xe8" + b"a" * 124), 1002
        yield f"{opcode} in fragments", client_frame(opcode, b"", fin=False), 1002
    yield "a continuation of nothing", client_frame(CONTINUATION, b"a"), 1002
    yield "a message within another", client_frame(TEXT, b"{", fin=False) + text("}"), 1002
    yield "binary within text", client_frame(TEXT, b"{", fin=False) + client_frame(BINARY, b"}"), 1002
    for size in (MAX_CLIENT_FRAME_BYTES + 1, 65_536, 1 << 31, 1 << 32, (1 << 63) - 1):
        yield f"a frame of {size} bytes", client_frame(TEXT, length=size), 1009
    half = b"a" * (MAX_CLIENT_FRAME_BYTES // 2 + 1)
    yield "fragments that add up", client_frame(TEXT, half, fin=False) + client_frame(CONTINUATION, half), 1009
    for why, data in (("a byte", b"\xff"), ("cut", b"\xc3"), ("overlong", b"\xc0\xaf"), ("surrogate", b"\xed\xa0\x80")):
        yield f"not UTF-8: {why}", client_frame(TEXT, b'{"type":"' + data + b'"}'), 1007
        pieces = client_frame(TEXT, b"a", fin=False) + client_frame(PING) + client_frame(CONTINUATION, data)
        yield f"not UTF-8 in fragments: {why}", pieces, 1007
    yield "a Close frame of one byte", client_frame(CLOSE, b"\x03"), 1002
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535):
        yield f"close code {code}", close(code), 1002
    yield "a reason that is not UTF-8", close(1000, b"\xff"), 1007
    for code in (1000, 1001, 1003, 1007, 1011, 3000, 4999):
        yield f"a lawful Close {code}", close(code, "ade\u0301".encode()), code
        yield f"frames after Close {code}", close(code) + text("{") + client_frame(3) + close(1002), code
    yield "a Close without a code", close(None), NO_CODE


@on_loops("asyncio", "asyncio-debug", "uvloop", "uvloop-debug")
async def test_each_breach_has_its_code(nats_url: str, tmp_path: Path) -> None:
    """Every rule of RFC 6455 that a client can break is answered by the code for it, also while events flow."""
    async with world(nats_url, tmp_path, **TOLERANT) as w, undisturbed(w) as author:
        follow = native(type="subscribe", channel=author.channel)
        ways = [(why, before + data, code) for why, data, code in table() for before in (b"", follow)]

        async def row(why: str, data: bytes, code: int) -> None:
            assert code in judge(data).codes, why
            sock = await connected_socket(w.port)
            raw = await opened(sock, w.port, token())
            await raw.send_bytes(data)
            got = await outcome(raw)
            sock.close()
            # Of 2^63 and more both may be said: it is too long, and no length.
            assert got == code, f"{why}: {got}"

        for start in range(0, len(ways), AT_ONCE):
            await asyncio.gather(*(row(*way) for way in ways[start : start + AT_ONCE]))


def streams(rng: random.Random, channel: str) -> list[bytes]:
    """Frames of a good client, some of them."""

    def frame(opcode: int, payload: bytes = b"", **lies: Any) -> bytes:
        return client_frame(opcode, payload, mask=rng.randbytes(4), **lies)

    def ours(**fields: Any) -> bytes:
        return frame(TEXT, json.dumps(fields).encode())

    every = [
        ours(type="subscribe", channel=channel),
        ours(type="unsubscribe", channel=channel),
        ours(type="ping", id=rng.randrange(1000), pad="é" * rng.choice((0, 3, 60, 200))),
        frame(PING, rng.randbytes(rng.choice((0, 1, 125)))),
        frame(PONG, rng.randbytes(rng.choice((0, 1, 125)))),
        frame(BINARY, rng.randbytes(rng.choice((0, 5, 300)))),
        frame(TEXT, b"{" + "\U0001f600".encode() * 5),
        frame(TEXT, b"[1", fin=False) + frame(PING, b"between") + frame(CONTINUATION, b"]"),
        frame(TEXT, b"a" * MAX_CLIENT_FRAME_BYTES),
        frame(CLOSE, (4000).to_bytes(2, "big") + b"bye"),
    ]
    return rng.choices(every[:9] if rng.random() < 0.8 else every, k=rng.randint(1, 6))


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The same bytes with a few changes."""
    for _ in range(rng.randint(1, 3)):
        at, span = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 8, 40))
        how = rng.randrange(6)
        if how == 0 and at < len(data):
            data = data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
        elif how == 1:
            data = data[:at] + rng.randbytes(span) + data[at:]
        elif how == 2:
            data = data[:at] + data[at + span :]
        elif how == 3:
            data = data[:at] + data[at : at + span] + data[at:]
        elif how == 4:
            data = data[:at] + rng.choice((b"\x00", b"\xff", b"\x7f", b"\xfe", b"\x80")) * span + data[at + span :]
        else:
            data = data[: max(1, at)]
        data = data or b"\x81"
    return data


def fuzz(rng: random.Random, count: int, channel: str) -> Iterator[bytes]:
    """Good streams, changed ones, heads that lie, and noise."""
    for n in range(count):
        frames = streams(rng, channel)
        if n % 8 == 0:
            yield b"".join(frames)
        elif n % 8 == 1:
            yield rng.randbytes(rng.choice((1, 2, 7, 60, 700)))
        elif n % 8 == 2:
            said = rng.choice((0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 1 << 40, (1 << 64) - 1, 1 << 63))
            width = 64 if said > 65_535 else rng.choice((64, 16) if said > 125 else (64, 16, 7))
            lie = client_frame(rng.randrange(16), rng.randbytes(20), length=said, width=width, fin=rng.random() < 0.7)
            yield b"".join(frames[:2]) + lie + b"".join(frames[2:])
        elif n % 8 == 3:
            at = rng.randrange(len(frames))
            yield b"".join(frames[:at]) + mutated(rng, frames[at])
        else:
            yield mutated(rng, b"".join(frames))


@pytest.mark.parametrize("seed", [6455])
@on_loops("asyncio", "uvloop")
async def test_any_broken_client(nats_url: str, tmp_path: Path, seed: int) -> None:
    """Whatever bytes a client sends, another implementation of RFC 6455 agrees with what the server answers."""
    async with world(nats_url, tmp_path, **TOLERANT) as w, undisturbed(w) as author:
        codes = await hold_all(w.port, fuzz(random.Random(seed), 1_000, author.channel))
        assert min(codes[code] for code in (DROPPED, 1000, 1002, 1007, 1009)) >= 5, codes


async def stranger(port: int, data: bytes) -> bytes:
    """Send bytes that are no handshake, wait for an answer in HTTP, and send no more; all that is answered."""
    sock, loop, answer = await connected_socket(port), asyncio.get_running_loop(), b""
    raw = RawWebSocket(sock)
    await raw.send_bytes(data)
    try:
        async with asyncio.timeout(scaled_s(10)):
            while piece := await loop.sock_recv(sock, 65_536):
                answer += piece
                if b"\r\n\r\n" in answer:
                    raw.finish()
    except ConnectionResetError:
        pass
    finally:
        sock.close()
    return answer


@on_loops("asyncio", "uvloop")
async def test_broken_handshakes(nats_url: str, tmp_path: Path) -> None:
    """What is no handshake, or half of one, or one with frames behind it already, is answered in HTTP or dropped."""
    rng, jwt = random.Random(7), token()
    async with world(nats_url, tmp_path, **TOLERANT, handshake_timeout_s=3) as w, undisturbed(w):
        good = handshake(f"127.0.0.1:{w.port}", "/ws", new_key(), (("Authorization", f"Bearer {jwt}"),))
        cases = [good[: rng.randrange(len(good))] for _ in range(20)] + [mutated(rng, good) for _ in range(250)]
        cases += [rng.randbytes(rng.choice((1, 50, 500))) for _ in range(20)]
        cases += [good + b"".join(streams(rng, "post:" + "z" * 26)) for _ in range(20)]
        cases += [b"GET /ws HTTP/1.1\r\n" + b"X: y\r\n" * 500, b"GET /" + b"a" * 20_000, b"\r\n" * 500, b"\x16\x03\x01"]
        seen: Counter[bytes] = Counter()
        for answer in await asyncio.gather(*(stranger(w.port, case) for case in cases)):
            seen[answer[:12]] += 1
            # The library answers pings that came too early at once; a good client waits for the handshake's end.
            assert answer[:9] in (b"HTTP/1.1 ", b"") or answer[:1] in (b"\x8a", b"\x88"), answer[:200]
            assert b"Traceback" not in answer and b"500 Internal" not in answer
        assert seen[b"HTTP/1.1 101"] >= 20 and seen[b"HTTP/1.1 400"] >= 10, seen


@on_loops("asyncio", "uvloop")
async def test_half_a_frame_and_then_silence(nats_url: str, tmp_path: Path) -> None:
    """Who stops within a frame cannot answer a ping and is closed; between two fragments one can, and stays."""
    limits = {**TOLERANT, "ping_interval_s": 0.5, "pong_timeout_s": 3.0, "handshake_timeout_s": 3.0}
    whole = native(type="ping", id=1)
    async with world(nats_url, tmp_path, **limits) as w, raw_websocket(w.port, token()) as patient:
        await patient.send_bytes(client_frame(TEXT, b'{"type":', fin=False))
        ends = asyncio.gather(*(_stops_after(w.port, whole[:n]) for n in (1, 2, 5, 6, len(whole) - 1)))
        shaking = asyncio.gather(
            *(_stops_shaking(w.port, data) for data in (b"", b"GET", b"GET /ws HTTP/1.1\r\nHost: a\r\n"))
        )
        silent = asyncio.ensure_future(asyncio.wait([ends, shaking]))
        while not silent.done():
            await patient.until(lambda seen=patient.pings_seen: patient.pings_seen > seen)
            assert not patient.ended, patient.close_code
        assert set(await ends) == {CLOSE_CODES["no_pong"].code}
        await shaking
        await patient.send_bytes(client_frame(CONTINUATION, b'"ping","id":7}'))
        while json.loads(await patient.recv()) != {"type": "pong", "id": 7}:
            pass
        assert await patient.leave() == 1000


async def _stops_after(port: int, part: bytes) -> int | None:
    async with raw_websocket(port, token()) as raw:
        raw.answer_pings = False
        await raw.send_bytes(part)
        await raw.until(lambda: raw.parser.closed is not None)
        return raw.close_code


async def _stops_shaking(port: int, part: bytes) -> None:
    sock = await connected_socket(port)
    with sock:
        await RawWebSocket(sock).send_bytes(part)
        async with asyncio.timeout(scaled_s(10)):
            try:
                while await asyncio.get_running_loop().sock_recv(sock, 4096):
                    pass
            except ConnectionResetError:
                pass


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system does not tell a process's memory")
@on_loops("asyncio", "uvloop")
async def test_pings_without_end_of_one_who_reads_nothing(nats_url: str, tmp_path: Path) -> None:
    """Pongs that nobody takes do not fill the server's memory, whatever it does instead of sending them."""
    flood = client_frame(PING, b"p" * 125, mask=b"\0\0\0\0") * 500
    async with (
        world(nats_url, tmp_path) as w,
        undisturbed(w),
        raw_websocket(w.port, token(), receive_bytes=4096) as raw,
    ):
        before, loop = resident_bytes(), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(scaled_s(1)):
                for _ in range(600):
                    await loop.sock_sendall(raw.sock, flood)
        except (TimeoutError, ConnectionError):
            pass
        assert resident_bytes() - before < 12 * 1024**2
        raw.cut()
