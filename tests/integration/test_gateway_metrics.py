"""The admin port of a gateway with readers: its numbers are what the test did, and it answers until the end."""

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from inkwire_chassis.lifecycle import Supervisor
from inkwire_gateway.app import running
from tests.integration.gateway_support import (
    Author,
    HeldTime,
    Reader,
    World,
    close_code,
    event_log,
    narrow_reader,
    reader,
    settings,
    token,
    world,
)
from tests.support.ports import free_port
from tests.support.processes import http_status
from tests.support.wait import eventually

pytestmark = pytest.mark.nats

ROOT: Final = Path(__file__).resolve().parents[2]
CHUNKS: Final = 12
MOST_BYTES: Final = 2**20
CATCH_UP: Final = ("subscribed", "snapshot", "text", "data", "live")


async def _metrics(port: int) -> dict[str, float]:
    """Sample -> value as a monitor reads it; labels in brackets, without the common prefix."""
    status, body = await asyncio.to_thread(
        partial(http_status, most_bytes=MOST_BYTES), f"http://127.0.0.1:{port}/metrics"
    )
    assert status == 200
    found = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            label = f"[{','.join(sample.labels.values())}]" if sample.labels else ""
            found[sample.name.removeprefix("inkwire_gateway_") + label] = sample.value
    return found


def _events(client: Reader) -> tuple[int, int]:
    """Frames of events that a client got, and the events in them."""
    events = [frame["event"] for frame in client.frames if frame["type"] == "event"]
    return len(events), sum(event["seq"] - event.get("first_seq", event["seq"]) + 1 for event in events)


def _documented() -> set[str]:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8").partition("## Metrics of the gateway")[2]
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))


async def _write_for(author: Author, *clients: Reader) -> None:
    """Some text, until all these have it."""
    for n in range(CHUNKS):
        await author.chunk(f"{n:04} ")
    for client in clients:
        while client.snapshots[author.channel].seq < author.truth.seq:
            await client.next()


async def test_numbers_are_what_happened(nats_url: str, tmp_path: Path) -> None:
    """Two readers who keep up, one who comes back, one turned away, one closed: each is counted once, as what it is."""
    admin = free_port()
    async with world(nats_url, tmp_path, admin_port=admin) as w:
        told = await _metrics(admin)
        assert _documented() <= {re.sub(r"(_bucket|_count|_sum)?(\[.*\])?$", "", name) for name in told}
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        async with reader(w.port, token()) as one, reader(w.port, token()) as two:
            await one.follow(author.channel)
            await two.follow(author.channel)
            await _write_for(author, one, two)
            await _come_back(w, author.channel, one)
            await _misbehave(w)
            await eventually(lambda: len(w.gateway.server.clients) == 2, what="the others are gone")
            seen = await _metrics(admin)
        frames, events = (sum(numbers) for numbers in zip(_events(one), _events(two), strict=True))
        assert (seen["frames_total[current]"], seen["deliveries_total[current]"]) == (frames, events)
        assert events == 2 * CHUNKS and seen["frame_bytes_total[current]"] > 100 * frames
        assert seen["deliveries_total[behind]"] == seen["frames_total[behind]"] == 0
        joins = sum(frame["type"] in CATCH_UP for client in (one, two) for frame in client.frames)
        assert seen["catch_up_frames_total"] == joins + 2 and seen["catch_up_bytes_total"] > 100 * joins
        assert seen["events_total"] >= CHUNKS
        assert (seen["connections[open]"], seen["connections[closing]"], seen["connections_limit"]) == (2, 0, 10_000)
        assert seen["handshakes_total"] == 4
        assert (seen["subscriptions[post]"], seen["channels[post]"], seen["channels[user]"]) == (2, 1, 0)
        assert seen["ring_bytes"] > 50 * CHUNKS
        assert (seen["joins_total[loaded]"], seen["joins_total[memory]"]) == (1, 2)
        assert (seen["loads_total[log]"], seen["loads_total[store]"]) == (1, 0)
        assert (seen["resumes_total[memory]"], seen["recovered_total"]) == (1, 1)
        assert (seen["closes_total[1009]"], seen["refusals_total[origin]"], seen["refusals_total[path]"]) == (1, 1, 1)
        assert 1 <= seen["event_to_socket_seconds_count"] <= seen["events_total"]
        assert 0 <= seen["event_to_socket_seconds_sum"] < 60
        assert (seen["nats_connected"], seen["nats_reconnects_total"]) == (1, 0)
        assert seen["nats_received_messages_total"] >= CHUNKS
        await eventually(lambda: sum(w.gateway.metrics.loop_lag.counts), what="the loop is sampled")


