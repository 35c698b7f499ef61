"""An OpenAI-compatible server whose words are clocks: each delta says when it was written to its socket.

A delta's text ends in ``~1234567890123456~``, the monotonic clock in nanoseconds at the moment of the write, so any
process of this machine that finds it in what it receives knows how long the way was. Deltas are written at a fixed
pace, not when somebody is ready for them; how late the writes themselves were is kept too.

    python -m benchmarks.clock_provider --port 9000

A round is begun with POST /round {"rate_per_s": 50, "deltas": 250, "seed": 1, "first_token_s": 0, "together": 1};
GET /round gives the stamps of all that was written since. The first ``together`` answers in words wait for each other.
A request with a JSON schema is answered with a small outline, without a pace.
"""

import argparse
import asyncio
import heapq
import itertools
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import uvloop
from aiohttp import web

WORDS = "The clock on the wall says what time it was when this word left the desk and went out to its reader".split()
HEAD = '{"id":"chatcmpl-clock","object":"chat.completion.chunk","created":1760000000,"model":"clock","choices":'
TEXT = f'data: {HEAD}[{{"index":0,"delta":{{"content":"%s"}},"finish_reason":null}}],"usage":null}}\n\n'
STOP = f'data: {HEAD}[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":null}}\n\n'
USAGE = f'data: {HEAD}[],"usage":{{"prompt_tokens":100,"completion_tokens":%d,"total_tokens":%d}}}}\n\n'
ROLE = (
    f'data: {HEAD}[{{"index":0,"delta":{{"role":"assistant","content":""}},"finish_reason":null}}],"usage":null}}\n\n'
)
DONE = "data: [DONE]\n\n"
TICK_S = 0.001
"""The ticker looks no more often: what falls due meanwhile is written together, each delta to its own socket."""


def _chunked(word: str) -> bytes:
    """An event with room for its stamp, as one chunk of an HTTP body."""
    text = TEXT % f"{word} ~%016d~"
    length = len(text % 0)
    return f"{length:x}\r\n{text}\r\n".encode()


FIRST = [_chunked(word) for word in WORDS]
LATER = [_chunked(" " + word) for word in WORDS]


class Round:
    """What is asked for, and what was written."""

    def __init__(
        self, rate_per_s: float, deltas: int, seed: int, first_token_s: float = 0.0, together: int = 1
    ) -> None:
        self.rate_per_s = rate_per_s
        self._missing = together
        self._all_here = asyncio.Event()
        self.first_token_s = first_token_s
        self.deltas = deltas
        self.random = random.Random(seed)
        self.stamps: list[int] = []
        self.late_ns: list[int] = []

    async def gather(self) -> None:
        """Wait for the others."""
        self._missing -= 1
        if self._missing <= 0:
            self._all_here.set()
        await self._all_here.wait()

    def stamp(self) -> int:
        """Now, and never the same twice."""
        now = time.monotonic_ns()
        self.stamps.append(now if not self.stamps else max(now, self.stamps[-1] + 1))
        return self.stamps[-1]


@dataclass(slots=True)
class Stream:
    """One answer that is being written."""

    due_ns: int
    on: Round
    transport: Any
    """Written to directly: aiohttp's own writer costs more than the kernel."""
    count: int
    done: asyncio.Future[int]
    start_ns: int
    number: int = 0

    def write(self) -> bool:
        """Write the delta that is due, straight to the socket; whether another one follows."""
        if self.transport.is_closing():
            self.done.set_result(self.number)
            return False
        words = LATER if self.number else FIRST
        stamp = self.on.stamp()
        self.transport.write(words[self.number % len(words)] % stamp)
        self.on.late_ns.append(stamp - self.due_ns)
        self.number += 1
        self.due_ns = self.start_ns + int(self.number / self.on.rate_per_s * 1e9)
        if self.number == self.count:
            self.done.set_result(self.number)
        return self.number < self.count


class Ticker:
    """Writes all streams: one task and one write for each delta, so that 20,000 in a second are no load."""

    def __init__(self) -> None:
        self._streams: list[tuple[int, int, Stream]] = []
        """A heap: when the next delta is due, a number that decides between equals, and whose it is."""
        self._numbers = itertools.count()
        self._more = asyncio.Event()

    def add(self, stream: Stream) -> None:
        """Write this one too, until its ``done``."""
        heapq.heappush(self._streams, (stream.due_ns, next(self._numbers), stream))
        self._more.set()

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """For the life of the server."""
        task = asyncio.create_task(self._tick())
        yield
        task.cancel()

    async def _tick(self) -> None:
        streams = self._streams
        while True:
            if not streams:
                self._more.clear()
                await self._more.wait()
            now_ns = time.monotonic_ns()
            while streams and streams[0][0] <= now_ns:
                _, number, stream = streams[0]
                if stream.write():
                    heapq.heapreplace(streams, (stream.due_ns, number, stream))
                else:
                    heapq.heappop(streams)
            wait_s = (streams[0][0] - time.monotonic_ns()) / 1e9 if streams else 0.0
            await asyncio.sleep(max(TICK_S if len(streams) > 1 else 0.0, wait_s))


class Provider:
    """The server's state: the round that is on."""

    def __init__(self, sections: int) -> None:
        self.round = Round(50.0, 100, 1)
        self.ticker = Ticker()
        entries = [{"title": f"Hour {n}", "target_words": 100, "points": ["time"]} for n in range(1, sections + 1)]
        outline = {"title": "Clocks", "description": "What time it is.", "tags": ["time"], "sections": entries}
        self.outline = json.dumps({**outline, "closing": "Conclusion"})

    async def begin(self, request: web.Request) -> web.Response:
        self.round = Round(**await request.json())
        return web.json_response({})

    async def report(self, _request: web.Request) -> web.Response:
        return web.json_response({"stamps": self.round.stamps, "late_ns": self.round.late_ns})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(self.round.first_token_s)
        if "response_format" in body:
            written = await self._outline(response)
        else:
            written = await self._words(request, response, self.round)
        await response.write((STOP + USAGE % (written, 100 + written) + DONE).encode())
        return response

    async def _outline(self, response: web.StreamResponse) -> int:
        pieces = [self.outline[start : start + 40] for start in range(0, len(self.outline), 40)]
        for piece in pieces:
            await response.write((TEXT % json.dumps(piece)[1:-1]).encode())
        return len(pieces)

    async def _words(self, request: web.Request, response: web.StreamResponse, on: Round) -> int:
        """Lengths and phases differ from call to call, so that the streams neither tick nor end together."""
        await response.write(ROLE.encode())
        await on.gather()
        count = max(1, round(on.deltas * on.random.uniform(0.8, 1.2)))
        start_ns = time.monotonic_ns() + int(on.random.random() / on.rate_per_s * 1e9)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ticker.add(Stream(start_ns, on, request.transport, count, done, start_ns))
        return await done


def application(sections: int) -> web.Application:
    """The server, for outlines of so many sections."""
    provider = Provider(sections)
    app = web.Application()
    app.cleanup_ctx.append(provider.ticker.run)
    app.router.add_post("/v1/chat/completions", provider.complete)
    app.router.add_post("/round", provider.begin)
    app.router.add_get("/round", provider.report)
    app.router.add_get("/livez", _alive)
    return app


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sections", type=int, default=1, help="sections of the outline (default 1)")
    given = parser.parse_args()
    loop: Any = uvloop.new_event_loop()
    web.run_app(application(given.sections), host="127.0.0.1", port=given.port, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
