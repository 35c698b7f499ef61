"""Compressed frames are those of RFC 7692, as the library's decoder and one written here read them; never larger."""

import json
import random
import string
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from inkwire_gateway.coalesce import merge_chunks
from inkwire_gateway.deflate import MIN_BYTES, WORTH_SHARE, deflated_frame
from inkwire_gateway.dialects.native import DEFLATED, NATIVE, NativeWebSocket
from inkwire_gateway.framing import text_frame
from inkwire_gateway.live_post import LivePost
from inkwire_gateway.ring import Batch, Ring
from tests.unit.gateway.builders import POST, Script

NAME = f"post:{POST}"


def noise(length: int) -> bytes:
    """Text in which nothing repeats: six bits of every eight are chance, so a coder saves a quarter."""
    return "".join(random.Random(length).choices(string.ascii_letters + string.digits + "+/", k=length)).encode()


def parse(data: bytes) -> Frame:
    """One frame by the library's parser, as a client that negotiated the extension has it after its decoder."""
    reader = StreamReader()
    reader.feed_data(data)
    extension = PerMessageDeflate(True, True, 15, 15)
    parsing = Frame.parse(reader.read_exact, mask=False, extensions=[extension])
    try:
        while True:
            next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
    assert reader.buffer == b""
    return frame


def by_hand(data: bytes) -> tuple[bool, bytes]:
    """Whether a frame is compressed, and its text; lengths and the extension as the RFCs have them."""
    assert data[0] in (0x81, 0xC1)
    length, start = data[1], 2
    if length == 126:
        length, start = int.from_bytes(data[2:4], "big"), 4
    elif length == 127:
        length, start = int.from_bytes(data[2:10], "big"), 10
    body = data[start:]
    assert len(body) == length
    if data[0] == 0x81:
        return False, body
    decoder = zlib.decompressobj(-15)
    text = decoder.decompress(body + b"\x00\x00\xff\xff")
    assert not decoder.unused_data and not decoder.eof, "no final block: a decoder that lives on must be able to"
    return True, text


@pytest.mark.parametrize("length", [0, 1, MIN_BYTES - 1, MIN_BYTES, 2_000, 60_000, 65_536, 1_000_000])
@pytest.mark.parametrize("unit", ["ab", "Grüße, 漢字 und \U0001f600. ", '{"type":"event","seq":1}'])
def test_every_length_comes_back(length: int, unit: str) -> None:
    """Short, 16-bit and 64-bit lengths, below and above the least size: both decoders read the payload again."""
    payload = (unit * (length // len(unit.encode()) + 1)).encode()[:length]
    frame = deflated_frame(payload)
    assert by_hand(frame) == (length >= MIN_BYTES, payload)
    read = parse(frame)
    assert (read.opcode, read.fin, read.rsv1, bytes(read.data)) == (Opcode.TEXT, True, False, payload)


@given(st.text(max_size=2_000), st.integers(0, 60))
def test_any_text_comes_back(text: str, times: int) -> None:
    """Whatever is written, once or often, both decoders read it again, and no frame is larger than the plain one."""
    payload = (text * times).encode()
    frame = deflated_frame(payload)
    assert by_hand(frame)[1] == payload == bytes(parse(frame).data)
    assert len(frame) <= len(text_frame(payload))


@given(st.lists(st.text(min_size=1, max_size=400), max_size=12))
def test_no_frame_leans_on_another(texts: list[str]) -> None:
    """Readers who joined at any frame read on from there, and one decoder that lives on reads all of them."""
    frames = [deflated_frame(text.encode() * 3) for text in texts]
    living = zlib.decompressobj(-15)
    for text, frame in zip(texts, frames, strict=True):
        compressed, alone = by_hand(frame)
        assert alone == text.encode() * 3
        if compressed:
            head = {126: 4, 127: 10}.get(frame[1], 2)
            assert living.decompress(frame[head:] + b"\x00\x00\xff\xff") == alone


def test_what_does_not_shrink_goes_plain() -> None:
    """A payload is compressed only where enough is saved; the plain frame is that of everybody else."""
    digits = json.dumps({"data": noise(1_000).decode()}).encode()
    assert by_hand(deflated_frame(digits))[0], "a quarter of it can be saved"
    random_bytes = random.Random(1).randbytes(4_000)
    assert deflated_frame(random_bytes) == text_frame(random_bytes)
    for unlike in range(0, 4_001, 50):
        payload = random_bytes[:unlike] + b"a" * (4_000 - unlike)
        compressed, _ = by_hand(frame := deflated_frame(payload))
        assert compressed == (frame != text_frame(payload))
        assert not compressed or len(frame) <= 4_000 * WORTH_SHARE + 4


def test_same_bytes_for_the_same_event() -> None:
    """A frame depends on its payload alone, not on what was compressed before."""
    payload = b"once upon a time " * 40
    first = deflated_frame(payload)
    deflated_frame(noise(50_000))
    assert deflated_frame(payload) == first


def frames_of(script: Script, dialects: Sequence[NativeWebSocket]) -> list[list[bytes]]:
    """A catch-up, live and merged events, in each dialect."""
    post = LivePost(POST, Ring(1_000, 1_000_000), max_buffer=10)
    post.start(script.loaded())
    chunks = [stored.raw for stored in script.events[3:]]
    merged, count = merge_chunks(tuple(chunks), 4)
    assert count == len(chunks)
    batches = [Batch(n, "chunk.produced", raw) for n, raw in enumerate([*chunks, merged])]
    return [
        [
            dialect.subscribed(NAME, 3, recovered=False),
            *dialect.catch_up(NAME, post.capture()),
            *(dialect.event(NAME, batch) for batch in batches),
            dialect.live(NAME, "e", 1),
        ]
        for dialect in dialects
    ]


def test_dialects_differ_in_framing_alone() -> None:
    """Compressed readers are told, frame by frame, what plain ones are, in fewer bytes."""
    script = Script().begin()
    for n in range(300):
        script.chunk(f"The {n}th sentence of a text about ink, paper and wire. ")
    plain, packed = frames_of(script, (NATIVE, DEFLATED))
    assert [by_hand(frame)[1] for frame in packed] == [by_hand(frame)[1] for frame in plain]
    assert not any(by_hand(frame)[0] for frame in plain)
    compressed = [by_hand(frame)[0] for frame in packed]
    assert all(compressed[2:-1]) and not compressed[0] and not compressed[-1]
    assert sum(map(len, packed)) < 0.7 * sum(map(len, plain))