async def _come_back(w: World, channel: str, before: Reader) -> None:
    async with reader(w.port, token()) as back:
        back.snapshots[channel] = before.snapshots[channel]
        await back.follow(channel, before.positions[channel])
        assert back.recovered[channel]


async def _misbehave(w: World) -> None:
    """Send too large a frame; come from a foreign page; look for metrics at the public port."""
    async with reader(w.port, token()) as large:
        await large.until("welcome")
        await large.socket.send("x" * 20_000)
        assert await close_code(large) == 1009
    with pytest.raises(InvalidStatus):
        async with reader(w.port, token(), origin="https://foreign.example"):
            raise AssertionError("it was let in")
    status, _ = await asyncio.to_thread(http_status, f"http://127.0.0.1:{w.port}/metrics")
    assert status == 404


async def test_a_slow_reader_shows(nats_url: str, tmp_path: Path) -> None:
    """Who takes nothing is counted as behind, with its bytes, and no more once it is closed for that."""
    admin = free_port()
    async with world(nats_url, tmp_path, admin_port=admin, slow_timeout_s=60, close_timeout_s=0.3) as w:
        author, time = Author(w.log), HeldTime(w.gateway)
        await author.begin("s")
        await author.open_section("s")
        async with narrow_reader(w.port, token()) as slow:
            await slow.follow(author.channel)
            for n in range(60):
                await author.chunk(f"{n:06}" + "é" * 2_000)
            await eventually(lambda: len(w.gateway.server.waiting) == 1, what="its socket is full")
            seen = await _metrics(admin)
            assert (seen["readers_behind"], seen["fell_behind_total"]) == (1, 1)
            assert 0 < seen["queue_bytes"] <= seen["queue_limit_bytes"]
            time.advance(61)
            await eventually(lambda: not w.gateway.server.clients, what="it is cut")
        seen = await _metrics(admin)
        assert (seen["readers_behind"], seen["queue_bytes"], seen["closes_total[4102]"]) == (0, 0, 1)
        assert (seen["connections[open]"], seen["connections[closing]"]) == (0, 0)


async def test_the_admin_port_answers_through_the_drain(nats_url: str, tmp_path: Path) -> None:
    """While readers are moved away it says that it is not ready, and goes on telling numbers."""
    admin = free_port()
    supervisor = Supervisor()
    leave = asyncio.Event()

    async def life() -> None:
        chosen = settings(nats_url, tmp_path, admin_port=admin, close_timeout_s=60.0, stop_timeout_s=90.0)
        async with running(chosen, supervisor) as gateway:
            port.set_result(gateway.port)
            await leave.wait()
            supervisor.request_stop("the test ends")

    async with event_log(nats_url):
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        living = asyncio.create_task(life())
        incoming, outgoing = await asyncio.open_connection("127.0.0.1", await port)
        try:
            await _shake_hands(incoming, outgoing)
            assert await _ready(admin) == 200
            leave.set()
            await eventually(lambda: _is(503, admin), what="it is not ready any more")
            await eventually(lambda: _closing(admin), what="the reader is told to go")
            seen = await _metrics(admin)
            assert (seen["draining"], seen["closes_total[4200]"]) == (1, 1)
            assert (await asyncio.to_thread(http_status, f"http://127.0.0.1:{admin}/livez"))[0] == 200
        finally:
            leave.set()
            outgoing.close()
            await living
        await supervisor.cancel_all()
        assert supervisor.failure is None


async def _ready(port: int) -> int:
    return (await asyncio.to_thread(http_status, f"http://127.0.0.1:{port}/readyz"))[0]


async def _is(status: int, port: int) -> bool:
    return await _ready(port) == status


async def _closing(port: int) -> bool:
    return (await _metrics(port))["connections[closing]"] == 1


async def _shake_hands(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    """A client by hand, which never answers a Close frame."""
    outgoing.write(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: inkwire.v1\r\n\r\n"
    )
    assert (await incoming.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")


async def test_without_an_admin_port_nothing_more_listens(nats_url: str, tmp_path: Path) -> None:
    """The default opens no second port and measures nothing for it."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r:
        await r.until("welcome")
        assert sum(w.gateway.metrics.loop_lag.counts) == 0
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert "sweep" in names and not names & {"admin", "loop lag"}
