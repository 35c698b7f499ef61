"""A WebSocket client on a bare TCP socket: it reads as little at a time as the test likes, and can break every rule."""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from tests.support.rfc6455 import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameParser,
    Message,
    Violation,
    check_handshake,
    client_frame,
    close,
    handshake,
    new_key,
    text,
)
from tests.support.wait import scaled_s

READ_BYTES: Final = 65_536
TIMEOUT_S: Final = 15.0


class Ended(Exception):
    """The server has ended the stream; ``code`` is its Close frame's, None without one."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class RawWebSocket:
    """Every byte it reads is held to RFC 6455; a break of it raises Violation.

    ``read_size`` says how many bytes the next read may take. Pings are answered, unless ``answer_pings`` is False.
    """

    def __init__(self, sock: socket.socket, *, read_size: Callable[[], int] = lambda: READ_BYTES) -> None:
        self.sock = sock
        self.parser = FrameParser(from_server=True)
        self.headers: dict[str, str] = {}
        self.answer_pings = True
        self.pings_seen = 0
        self.pongs: list[bytes] = []
        self.sizes: list[int] = []
        """Bytes of each text message's payload."""
        self.ended = False
        self.reset = False
        self._read_size = read_size
        self._texts: deque[str] = deque()
        self._loop = asyncio.get_running_loop()

    # -- out -----------------------------------------------------------------------------------------------------------

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are; a connection that the server has cut is no error, the reading side tells of it."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await self._loop.sock_sendall(self.sock, data)

    async def send(self, content: str) -> None:
        """Send a text message."""
        await self.send_bytes(text(content))

    async def ping(self, payload: bytes = b"") -> None:
        """Send a ping; its pong is in ``pongs``."""
        await self.send_bytes(client_frame(PING, payload))

    def finish(self) -> None:
        """Send no more (FIN); what comes can still be read."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Vanish: the server gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # -- in ------------------------------------------------------------------------------------------------------------

    async def recv(self) -> str:
        """The next text message.

        Raises:
            Ended: there is none any more.
        """
        while not self._texts:
            if self.ended:
                raise Ended(self.close_code)
            await self.read()
        return self._texts.popleft()

    async def read(self) -> list[Message]:
        """One read of the socket, taken apart; nothing at the end of the stream."""
        if self.ended:
            return []
        try:
            data = await self._loop.sock_recv(self.sock, self._read_size())
        except ConnectionResetError:
            self.ended = self.reset = True
            return []
        if not data:
            self.ended = True
            return []
        return await self.take(data)

    async def take(self, data: bytes) -> list[Message]:
        """Bytes that were read."""
        messages = self.parser.feed(data)
        for message in messages:
            if message.opcode == TEXT:
                self._texts.append(message.text)
                self.sizes.append(len(message.data))
            elif message.opcode == PONG:
                self.pongs.append(message.data)
            elif message.opcode == PING:
                self.pings_seen += 1
                if self.answer_pings:
                    await self.send_bytes(client_frame(PONG, message.data))
            elif message.opcode != CLOSE:
                raise Violation("the protocol has no binary messages")
        return messages

    def texts(self) -> Iterator[str]:
        """Text messages that were read and not yet taken."""
        while self._texts:
            yield self._texts.popleft()

    async def until(self, done: Callable[[], object]) -> None:
        """Read until something holds or the stream has ended."""
        async with asyncio.timeout(scaled_s(TIMEOUT_S)):
            while not done() and not self.ended:
                await self.read()

    async def end(self) -> int | None:
        """Read to the end of the stream, answering a Close frame; the code it says, None if there is none."""
        answered = False
        async with asyncio.timeout(scaled_s(TIMEOUT_S)):
            while not self.ended:
                await self.read()
                if self.parser.closed is not None and not answered:
                    answered = True
                    await self.send_bytes(close(self.close_code))
                    self.finish()
        return self.close_code

    async def leave(self, code: int | None = 1000) -> int | None:
        """Close from this side, and read to the end; the code of the server's Close frame."""
        await self.send_bytes(close(code))
        async with asyncio.timeout(scaled_s(TIMEOUT_S)):
            while not self.ended:
                await self.read()
        return self.close_code

    @property
    def close_code(self) -> int | None:
        """Of the server's Close frame, if it came and has one."""
        return None if self.parser.closed is None else self.parser.closed.close_code


async def connected_socket(port: int, *, receive_bytes: int | None = None) -> socket.socket:
    """A TCP connection, whose kernel holds about ``receive_bytes`` of what was not read."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def opened(
    sock: socket.socket,
    port: int,
    jwt: str,
    *,
    with_it: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
    read_size: Callable[[], int] = lambda: READ_BYTES,
) -> RawWebSocket:
    """The opening handshake on a connection, and what is sent in one piece with it."""
    key = new_key()
    raw = RawWebSocket(sock, read_size=read_size)
    wanted = (("Authorization", f"Bearer {jwt}"), *headers)
    await raw.send_bytes(handshake(f"127.0.0.1:{port}", "/ws", key, wanted) + with_it)
    await shake_hands(raw, key, read_size)
    return raw


async def shake_hands(raw: RawWebSocket, key: str, read_size: Callable[[], int] = lambda: READ_BYTES) -> None:
    """Read the server's answer to a handshake that was sent, and what came behind it."""
    answer, loop = b"", asyncio.get_running_loop()
    async with asyncio.timeout(scaled_s(TIMEOUT_S)):
        while b"\r\n\r\n" not in answer:
            data = await loop.sock_recv(raw.sock, read_size())
            if not data:
                raise Violation(f"the handshake was not answered: {answer!r}")
            answer += data
    head, _, rest = answer.partition(b"\r\n\r\n")
    raw.headers = check_handshake(head, key)
    extensions = raw.headers.get("sec-websocket-extensions", "")
    raw.parser = FrameParser(from_server=True, deflate="permessage-deflate" in extensions)
    await raw.take(rest)


@asynccontextmanager
async def raw_websocket(
    port: int,
    jwt: str,
    *,
    receive_bytes: int | None = None,
    with_it: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
    read_size: Callable[[], int] = lambda: READ_BYTES,
) -> AsyncIterator[RawWebSocket]:
    """A client for the length of a block."""
    sock = await connected_socket(port, receive_bytes=receive_bytes)
    try:
        yield await opened(sock, port, jwt, with_it=with_it, headers=headers, read_size=read_size)
    finally:
        sock.close()
