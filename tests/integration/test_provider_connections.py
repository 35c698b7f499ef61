"""The provider's connections: kept where a server keeps them; one that it closes all the same costs nobody a call."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.client_proto import ResponseHandler

from inkwire_chassis.clock import SystemClock
from inkwire_generator.adapters.provider_openai import OpenAIProvider, ProviderConfig
from inkwire_generator.errors import ProviderError
from inkwire_generator.ports import Finish
from inkwire_recipes.recipe import Prompt
from tests.support.wait import eventually

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
    head = await _request(reader)
    promise = ASKED_TO if b"connection: close" in head.lower() else PROMISED
    writer.write(HEAD + promise + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS) + b"0\r\n\r\n")
    await writer.drain()
    writer.close()


async def _unheeded(headers: Mapping[str, str]) -> None:
    """Nobody needs these headers."""


class Keeper:
    """A server that keeps its connections, and writes the end of an answer's body apart from its ``[DONE]``."""

    def __init__(self) -> None:
        self.connections = self.calls = self.open = 0
        self.last: asyncio.StreamWriter
        """Of the newest connection."""
        self.ends = True
        """Whether the body is ended at all."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the other side leaves."""
        self.connections += 1
        self.open += 1
        self.last = writer
        try:
            while True:
                await _request(reader)
                self.calls += 1
                writer.write(HEAD + b"\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS))
                await writer.drain()
                if self.ends:
                    await asyncio.sleep(0)  # a packet of its own
                    writer.write(b"0\r\n\r\n")
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.open -= 1


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read a request to its end; returns its head."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length"))
    await reader.readexactly(length)
    return head


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


@pytest.mark.parametrize("ends", [True, False])
async def test_calls_that_follow_each_other_share_a_connection(ends: bool) -> None:
    """One that was read to its end serves the next call; one whose body has no end is closed, and no call suffers."""
    keeper = Keeper()
    keeper.ends = ends
    server = await asyncio.start_server(keeper.serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        provider = OpenAIProvider(ProviderConfig(url, "none", "tiny"), SystemClock(), _unheeded)
        try:
            for _ in range(5):
                async with provider.stream(Prompt("be good", "write")) as answer:
                    pieces = [piece async for piece in answer.pieces]
                assert pieces[0] == "text" and isinstance(pieces[-1], Finish)
        finally:
            await provider.close()
        await eventually(lambda: keeper.open == 0, what="the server has closed its side")
    assert (keeper.calls, keeper.connections) == (5, 1 if ends else 5)


UNASKED = {
    "a whole answer": HEAD
    + b"\r\n"
    + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS)
    + b"0\r\n\r\n",
    "half a one": HEAD + b"\r\n" + b"%x\r\n%b\r\n" % (len(EVENTS[0]), EVENTS[0]),
}


@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
async def test_what_comes_unasked_is_nobodys_answer(unasked: bytes) -> None:
    """A kept connection on which something came between two calls is closed; the next call is made on another one."""
    keeper = Keeper()
    server = await asyncio.start_server(keeper.serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        provider = OpenAIProvider(ProviderConfig(url, "none", "tiny"), SystemClock(), _unheeded)
        try:
            assert await _text_of(provider) == "text"
            keeper.last.write(unasked.replace(b"text", b"else"))
            await eventually(lambda: _kept(provider)[0].should_close, what="it has come")
            assert await _text_of(provider) == "text"
        finally:
            await provider.close()
        await eventually(lambda: keeper.open == 0, what="the server has closed its side")
    assert (keeper.calls, keeper.connections) == (2, 2)


async def _text_of(provider: OpenAIProvider) -> str:
    async with provider.stream(Prompt("be good", "write")) as answer:
        return "".join([piece async for piece in answer.pieces if isinstance(piece, str)])


def _kept(provider: OpenAIProvider) -> list[ResponseHandler]:
    """The connections that wait for the next call, as aiohttp keeps them."""
    transport: Any = provider._client._client._transport
    return [kept for of_host in transport.client.connector._conns.values() for kept, _ in of_host]


GARBLED = {
    "no HTTP": b"garbage\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 20_000,
    "a chunk without size": HEAD + b"\r\nzz\r\n",
    "a chunk beyond its size": HEAD + b"\r\n5\r\nabcdeXX",
}


@pytest.mark.parametrize("answer", GARBLED.values(), ids=GARBLED)
async def test_an_answer_that_is_no_http_is_the_servers_fault(answer: bytes) -> None:
    """It is asked again, as where the connection was cut; the post's attempt is not spent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(answer)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        provider = OpenAIProvider(ProviderConfig(url, "none", "tiny"), SystemClock(), _unheeded)
        try:
            with pytest.raises(ProviderError) as caught:
                async with provider.stream(Prompt("be good", "write")) as answered:
                    assert [piece async for piece in answered.pieces]
        finally:
            await provider.close()
    assert caught.value.retryable
