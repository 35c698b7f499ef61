"""RFC 6455 written a second time, strictly and without any library: what holds our frames to it must not be our own.

:class:`FrameParser` reads one direction of a connection and raises :class:`Violation` at the first byte that breaks
section 5; the functions build a client's frames, wrong ones among them.
"""

import base64
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

PROTOCOL_ERROR: Final = 1002
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009

_KNOWN: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Violation(AssertionError):
    """The other side broke RFC 6455. ``codes``: what a Close frame that answers it may say.

    ``whole``: the frame that breaks it had come to its end.
    """

    def __init__(self, why: str, codes: frozenset[int] = frozenset({PROTOCOL_ERROR}), *, whole: bool = True) -> None:
        super().__init__(why)
        self.codes = codes
        self.whole = whole


@dataclass(frozen=True)
class Message:
    """A message, or a control frame. ``frames``: in how many it came; ``deflated``: RSV1 was set on the first."""

    opcode: int
    data: bytes
    frames: int = 1
    deflated: bool = False

    @property
    def text(self) -> str:
        """A text message's text."""
        return self.data.decode()

    @property
    def close_code(self) -> int | None:
        """A Close frame's code; None if it has none."""
        return int.from_bytes(self.data[:2], "big") if self.data else None


@dataclass(frozen=True)
class _Head:
    fin: bool
    rsv: int
    opcode: int
    mask: bytes
    length_bytes: int
    at: int
    minimal: bool
    masked: bool


