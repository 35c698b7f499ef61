"""A NATS server's side of a connection, for faults that the real one cannot be made to have when a test wants them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.support.ports import LOOPBACK

INFO = b'INFO {"server_id":"faulty","version":"2.15.1","max_payload":1048576,"headers":true}\r\n'

LINE_BYTES = 4 * 1024 * 1024
"""The most that one line may be long; a payload without line breaks is one."""


class FaultyConnection:
    """One client's. It answers pings with pongs, until it is told not to, and notes each line that it reads."""

    def __init__(self, writer: asyncio.StreamWriter, number: int) -> None:
        self._writer = writer
        self.number = number
        """Which of the server's connections it is, from 0."""
        self.lines: list[bytes] = []
        self.answers = True
        self.ended = False

    def send(self, data: bytes) -> None:
        """Send as it is."""
        self._writer.write(data)

    def stop_reading(self) -> None:
        """Take nothing more, and answer nothing; the connection stays."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def hang_up(self) -> None:
        """End the connection, behind what was sent."""
        self._writer.close()

    async def read(self, reader: asyncio.StreamReader, on_line: Callable[["FaultyConnection", bytes], object]) -> None:
        """Until the client ends it."""
        self.send(INFO)
        try:
            while line := await reader.readline():
                self.lines.append(line.strip())
                on_line(self, line.strip())
                if line == b"PING\r\n" and self.answers:
                    self.send(b"PONG\r\n")
        except OSError:
            pass
        finally:
            self.ended = True
            self._writer.close()


class FaultyNats:
    """Its address and its connections, those that ended too."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: list[FaultyConnection] = []


@asynccontextmanager
async def faulty_nats(
    on_line: Callable[[FaultyConnection, bytes], object] = lambda connection, line: None,
) -> AsyncIterator[FaultyNats]:
    """A server for the length of a block. ``on_line`` is called with each line before it is answered."""
    faulty = FaultyNats()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = FaultyConnection(writer, len(faulty.connections))
        faulty.connections.append(connection)
        await connection.read(reader, on_line)

    server = await asyncio.start_server(serve, LOOPBACK, 0, limit=LINE_BYTES)
    faulty.url = f"nats://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    try:
        yield faulty
    finally:
        server.close()
