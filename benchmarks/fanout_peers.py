"""What others do for a fan-out in Python: one process each, for benchmarks.fanout.

    python -m benchmarks.fanout_peers KIND PORT INGEST_PORT

Readers say in the request line which topic they follow (``?topic=7``). Events come as lines ``<topic> <payload>`` on
the other port. No token, no broker, no state, no compression, no pings: less work than a gateway does.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.asyncio.server import ServerConnection, broadcast, serve

KINDS = ("websockets-send", "websockets-broadcast", "fastapi")
LIVE = '{"type":"live","seq":0}'
MAX_LINE_BYTES = 2**20

FanOut = Callable[[int, str], Awaitable[None]]


@asynccontextmanager
async def ingest(port: int, fan_out: FanOut) -> AsyncIterator[None]:
    """Take events in, one after the other."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            topic, _, payload = line.rstrip(b"\n").partition(b" ")
            await fan_out(int(topic), payload.decode())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", port, limit=MAX_LINE_BYTES)
    async with server:
        yield


async def plain(port: int, ingest_port: int, *, use_broadcast: bool) -> None:
    """The library as its documentation shows it: `send()` in a loop, or `broadcast()`."""
    topics: defaultdict[int, set[ServerConnection]] = defaultdict(set)

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        readers = topics[int(connection.request.path.partition("topic=")[2])]
        await connection.send(LIVE)
        readers.add(connection)
        try:
            await connection.wait_closed()
        finally:
            readers.discard(connection)

    async def send_loop(topic: int, payload: str) -> None:
        for connection in tuple(topics[topic]):
            await connection.send(payload)

    async def send_broadcast(topic: int, payload: str) -> None:
        broadcast(topics[topic], payload)

    fan_out = send_broadcast if use_broadcast else send_loop
    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None), ingest(ingest_port, fan_out):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


def fastapi(ingest_port: int) -> FastAPI:
    """The usual connection manager: `send_text()` to each reader of a topic."""
    topics: defaultdict[int, list[WebSocket]] = defaultdict(list)

    async def fan_out(topic: int, payload: str) -> None:
        for socket in tuple(topics[topic]):
            await socket.send_text(payload)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with ingest(ingest_port, fan_out):
            print("ready", flush=True)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/ws")
    async def handle(socket: WebSocket, topic: int) -> None:
        await socket.accept()
        await socket.send_text(LIVE)
        topics[topic].append(socket)
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            topics[topic].remove(socket)

    return app


def main() -> None:
    """Serve until a signal."""
    kind, port, ingest_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if kind == "fastapi":
        options: dict[str, Any] = {"ws_per_message_deflate": False, "ws_ping_interval": None, "log_level": "warning"}
        uvicorn.run(fastapi(ingest_port), host="127.0.0.1", port=port, loop="uvloop", access_log=False, **options)
    else:
        uvloop.run(plain(port, ingest_port, use_broadcast=kind == "websockets-broadcast"))


if __name__ == "__main__":
    main()
