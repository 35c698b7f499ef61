"""The gateway as a process: settings, start in any order, stop."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from inkwire_contracts.fold import document
from tests.integration.gateway_support import (
    SECRET,
    Author,
    close_code,
    event_log,
    gateway_process,
    narrow_reader,
    reader,
    token,
)
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, http_status
from tests.support.servers import NatsFactory
from tests.support.wait import eventually

pytestmark = pytest.mark.nats

Keep = Callable[[ManagedProcess], ManagedProcess]


async def test_it_starts_before_its_broker_and_stops_in_order(
    nats_factory: NatsFactory, tmp_path: Path, keep: Keep
) -> None:
    """Started while NATS is away it waits, is ready once streams are there, drains and ends with 0 on SIGTERM."""
    server = nats_factory()
    server.stop()
    port = free_port()
    process = keep(gateway_process(tmp_path, port, INKWIRE_NATS_URL=server.url, INKWIRE_STOP_TIMEOUT_S="20"))
    process.start()
    await eventually(lambda: "nats error" in process.log, what="the gateway finds nobody")
    server.start()
    async with event_log(server.url) as log:

        async def ready() -> bool:
            status, _ = await asyncio.to_thread(http_status, f"http://127.0.0.1:{port}/readyz")
            return status == 200

        await eventually(ready, what="the gateway is ready", timeout_s=30, ignoring=(OSError,))
        author = Author(log)
        await author.whole()
        async with reader(port, token()) as r:
            await r.follow(author.channel)
            ended = asyncio.create_task(asyncio.to_thread(process.term))
            assert await close_code(r) == 4200
            assert await ended == 0
    assert "Traceback" not in process.log and token()[:20] not in process.log


async def test_slow_reader_on_the_loop_of_the_process(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """On the loop that the process runs on, too, a sleeping reader is merged for and gets every character once."""
    port = free_port()
    ring = {"INKWIRE_GATEWAY_RING_BYTES": str(8 * 1024**2)}
    process = keep(gateway_process(tmp_path, port, INKWIRE_NATS_URL=nats_url, **ring))
    async with event_log(nats_url) as log:
        process.start()
        await eventually(lambda: '"ready"' in process.log, what="the gateway is ready", timeout_s=30)
        author = Author(log)
        names = [f"s{n}" for n in range(6)]
        await author.begin(*names)
        async with narrow_reader(port, token()) as slow, reader(port, token()) as fast:
            await slow.follow(author.channel)
            await fast.follow(author.channel)
            for name in names:
                await author.open_section(name)
                for n in range(25):
                    await author.chunk(f"{n:06}" + "é" * 2_000)
                await author.complete()
            await author.publish()
            await fast.read_to_end(author.channel)
            end = await slow.read_to_end(author.channel)
            assert document(end) == document(fast.snapshots[author.channel]) == author.text
            assert slow.exact and fast.exact
            assert any("first_seq" in f.get("event", {}) for f in slow.frames), "it was slow enough to be merged for"


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"INKWIRE_JWT_KEYS": ""}, "INKWIRE_JWT_KEYS"),
        ({"INKWIRE_GATEWAY_PORT": "many"}, "INKWIRE_GATEWAY_PORT"),
        ({"INKWIRE_GATEWAY_PING_INTERVAL_S": "0"}, "INKWIRE_GATEWAY_PING_INTERVAL_S"),
        ({"INKWIRE_STORE_URL": "redis://x"}, "INKWIRE_STORE_URL"),
        ({"INKWIRE_STOP_TIMEOUT_S": "3.5", "INKWIRE_GATEWAY_WORKERS": "2"}, "INKWIRE_GATEWAY_DRAIN_S: 1.5 s and "),
        ({"INKWIRE_GATEWAY_CLOSE_TIMEOUT_S": "2.5"}, "must be less than INKWIRE_STOP_TIMEOUT_S (4 s)"),
    ],
    ids=["keys", "port", "interval", "store", "a group's stop", "a longer close"],
)
async def test_a_wrong_setting_is_one_line(tmp_path: Path, keep: Keep, changes: dict[str, str], names: str) -> None:
    """A wrong setting ends the process with one line that names the variable."""
    process = keep(gateway_process(tmp_path, free_port(), **changes))
    process.start()
    await eventually(lambda: not process.running, what="the gateway has ended")
    assert process.returncode == 78
    assert len(process.lines) == 1 and names in process.lines[0]
    assert SECRET not in process.log


async def test_a_port_that_is_taken_is_one_line(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """It names the address and ends with EX_UNAVAILABLE."""
    async with event_log(nats_url):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            process = keep(gateway_process(tmp_path, port, INKWIRE_NATS_URL=nats_url))
            process.start()
            await eventually(lambda: not process.running, what="the gateway has ended")
    assert process.returncode == 69
    assert "Traceback" not in process.log
    assert any("cannot start" in line and str(port) in line for line in process.lines)
