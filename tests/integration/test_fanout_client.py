"""The load client of benchmarks.fanout against servers that keep a stream, double, lose or mix events."""

import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.fanout_rig import compile_c, template
from inkwire_gateway.framing import text_frame
from tests.support.wait import scaled_s

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="the load client needs Linux and a C compiler"
)
HELLO = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text_frame(b'{"type":"live","seq":0}')
EVENTS = 3

Distort = Callable[[list[bytes]], list[bytes]]
Greet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Who connects follows."""
    writer.write(HELLO)


async def as_centrifugo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Who connects has to say who it is, what it wants, and that it is there."""
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert await said_by(reader) == b"hello"
    writer.write(text_frame(b'{"id":1,"connect":{"client":"c"}}'))
    assert json.loads(await said_by(reader)) == {"id": 2, "subscribe": {"channel": "first.chunk"}}
    writer.write(text_frame(b"{}"))
    assert await said_by(reader) == b"{}"
    writer.write(text_frame(b'{"id":2,"subscribe":{}}'))


async def said_by(reader: asyncio.StreamReader) -> bytes:
    """The payload of a client's short frame, masked with zeros."""
    head = await reader.readexactly(6)
    return await reader.readexactly(head[1] & 127)


def pushed(payloads: list[bytes]) -> bytes:
    """Events as Centrifugo sends those that waited: one frame."""
    events = [p[p.index(b'"event":') + 8 : -1] for p in payloads]
    return b"\n".join(b'{"push":{"channel":"first.chunk","pub":{"data":' + event + b"}}}" for event in events)


async def outcome(folder: Path, distort: Distort, greet: Greet = at_once, *options: str) -> tuple[str, str]:
    """What the client answers to EVENTS events that a server changes on their way, and what it complains of."""
    topics, envelope = folder / "topics", folder / "envelope"
    topics.write_text("first\n")
    envelope.write_bytes(template().envelope)
    readers: list[asyncio.StreamWriter] = []
    open_writers: list[asyncio.StreamWriter] = []

    async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        await greet(reader, writer)
        readers.append(writer)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        lines = [(await reader.readline()).rstrip(b"\n").partition(b" ")[2] for _ in range(EVENTS)]
        for payload in distort(lines):
            readers[0].write(text_frame(payload))

    server = await asyncio.start_server(follow, "127.0.0.1", 0)
    ingest = await asyncio.start_server(take, "127.0.0.1", 0)
    ports = [str(each.sockets[0].getsockname()[1]) for each in (server, ingest)]
    argv = [str(compile_c("fanout_client.c", folder)), "--port", ports[0], "--ingest-port", ports[1]]
    argv += ["--topics", str(topics), "--template", str(envelope), "--chunk-chars", str(template().chunk_chars)]
    argv += options
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(scaled_s(20)):
            said, complaint = await client.communicate(f"connect 1\nsubscribe\nsend {EVENTS} 1000 0.3 1\n".encode())
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
        for each in (server, ingest):
            each.close()
        for writer in open_writers:
            writer.close()
    return said.decode(), complaint.decode()


async def test_an_exact_stream_is_counted(tmp_path: Path) -> None:
    """Every event in order, each once: as many deliveries and frames as events, and nothing to complain of."""
    said, complaint = await outcome(tmp_path, lambda payloads: payloads)
    result = json.loads(said.splitlines()[-1])
    assert complaint == ""
    assert (result["expected"], result["deliveries"], result["frames"], result["skipped"]) == (
        EVENTS,
        EVENTS,
        EVENTS,
        0,
    )


@pytest.mark.parametrize(
    ("kept", "deliveries", "complaint"), [([0, 1, 2], EVENTS, ""), ([0, 2], None, "sequence: 3..3 after 1")]
)
async def test_centrifugos_streams_are_held_to_the_same(
    tmp_path: Path, kept: list[int], deliveries: int | None, complaint: str
) -> None:
    """Several messages in one frame are several events, and one that is lost among them ends the run."""
    options = ("--centrifugo", "hello")
    said, complained = await outcome(tmp_path, lambda p: [pushed([p[i] for i in kept])], as_centrifugo, *options)
    assert complaint in complained
    if deliveries is not None:
        result = json.loads(said.splitlines()[-1])
        assert (complained, result["deliveries"], result["frames"]) == ("", deliveries, 1)


async def test_a_stream_that_ends_early_is_told(tmp_path: Path) -> None:
    """The last event never comes: fewer deliveries than expected."""
    said, _ = await outcome(tmp_path, lambda payloads: payloads[:-1])
    result = json.loads(said.splitlines()[-1])
    assert (result["expected"], result["deliveries"]) == (EVENTS, EVENTS - 1)


@pytest.mark.parametrize(
    ("distort", "complaint"),
    [
        (lambda payloads: payloads[:1] + payloads, "sequence: 1..1 after 1"),
        (lambda payloads: payloads[1:], "sequence: 2..2 after 0"),
        (lambda payloads: payloads[::-1], "sequence: 3..3 after 0"),
        (lambda payloads: [p.replace(b"post:first", b"post:other") for p in payloads], "an event of another topic"),
        (
            lambda payloads: [p.replace(b'"seq":1', b'"seq":2,"first_seq":1') for p in payloads],
            "not one stamp an event",
        ),
    ],
    ids=["doubled", "lost", "reversed", "of another post", "merged without the text"],
)
async def test_a_stream_that_is_not_exact_ends_the_run(tmp_path: Path, distort: Distort, complaint: str) -> None:
    """An event doubled, lost, out of order, of another post or without its text: the client gives up and says which."""
    _, said = await outcome(tmp_path, distort)
    assert complaint in said
