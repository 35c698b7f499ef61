"""The life of a connection: tokens that end, readers that are slow or dead, bounds, drain, the owner's channel."""

import asyncio
import base64
import os
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from inkwire_chassis.lifecycle import Supervisor
from inkwire_contracts.fold import Snapshot, document
from inkwire_contracts.views import summary
from inkwire_gateway.adapters import connection as connection_module
from inkwire_gateway.app import running
from inkwire_stores.ports import StoredPost
from tests.integration.gateway_support import (
    Author,
    HeldTime,
    World,
    close_code,
    event_log,
    narrow_reader,
    reader,
    settings,
    token,
    world,
)
from tests.support.processes import http_status
from tests.support.servers import NatsFactory
from tests.support.wait import eventually

pytestmark = pytest.mark.nats


async def test_token_expiry_closes(nats_url: str, tmp_path: Path) -> None:
    """When the token ends the connection is closed with a code that says to get a new one and come back."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token(lifetime_s=60)) as r:
        time = HeldTime(w.gateway)
        await r.until("welcome")
        time.advance(70)
        assert await close_code(r) == 4101


async def test_refresh_outlives_the_first_token(nats_url: str, tmp_path: Path) -> None:
    """A refreshed connection goes on beyond the end of the token it began with."""
    async with (
        world(nats_url, tmp_path) as w,
        reader(w.port, token(lifetime_s=60)) as r,
        reader(w.port, token(lifetime_s=60)) as control,
    ):
        time = HeldTime(w.gateway)
        author = Author(w.log)
        await author.begin("s")
        await r.follow(author.channel)
        await r.send(type="refresh", token=token(), id=5)
        assert (await r.until("refreshed", id=5))["expires_at"] > "2026"
        await control.until("welcome")
        time.advance(70)
        assert await close_code(control) == 4101, "the first token has ended by now"
        await author.open_section("s")
        await r.until("event", name="section.started")
        assert r.exact


async def test_no_token_in_time(nats_url: str, tmp_path: Path) -> None:
    """Who does not say who it is is closed."""
    async with world(nats_url, tmp_path, authenticate_timeout_s=0.2) as w, reader(w.port) as r:
        assert await close_code(r) == 4002


async def test_connections_are_bounded(nats_url: str, tmp_path: Path) -> None:
    """In all and for each owner, with a code that says to wait; who leaves makes room."""
    async with world(nats_url, tmp_path, max_connections=3, max_owner_connections=1) as w:
        async with reader(w.port, token("ada")) as ada:
            await ada.until("welcome")
            async with reader(w.port, token("ada")) as second:
                assert await close_code(second) == 4100
            async with reader(w.port, token("eve")) as eve, reader(w.port, token("bob")) as bob:
                await eve.until("welcome")
                await bob.until("welcome")
                async with reader(w.port, token("joe")) as joe:
                    assert await close_code(joe) == 4100
        await eventually(lambda: w.gateway.server.count.total == 0, what="all are gone")
        async with reader(w.port, token("ada")) as again:
            await again.until("welcome")


async def test_too_many_frames(nats_url: str, tmp_path: Path) -> None:
    """A client that sends without end is closed."""
    async with world(nats_url, tmp_path, frames_per_s=0.01, frame_burst=5) as w, reader(w.port, token()) as r:
        for _ in range(6):
            await r.send(type="ping")
        assert await close_code(r) == 4103


async def silent_socket(port: int, jwt: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket by hand, that answers nothing after the handshake."""
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /ws HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {jwt}",
    ]
    outgoing.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert b"101" in await incoming.readline()
    while await incoming.readline() != b"\r\n":
        pass
    return incoming, outgoing


def frames_of(data: bytes) -> list[Frame]:
    """All frames in a server's bytes."""
    parser = StreamReader()
    parser.feed_data(data)
    parser.feed_eof()
    frames: list[Frame] = []
    while parser.buffer:
        parsing = Frame.parse(parser.read_exact, mask=False)
        try:
            while True:
                next(parsing)
        except StopIteration as done:
            frames.append(done.value)
    return frames


