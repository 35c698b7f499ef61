"""Frames made by hand are those of RFC 6455, as an independent parser reads them."""

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from inkwire_gateway.framing import PING, text_frame


def parse(data: bytes) -> Frame:
    """Read one frame with the library's parser."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=False)
    try:
        while True:
            next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
    assert reader.buffer == b""
    return frame


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 300_000])
def test_text_frame_of_every_length_form(length: int) -> None:
    """Short, 16-bit and 64-bit lengths hold the whole payload, in one final frame."""
    payload = (b"0123456789" * (length // 10 + 1))[:length]
    frame = parse(text_frame(payload))
    assert frame.opcode is Opcode.TEXT and frame.fin
    assert bytes(frame.data) == payload


def test_text_frame_equals_the_librarys() -> None:
    """The bytes are those that the library would have sent."""
    payload = "Grüße \U0001f600".encode()
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_ping_is_an_empty_ping() -> None:
    """The sweep's frame is a ping without payload."""
    frame = parse(PING)
    assert frame.opcode is Opcode.PING and bytes(frame.data) == b""
