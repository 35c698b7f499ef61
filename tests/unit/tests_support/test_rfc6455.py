"""The reader that our frames are held to refuses everything that RFC 6455 forbids; else its silence means nothing."""

import random
import zlib

import pytest
from websockets.frames import Frame, Opcode

from tests.support.rfc6455 import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_DATA,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    FrameParser,
    Message,
    Violation,
    check_handshake,
    client_frame,
    close,
    new_key,
    text,
)


def served(opcode: int, payload: bytes = b"", **lies: int | bool) -> bytes:
    """A server's frame."""
    return client_frame(opcode, payload, masked=False, **lies)  # type: ignore[arg-type]


BROKEN: list[tuple[str, bytes, set[int]]] = [
    ("masked by the server", text("a"), {PROTOCOL_ERROR}),
    *[(f"reserved bits {rsv}", served(TEXT, b"a", rsv=rsv), {PROTOCOL_ERROR}) for rsv in range(1, 8)],
    *[(f"opcode {code}", served(code), {PROTOCOL_ERROR}) for code in (*range(3, 8), *range(11, 16))],
    ("said longer by 16 bits", served(TEXT, b"a" * 125, width=16), {PROTOCOL_ERROR}),
    ("said longer by 64 bits", served(TEXT, b"a" * 65_535, width=64), {PROTOCOL_ERROR}),
    ("a length of 64 bits", served(TEXT, length=1 << 63), {PROTOCOL_ERROR}),
    ("a ping of 126 bytes", served(PING, b"a" * 126), {PROTOCOL_ERROR}),
    ("a pong in fragments", served(PONG, fin=False), {PROTOCOL_ERROR}),
    ("a continuation of nothing", served(CONTINUATION, b"a"), {PROTOCOL_ERROR}),
    ("a continuation after the end", served(TEXT, b"a") + served(CONTINUATION), {PROTOCOL_ERROR}),
    ("a message within another", served(TEXT, fin=False) + served(BINARY), {PROTOCOL_ERROR}),
    ("not UTF-8", served(TEXT, b"\xff"), {INVALID_DATA}),
    ("half a character", served(TEXT, "é".encode()[:1]), {INVALID_DATA}),
    ("a surrogate", served(TEXT, b"\xed\xa0\x80"), {INVALID_DATA}),
    ("not UTF-8 in two", served(TEXT, b"\xc3", fin=False) + served(CONTINUATION, b"("), {INVALID_DATA}),
    ("a Close frame of one byte", served(CLOSE, b"\x03"), {PROTOCOL_ERROR}),
    *[(f"close code {c}", served(CLOSE, c.to_bytes(2, "big")), {PROTOCOL_ERROR}) for c in (0, 999, 1004, 1005, 1006)],
    *[(f"close code {c}", served(CLOSE, c.to_bytes(2, "big")), {PROTOCOL_ERROR}) for c in (1015, 2999, 5000, 65_535)],
    ("a reason that is not UTF-8", served(CLOSE, b"\x03\xe8\xff"), {INVALID_DATA}),
    ("a frame after Close", served(CLOSE) + served(PONG), {PROTOCOL_ERROR}),
    ("a byte after Close", served(CLOSE) + b"\x81", {PROTOCOL_ERROR}),
]


@pytest.mark.parametrize(("why", "data", "codes"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_violation_is_seen(why: str, data: bytes, codes: set[int]) -> None:
    """Each breach is refused, however the bytes are cut, and not before its first byte."""
    for size in (1, 3, len(data)):
        parser = FrameParser(from_server=True)
        with pytest.raises(Violation) as seen:
            for start in range(0, len(data), size):
                parser.feed(data[start : start + size])
        assert codes <= seen.value.codes, why


def test_a_client_must_mask_and_keep_its_size() -> None:
    """The other direction has its own rules: a mask, and the bound that was set."""
    with pytest.raises(Violation):
        FrameParser(from_server=False).feed(client_frame(TEXT, b"a", masked=False))
    bounded = FrameParser(from_server=False, max_message_bytes=10)
    assert bounded.feed(text("a" * 10)) == [Message(TEXT, b"a" * 10)]
    bounded.feed(client_frame(TEXT, b"a" * 6, fin=False))
    with pytest.raises(Violation) as seen:
        bounded.feed(client_frame(CONTINUATION, b"a" * 5))
    assert TOO_BIG in seen.value.codes
    with pytest.raises(Violation) as seen:
        FrameParser(from_server=False, max_message_bytes=10).feed(client_frame(TEXT, length=1 << 62))
    assert TOO_BIG in seen.value.codes and not seen.value.whole


def test_what_is_lawful_is_read_whole() -> None:
    """Any cut of lawful frames gives the same messages, those of another implementation's frames among them."""
    rng = random.Random(6455)
    sizes = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)
    payloads = [("é" * size).encode()[: size - size % 2] for size in sizes]
    data = b"".join(Frame(Opcode.TEXT, payload).serialize(mask=False) for payload in payloads)
    data += served(TEXT, b"a\xc3", fin=False) + served(PING, b"p") + served(CONTINUATION, b"\xa9") + served(CLOSE)
    wanted = [Message(TEXT, payload) for payload in payloads]
    wanted += [Message(PING, b"p"), Message(TEXT, "aé".encode(), frames=2), Message(CLOSE, b"")]
    for longest in (3, 1000, len(data)):
        parser, found, at = FrameParser(from_server=True), [], 0
        while at < len(data):
            step = rng.randint(1, longest)
            found += parser.feed(data[at : at + step])
            at += step
        assert found == wanted and parser.at_boundary and parser.closed == wanted[-1]


def test_deflated_messages_only_where_negotiated() -> None:
    """RSV1 is a message's own if the extension was negotiated, and its text is what was packed."""
    pack = zlib.compressobj(wbits=-15)
    packed = (pack.compress(b"a" * 500) + pack.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert FrameParser(from_server=True, deflate=True).feed(served(TEXT, packed, rsv=4)) == [
        Message(TEXT, b"a" * 500, deflated=True)
    ]
    with pytest.raises(Violation):
        FrameParser(from_server=True).feed(served(TEXT, packed, rsv=4))
    with pytest.raises(Violation):
        FrameParser(from_server=True, deflate=True).feed(served(PING, rsv=4))
    with pytest.raises(Violation):
        FrameParser(from_server=True, deflate=True).feed(served(TEXT, b"\xff" * 20, rsv=4))


def test_a_text_of_a_client_that_is_not_utf8_can_be_counted() -> None:
    """Where the answer may come later, the parser goes on."""
    parser = FrameParser(from_server=False, utf8=False)
    assert len(parser.feed(client_frame(TEXT, b"\xff") + close())) == 2
    assert parser.invalid_texts == 1


def test_handshakes() -> None:
    """The key's answer, the status and the upgrade must be right."""
    key = "dGhlIHNhbXBsZSBub25jZQ=="  # the RFC's own example
    good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    good += "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert check_handshake(good.encode(), key)["upgrade"] == "websocket"
    for old, new in (("101", "200"), ("s3p", "S3p"), ("websocket", "h2c"), ("Connection", "X"), ("Upgrade: ", " Up: ")):
        with pytest.raises(Violation):
            check_handshake(good.replace(old, new, 1).encode(), key)
    with pytest.raises(Violation):
        check_handshake(good.encode(), new_key())
