"""Limits of what a client may send, beside its messages; and of how many come at once."""

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from inkwire_gateway.adapters.server import BACKLOG
from tests.integration.gateway_support import reader, token, world
from tests.support.raw_websocket import raw_websocket
from tests.support.rfc6455 import CONTINUATION, PING, PONG, TEXT, client_frame
from tests.support.wait import scaled_s

pytestmark = pytest.mark.nats

BURST = 5
ALL_AT_ONCE = 120
"""More than a listener takes by default, fewer than the kernel's own bound anywhere."""


@pytest.mark.parametrize("opcode", [PING, PONG, CONTINUATION])
async def test_frames_that_are_no_messages_count(nats_url: str, tmp_path: Path, opcode: int) -> None:
    """Pings, pongs and empty parts of a message count as frames: as many as allowed do nothing, one more closes."""
    async with world(nats_url, tmp_path, frames_per_s=0.001, frame_burst=BURST) as w:
        async with raw_websocket(w.port, token()) as raw:
            await raw.recv()
            first = client_frame(TEXT, b"", fin=False) if opcode == CONTINUATION else client_frame(opcode, b"")
            rest = client_frame(opcode, b"", fin=opcode != CONTINUATION) * (BURST - 1)
            await raw.send_bytes(first + rest + client_frame(PING, b"one more"))
            assert await raw.end() == 4103
        assert w.gateway.hub.counters.closes == {4103: 1}


async def test_refused_frames_are_counted(nats_url: str, tmp_path: Path) -> None:
    """A frame that is answered by an error at a limit is counted by the error's code; another refusal is not."""
    async with world(nats_url, tmp_path, max_channels=1) as w, reader(w.port, token()) as r:
        for channel in ("user:ada", "post:" + "a" * 26, "nothing"):
            await r.socket.send(json.dumps({"type": "subscribe", "channel": channel, "id": 1}))
        await r.until("error", code="invalid_channel")
        assert w.gateway.hub.counters.refusals == {"too_many_channels": 1}


async def test_many_may_come_at_once(nats_url: str, tmp_path: Path) -> None:
    """Clients that come while the gateway is busy with something else are all held by the kernel."""
    assert BACKLOG > ALL_AT_ONCE
    async with world(nats_url, tmp_path) as w:
        with ExitStack() as stack:
            for _ in range(ALL_AT_ONCE):  # without a turn for the gateway's loop
                address = ("127.0.0.1", w.port)
                stack.enter_context(socket.create_connection(address, timeout=scaled_s(5)))
