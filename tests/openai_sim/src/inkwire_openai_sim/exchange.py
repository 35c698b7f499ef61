"""One HTTP exchange while it runs: write, wait, cut. What faults are given to work with."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from inkwire_openai_sim.pacing import Pacer, Speed
from inkwire_openai_sim.request_log import RequestRecord, now_ms
from inkwire_openai_sim.wire import Encoder, StreamPlan

STALL_MAX_S: Final = 3_600.0  # "for ever" ends here; the stream then goes on


@dataclass(slots=True)
class Exchange:
    """A chat request that is being answered; `response` is None until headers were sent."""

    request: web.Request
    record: RequestRecord
    plan: StreamPlan
    encoder: Encoder
    speed: Callable[[], Speed]
    response: web.StreamResponse | None = None

    def own_speed(self) -> Speed:
        """The current speed with this request's overrides."""
        return replace(self.speed(), **self.plan.speed) if self.plan.speed else self.speed()

    async def begin(self, content_type: str, length_bytes: int | None = None) -> None:
        """Send status 200 and the headers."""
        self.response = web.StreamResponse(headers={"Content-Type": content_type})
        if length_bytes is None:
            self.response.headers["Cache-Control"] = "no-cache"
        else:
            self.response.content_length = length_bytes
        self.record.status = 200
        await self.response.prepare(self.request)

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the client reads too slowly. Raises ConnectionError once the client is gone."""
        if self.response is None:
            raise RuntimeError("begin() comes before write()")
        size = self.plan.fragment_bytes
        if size is None:
            await self.response.write(data)
            return
        for start in range(0, len(data), size):
            await self.response.write(data[start : start + size])
            await asyncio.sleep(0)  # each piece in a write of its own

    async def wait(self, seconds: float | None, comments_every_s: float | None = None) -> None:
        """Be silent for so long (None: STALL_MAX_S), apart from comment frames. Ends early if the client leaves."""
        left_s = STALL_MAX_S if seconds is None else min(seconds, STALL_MAX_S)
        if comments_every_s is None:
            await asyncio.sleep(left_s)
            return
        while left_s > 0:
            step_s = min(left_s, max(0.01, comments_every_s))
            await asyncio.sleep(step_s)
            left_s -= step_s
            if left_s > 0 and self.response is not None:
                await self.write(self.encoder.comment("keep-alive"))

    def cut(self, *, reset: bool) -> None:
        """Close the TCP connection without ending the response: by FIN after what was written, or by RST at once."""
        self.record.finish("cut")
        transport = self.request.transport
        if transport is None:
            return
        if not reset:
            transport.close()
            return
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    async def send_deltas(self, pacer: Pacer, stop: int) -> None:
        """Send deltas on time until `stop` are out."""
        deltas, record = self.plan.deltas, self.record
        while (sent := record.chunks_sent) < stop:
            upto = min(stop, pacer.allowed(sent))
            if upto > sent:
                batch = deltas[sent:upto]
                events = [self.encoder.delta(text, sent + i) for i, text in enumerate(batch, 1)]
                record.sent(batch, now_ms())
                await self.write(b"".join(events))
            if upto < len(deltas):
                await asyncio.sleep(pacer.wait_s(upto))
