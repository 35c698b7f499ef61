"""The provider's connections, against a server that closes each after its answer although it promises to keep it."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest_asyncio

from inkwire_chassis.clock import SystemClock
from inkwire_generator.adapters.provider_openai import OpenAIProvider, ProviderConfig
from inkwire_generator.ports import Finish
from inkwire_recipes.recipe import Prompt

CALLS = 30
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
ASKED_TO, PROMISED = b"Connection: close\r\n\r\n", b"Keep-Alive: timeout=5, max=100\r\n\r\n"
EVENTS = (
    b'data: {"choices": [{"index": 0, "delta": {"content": "text"}, "finish_reason": null}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n',
    b"data: [DONE]\n\n",
)


async def answer_and_leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One answer as llama.cpp's server gives it: whole, and gone, whatever it said."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length"))
    await reader.readexactly(length)
    promise = ASKED_TO if b"connection: close" in head.lower() else PROMISED
    writer.write(HEAD + promise + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS) + b"0\r\n\r\n")
    await writer.drain()
    writer.close()


async def _unheeded(headers: Mapping[str, str]) -> None:
    """Nobody needs these headers."""


@pytest_asyncio.fixture
async def base_url() -> AsyncIterator[str]:
    """Where such a server listens."""
    server = await asyncio.start_server(answer_and_leave, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def test_calls_that_follow_at_once_do_not_meet_a_closing_connection(base_url: str) -> None:
    """Each of many calls, one right after the other, is answered whole."""
    provider = OpenAIProvider(ProviderConfig(base_url, "none", "tiny"), SystemClock(), _unheeded)
    try:
        for _ in range(CALLS):
            async with provider.stream(Prompt("be good", "write")) as answer:
                pieces = [piece async for piece in answer.pieces]
            assert pieces[0] == "text" and isinstance(pieces[-1], Finish)
    finally:
        await provider.close()