async def test_dead_client_is_closed(nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers no ping is closed and cut; a client that answers stays."""
    limits = {"ping_interval_s": 20, "pong_timeout_s": 20, "close_timeout_s": 0.3}
    async with world(nats_url, tmp_path, **limits) as w, reader(w.port, token()) as alive:
        time = HeldTime(w.gateway)
        monkeypatch.setattr(connection_module, "monotonic", time.monotonic_s)
        await alive.until("welcome")
        incoming, outgoing = await silent_socket(w.port, token())
        await eventually(lambda: len(w.gateway.server.clients) == 2, what="both are there")
        time.advance(21)
        heard = [client._connection for client in w.gateway.server.clients.values()]
        await eventually(lambda: max(each.heard_s for each in heard) == time.monotonic_s(), what="one has answered")
        time.advance(21)
        frames = frames_of(await incoming.read())
        assert [f.opcode for f in frames] == [Opcode.TEXT, Opcode.PING, Opcode.CLOSE]
        assert int.from_bytes(bytes(frames[-1].data)[:2], "big") == 4104
        outgoing.close()
        await alive.send(type="ping", id=1)
        await alive.until("pong", id=1)


async def flood(author: Author, chunks: int, size: int = 2_000) -> None:
    """Much text, faster than a sleeping client takes it."""
    for n in range(chunks):
        await author.chunk(f"{n:06}" + "é" * size)


async def test_slow_reader_gets_merged_text(nats_url: str, tmp_path: Path) -> None:
    """A reader that sleeps gets what it missed in fewer frames, exactly; others are not held up."""
    async with world(nats_url, tmp_path, ring_bytes=8 * 1024**2) as w:
        author = Author(w.log)
        await author.begin("s0", "s1", "s2", "s3", "s4", "s5")
        async with narrow_reader(w.port, token()) as slow, reader(w.port, token()) as fast:
            await slow.follow(author.channel)
            await fast.follow(author.channel)
            for name in ("s0", "s1", "s2", "s3", "s4", "s5"):
                await author.open_section(name)
                await flood(author, 25)
                await author.complete()
            await author.publish()
            await fast.read_to_end(author.channel)
            assert document(fast.snapshots[author.channel]) == author.text and fast.exact
            end = await slow.read_to_end(author.channel)
            assert document(end) == author.text and slow.exact
            merged = [f for f in slow.frames if f["type"] == "event" and "first_seq" in f["event"]]
            assert merged, "it was slow enough to be merged for"
            assert [f["type"] for f in slow.frames].count("snapshot") == 1


async def test_very_slow_reader_gets_a_snapshot(nats_url: str, tmp_path: Path) -> None:
    """Where the ring does not reach back any more a new snapshot comes, and the reader goes on from there."""
    async with world(nats_url, tmp_path, ring_events=10) as w:
        author = Author(w.log)
        await author.begin("s0", "s1", "s2", "s3", "s4", "s5")
        async with narrow_reader(w.port, token()) as slow:
            await slow.follow(author.channel)
            for name in ("s0", "s1", "s2", "s3", "s4", "s5"):
                await author.open_section(name)
                await flood(author, 25)
                await author.complete()
            await eventually(lambda: w.gateway.hub.channels["ada", author.channel].ring.head == author.truth.seq,
                             what="the gateway has it all")  # fmt: skip
            while [f["type"] for f in slow.frames].count("snapshot") < 2:
                await slow.next()
            await author.publish()
            end = await slow.read_to_end(author.channel)
            assert document(end) == author.text and slow.exact


async def test_reader_that_takes_nothing_is_closed(nats_url: str, tmp_path: Path) -> None:
    """Beyond the bound in time a reader that takes nothing is cut, and can resume."""
    async with world(nats_url, tmp_path, slow_timeout_s=0.5, close_timeout_s=0.3) as w:
        author = Author(w.log)
        await author.begin("s0", "s1", "s2")
        async with narrow_reader(w.port, token()) as slow:
            await slow.follow(author.channel)
            for name in ("s0", "s1", "s2"):
                await author.open_section(name)
                await flood(author, 30)
                await author.complete()
            await eventually(lambda: not w.gateway.server.clients, what="the reader is cut")
        await author.publish()
        async with reader(w.port, token()) as again:
            again.snapshots[author.channel] = slow.snapshots[author.channel]
            await again.follow(author.channel, slow.positions[author.channel])
            assert again.recovered[author.channel] and again.exact
            assert document(again.snapshots[author.channel]) == author.text


async def test_drain(nats_url: str, tmp_path: Path) -> None:
    """A stopping gateway closes everybody with the code that says: come back now; another one resumes them exactly."""
    async with event_log(nats_url) as log:
        supervisor = Supervisor()
        author = Author(log)
        await author.begin("s")
        await author.open_section("s")
        async with world(nats_url, tmp_path) as other:
            async with running(settings(nats_url, tmp_path), supervisor) as gateway:
                sockets = [await _follow(gateway.port, author) for _ in range(30)]
                supervisor.request_stop("test")
            for r, leave in sockets:
                assert await close_code(r) == 4200
                await leave()
            await author.chunk("meanwhile")
            for r, _ in sockets[:5]:
                await _resume(other, author, r.snapshots[author.channel], r.positions[author.channel])
        await supervisor.cancel_all()


async def _follow(port: int, author: Author):  # type: ignore[no-untyped-def]
    context = reader(port, token())
    r = await context.__aenter__()
    await r.follow(author.channel)
    return r, lambda: context.__aexit__(None, None, None)


async def _resume(w: World, author: Author, state: Snapshot, place: dict[str, object]) -> None:
    async with reader(w.port, token()) as r:
        r.snapshots[author.channel] = state
        await r.follow(author.channel, place)
        assert r.recovered[author.channel] and r.exact and document(state) == "meanwhile"


async def test_draining_gateway_takes_nobody(nats_url: str, tmp_path: Path) -> None:
    """While it drains it is alive, not ready, and lets nobody in."""
    async with world(nats_url, tmp_path) as w:
        base = f"http://127.0.0.1:{w.port}"
        assert (await asyncio.to_thread(http_status, f"{base}/livez"))[0] == 200
        status, body = await asyncio.to_thread(http_status, f"{base}/readyz")
        assert status == 200 and '"nats": "ok"' in body and '"store": "ok"' in body
        w.gateway.health.draining = True
        assert (await asyncio.to_thread(http_status, f"{base}/livez"))[0] == 200
        assert (await asyncio.to_thread(http_status, f"{base}/readyz"))[0] == 503
        with pytest.raises(InvalidStatus) as refused:
            async with reader(w.port, token()):
                raise AssertionError("it was let in")
        assert refused.value.response.status_code == 503
        assert (await asyncio.to_thread(http_status, f"{base}/else"))[0] == 404


async def test_broker_restarts_while_it_is_written(nats_factory: NatsFactory, tmp_path: Path) -> None:
    """The broker is killed in the middle of a text and comes back: the reader sees all of it, once."""
    server = nats_factory()
    async with world(server.url, tmp_path, silence_s=0.5) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("s")
        await author.open_section("s")
        await r.follow(author.channel)
        for n in range(60):
            await author.chunk(f"{n} ")
            if n in (20, 40):
                await asyncio.to_thread(server.kill9)
                server.start()
        await author.complete()
        await author.publish()
        end = await r.read_to_end(author.channel)
        assert document(end) == author.text and r.exact


async def test_unavailable_broker_is_told(nats_factory: NatsFactory, tmp_path: Path) -> None:
    """A subscribe that the broker cannot serve is refused within a bounded time, and works when it is back."""
    server = nats_factory()
    async with world(server.url, tmp_path, load_timeout_s=0.5) as w, reader(w.port, token()) as r:
        author = Author(w.log)
        await author.begin("s")
        server.stop()
        await r.send(type="subscribe", channel=author.channel, id=1)
        await r.until("error", code="broker_unavailable", id=1)
        server.start()

        async def joined() -> bool:
            await r.send(type="subscribe", channel=author.channel)
            while (frame := await r.next())["type"] not in ("error", "live"):
                pass
            return bool(frame["type"] == "live")

        await eventually(joined, what="the post can be followed again", timeout_s=20)


async def test_owners_channel(nats_url: str, tmp_path: Path) -> None:
    """The list of posts, then lifecycle events of all of them and nothing else."""
    async with world(nats_url, tmp_path) as w, reader(w.port, token()) as r, reader(w.port, token("eve")) as eve:
        old = Author(w.log)
        await old.whole()
        place = (await w.log.read(old.owner, old.post))[-1].stream_seq
        assert await w.store.put(StoredPost(old.truth, place, await w.log.epoch(), old.text), expected_seq=0)
        await r.send(type="subscribe", channel="user:ada")
        assert (await r.until("subscribed"))["recovered"] is False
        assert (await r.until("posts"))["items"] == [summary(old.truth).model_dump(mode="json")]
        await eve.send(type="subscribe", channel="user:eve")
        assert (await eve.until("posts"))["items"] == []
        new = Author(w.log)
        await new.whole()
        names = []
        while "post.published" not in names:
            frame = await r.next()
            if frame["type"] == "event":
                assert frame["channel"] == "user:ada" and frame["event"]["post"] == new.post
                names.append(frame["name"])
        assert names == ["generate.requested", "generation.started", "post.planned", "post.published"]
        await eve.send(type="ping")
        await eve.until("pong")
        assert "event" not in [f["type"] for f in eve.frames]