class FrameParser:
    """Bytes in, messages out. Nothing is forgiven but what section 5 leaves to the receiver.

    Args:
        from_server: whose bytes they are: a server never masks, a client always does.
        deflate: permessage-deflate was negotiated, without context takeover.
        max_message_bytes: beyond it a message is too big; None for no bound.
        utf8: whether a text that is not UTF-8 is a violation at once; else it is counted in ``invalid_texts``.
    """

    def __init__(
        self,
        *,
        from_server: bool,
        deflate: bool = False,
        max_message_bytes: int | None = None,
        utf8: bool = True,
    ) -> None:
        self.closed: Message | None = None
        self.invalid_texts = 0
        self._from_server = from_server
        self._deflate = deflate
        self._max_message_bytes = max_message_bytes
        self._utf8 = utf8
        self._waiting = bytearray()
        self._open: list[bytes] = []
        self._opened: tuple[int, bool] | None = None

    @property
    def at_boundary(self) -> bool:
        """Whether the bytes so far end where a frame does."""
        return not self._waiting

    @property
    def in_message(self) -> bool:
        """Whether a message was begun in fragments and is not whole."""
        return self._opened is not None

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole with these bytes.

        Raises:
            Violation: and the parser is of no use any more.
        """
        self._waiting += data
        found: list[Message] = []
        while self._waiting:
            if self.closed is not None:
                raise Violation(f"bytes after the Close frame: {bytes(self._waiting[:40])!r}")
            head = self._head()
            if head is None:
                return found
            end = head.at + head.length_bytes
            if len(self._waiting) < end:
                return found
            payload = bytes(self._waiting[head.at : end])
            del self._waiting[:end]
            message = self._frame(head, _masked(payload, head.mask) if head.mask else payload)
            if message is not None:
                found.append(message)
        return found

    def _head(self) -> _Head | None:
        """The head of the frame that is next; None while it is not whole, and has nothing wrong so far."""
        data = self._waiting
        if len(data) < 2:
            return None
        short, masked, at, minimal = data[1] & 0x7F, bool(data[1] & 0x80), 2, True
        length_bytes = short
        if short >= 126:
            size, smallest = (2, 126) if short == 126 else (8, 65_536)
            at += size
            length_bytes = int.from_bytes(data[2:at], "big") if len(data) >= at else smallest
            minimal = length_bytes >= smallest
        end = at + 4 if masked else at
        first = data[0]
        head = _Head(
            bool(first & 0x80), first >> 4 & 7, first & 15, bytes(data[at:end]), length_bytes, end, minimal, masked
        )
        self._check_head(head)
        return head if len(data) >= end else None

    def _bearable(self, length_bytes: int) -> bool:
        so_far = sum(map(len, self._open))
        return self._max_message_bytes is None or so_far + length_bytes <= self._max_message_bytes

    def _check_head(self, head: _Head) -> None:
        wrong: list[str] = []
        codes: set[int] = set()
        control = head.opcode >= CLOSE
        rsv1 = self._deflate and not control and head.opcode != CONTINUATION
        checks = (
            (head.rsv & (3 if rsv1 else 7), f"reserved bits {head.rsv:03b}"),
            (head.opcode not in _KNOWN, f"opcode {head.opcode:#x}"),
            (head.masked is self._from_server, "masked" if head.masked else "not masked"),
            (self._from_server and not head.minimal, f"{head.length_bytes} bytes, said longer than needed"),
            (head.length_bytes >= 1 << 63, "a length of 64 bits"),
            (control and head.length_bytes > 125, f"a control frame of {head.length_bytes} bytes"),
            (control and not head.fin, "a control frame in fragments"),
            (head.opcode in (TEXT, BINARY) and self.in_message, "a message within another"),
            (head.opcode == CONTINUATION and not self.in_message, "a continuation of nothing"),
        )
        for broken, why in checks:
            if broken:
                wrong.append(why)
                codes.add(PROTOCOL_ERROR)
        if not self._bearable(head.length_bytes):
            wrong.append(f"{head.length_bytes} bytes are too many")
            codes.add(TOO_BIG)
        if wrong:
            whole = len(self._waiting) >= head.at + head.length_bytes
            raise Violation(f"{', '.join(wrong)}: {bytes(self._waiting[:40])!r}", frozenset(codes), whole=whole)

    def _frame(self, head: _Head, payload: bytes) -> Message | None:
        if head.opcode == CLOSE:
            self.closed = _close(payload)
            return self.closed
        if head.opcode >= CLOSE:
            return Message(head.opcode, payload)
        if head.opcode != CONTINUATION:
            self._opened = (head.opcode, bool(head.rsv & 4))
        self._open.append(payload)
        if not head.fin or self._opened is None:
            return None
        (opcode, deflated), self._opened = self._opened, None
        whole, frames, self._open = b"".join(self._open), len(self._open), []
        data = _inflated(whole) if deflated else whole
        if opcode == TEXT and not _is_utf8(data):
            self.invalid_texts += 1
            if self._utf8:
                raise Violation(f"not UTF-8: {data[:80]!r}", frozenset({INVALID_DATA}))
        return Message(opcode, data, frames, deflated)


def _close(payload: bytes) -> Message:
    if len(payload) == 1:
        raise Violation("a Close frame of one byte")
    if payload:
        code = int.from_bytes(payload[:2], "big")
        if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise Violation(f"close code {code}", frozenset({PROTOCOL_ERROR, INVALID_DATA}))
        if not _is_utf8(payload[2:]):
            raise Violation("a reason that is not UTF-8", frozenset({INVALID_DATA, PROTOCOL_ERROR}))
    return Message(CLOSE, payload)


def _inflated(data: bytes) -> bytes:
    unpack = zlib.decompressobj(-15)
    try:
        return unpack.decompress(data + b"\x00\x00\xff\xff")
    except zlib.error as error:
        raise Violation(f"not deflated: {error}", frozenset({INVALID_DATA, PROTOCOL_ERROR})) from None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _masked(payload: bytes, mask: bytes) -> bytes:
    if not payload:
        return b""
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


# -- what a client sends -----------------------------------------------------------------------------------------------


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
    width: int | None = None,
    mask: bytes | None = None,
) -> bytes:
    """A client's frame; with ``length`` its head lies, with ``width`` (7, 16 or 64 bits) its length is said so."""
    said = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    width = width or (7 if said < 126 else 16 if said < 1 << 16 else 64)
    if width == 7:
        head = bytes((first, bit | said))
    elif width == 16:
        head = struct.pack("!BBH", first, bit | 126, said)
    else:
        head = struct.pack("!BBQ", first, bit | 127, said)
    if not masked:
        return head + payload
    key = os.urandom(4) if mask is None else mask
    return head + key + _masked(payload, key)


def text(content: str) -> bytes:
    """A text message of a client in one frame."""
    return client_frame(TEXT, content.encode())


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A client's Close frame."""
    return client_frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def handshake(host: str, path: str, key: str, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A client's opening handshake; ``key`` is from :func:`new_key`."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def new_key() -> str:
    """A fresh Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(16)).decode()


def check_handshake(head: bytes, key: str) -> dict[str, str]:
    """Hold a server's answer (all up to the empty line) to section 4.2.2; its headers, by lower-case name."""
    status, *lines = head.decode("ascii").split("\r\n")
    if not status.startswith("HTTP/1.1 101 "):
        raise Violation(f"no 101: {status!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or name.lower() in headers:
            raise Violation(f"header {line!r}")
        headers[name.lower()] = value.strip()
    accept = base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()
    wanted = {"upgrade": "websocket", "connection": "upgrade", "sec-websocket-accept": accept}
    for name, value in wanted.items():
        given = headers.get(name, "")
        if (given if name.startswith("sec") else given.lower()) != value:
            raise Violation(f"{name}: {given!r}")
    return headers
