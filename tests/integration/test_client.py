"""The Python client against a server that plays scripts: every way in which a connection can end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import WSMsgType, web

from inkwire.client import Client, ClientError, Unavailable
from inkwire.following import DigestMismatch, Update
from inkwire_contracts.client_frames import Position
from inkwire_contracts.events import Event
from inkwire_contracts.fold import Snapshot, document, fold_all
from tests.support.post_logs import PostLog, text_of, whole_post

EPOCH = "2026-11-21T00:00:00Z"
Frame = dict[str, Any]


@dataclass
class Connection:
    """One scripted connection: what is sent after the subscribe, and how it ends (None: cut without a close frame)."""

    frames: Sequence[Frame]
    close: int | None = None


@dataclass
class FakeServer:
    """Plays one script after the other and writes down what it was asked."""

    scripts: list[Connection] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    subscribed: list[Frame] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    answers: list[tuple[int, Frame]] = field(default_factory=list)
    url: str = ""
    minted: int = 0

    async def mint(self, _request: web.Request) -> web.Response:
        self.minted += 1
        return web.json_response({"token": f"t{self.minted}"})

    async def create(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        status, body = self.answers.pop(0)
        return web.json_response(body, status=status)

    async def socket(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers["Sec-WebSocket-Protocol"].partition("token.")[2])
        if not self.scripts:
            return web.Response(status=503)
        script = self.scripts.pop(0)
        socket = web.WebSocketResponse(protocols=["inkwire.v1"])
        await socket.prepare(request)
        message = await socket.receive()
        assert message.type is WSMsgType.TEXT
        self.subscribed.append(message.json())
        for frame in script.frames:
            await socket.send_json(frame)
        if script.close is not None:
            await socket.close(code=script.close)
        elif request.transport is not None:
            request.transport.close()
        return socket


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    """A fake on a free port."""
    fake = FakeServer()
    app = web.Application()
    app.router.add_post("/tokens", fake.mint)
    app.router.add_post("/posts", fake.create)
    app.router.add_get("/ws", fake.socket)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


def snapshot_frames(log: PostLog, seq: int) -> list[Frame]:
    """A catch-up at a place."""
    snapshot = Snapshot(post=log.post)
    fold_all(snapshot, log.events[:seq])
    channel = f"post:{log.post}"
    head = snapshot.model_dump(mode="json")
    for section in head["sections"]:
        section["text"] = ""
    texts = [
        {"type": "text", "channel": channel, "section": s.section, "start": 0, "end": s.length, "text": s.text}
        for s in snapshot.sections
        if s.text
    ]
    return [
        {"type": "subscribed", "channel": channel, "recovered": False},
        {"type": "snapshot", "channel": channel, "epoch": EPOCH, "snapshot": head},
        *texts,
        live(log, seq),
    ]


def live(log: PostLog, seq: int) -> Frame:
    """The end of a catch-up."""
    return {"type": "live", "channel": f"post:{log.post}", "position": {"epoch": EPOCH, "seq": seq}}


def recovered(log: PostLog, after: int, until: int) -> list[Frame]:
    """What a reader with a position gets."""
    channel = f"post:{log.post}"
    head = {"type": "subscribed", "channel": channel, "recovered": True}
    return [head, *events(log, log.events[after:until]), live(log, until)]


def events(log: PostLog, chosen: Sequence[Event]) -> list[Frame]:
    """Live events."""
    channel = f"post:{log.post}"
    return [
        {"type": "event", "channel": channel, "name": event.name, "event": event.model_dump(mode="json")}
        for event in chosen
    ]


async def follow(server: FakeServer, log: PostLog, **arguments: Any) -> list[Update]:
    """Follow to the end."""
    async with (
        Client(server.url, jitter=lambda: 0.0, **arguments) as client,
        contextlib.aclosing(client.follow(log.post)) as updates,
    ):
        return [update async for update in updates]


async def test_follows_to_the_end(server: FakeServer) -> None:
    """Snapshot, events, published: the text is whole and nothing was lost."""
    log = whole_post()
    server.scripts = [Connection([*snapshot_frames(log, 8), *events(log, log.events[8:])], 1000)]
    seen = await follow(server, log)
    assert document(seen[-1].snapshot) == text_of()
    assert [update.kind for update in seen] == ["replaced"] + ["event"] * (log.seq - 8)


@pytest.mark.parametrize("close", [None, 1001, 1006, 1012, 4100, 4102, 4104, 4105, 4200])
async def test_resumes_from_its_position(server: FakeServer, close: int | None) -> None:
    """After a loss it asks for what is newer than it has, and what it folds is the whole text."""
    log = whole_post()
    wire = None if close in (None, 1006) else close
    server.scripts = [
        Connection([*snapshot_frames(log, 5), *events(log, log.events[5:9])], wire),
        Connection(recovered(log, 9, log.seq), 1000),
    ]
    seen = await follow(server, log)
    assert document(seen[-1].snapshot) == text_of()
    assert "position" not in server.subscribed[0]
    assert server.subscribed[1]["position"] == {"epoch": EPOCH, "seq": 9}
    lost = next(update for update in seen if update.kind == "lost")
    assert lost.position == Position(epoch=EPOCH, seq=9)
    assert (lost.delay_s == 0) == (close == 4200)


@pytest.mark.parametrize("close", [1000, 4000, 4003])
async def test_final_close_codes_are_final(server: FakeServer, close: int) -> None:
    """The range that says "do not come back" is obeyed."""
    log = whole_post()
    server.scripts = [Connection(snapshot_frames(log, 5), close)]
    with pytest.raises(ClientError, match=str(close)):
        await follow(server, log)
    assert len(server.subscribed) == 1


@pytest.mark.parametrize("close", [4001, 4101])
async def test_refused_token_is_replaced_where_it_was_signed_in(server: FakeServer, close: int) -> None:
    """A client that signed in signs in again, and goes on from its place."""
    log = whole_post()
    server.scripts = [Connection(snapshot_frames(log, 5), close), Connection(recovered(log, 5, log.seq), 1000)]
    seen = await follow(server, log)
    assert document(seen[-1].snapshot) == text_of()
    assert server.tokens == ["t1", "t2"]


async def test_refused_token_that_was_given_is_an_error(server: FakeServer) -> None:
    """Nobody can renew a token that came from outside."""
    log = whole_post()
    server.scripts = [Connection([], 4001)]
    with pytest.raises(ClientError, match="new one"):
        await follow(server, log, token="given")
    assert server.tokens == ["given"]


async def test_gap_asks_again_from_the_position_and_then_for_all(server: FakeServer) -> None:
    """A missing event is asked for; if the answer has a hole too, the whole text is."""
    log = whole_post()
    hole = [*recovered(log, 5, 7), *events(log, log.events[8:])]
    server.scripts = [
        Connection([*snapshot_frames(log, 5), *events(log, log.events[6:])]),
        Connection(hole),
        Connection([*snapshot_frames(log, 4), *events(log, log.events[4:])], 1000),
    ]
    seen = await follow(server, log)
    assert server.subscribed[1]["position"] == {"epoch": EPOCH, "seq": 5}
    assert document(seen[-1].snapshot) == text_of()


async def test_nonsense_without_end_is_given_up(server: FakeServer) -> None:
    """A server whose answers never fit together is not asked for ever."""
    log = whole_post()
    broken = [frame for frame in snapshot_frames(log, 12) if frame["type"] != "text"]
    server.scripts = [Connection(broken) for _ in range(50)]
    with pytest.raises(ClientError, match="do not fit together"):
        await follow(server, log)
    assert len(server.scripts) > 30


async def test_unknown_frames_and_other_channels_are_ignored(server: FakeServer) -> None:
    """A newer server may say more than we know."""
    log, other = whole_post(), whole_post(2)
    strange = [{"type": "weather", "channel": f"post:{log.post}"}, *events(other, other.events[:1]), {"type": "pong"}]
    server.scripts = [Connection([*strange, *snapshot_frames(log, 5), *strange, *events(log, log.events[5:])], 1000)]
    assert document((await follow(server, log))[-1].snapshot) == text_of()


async def test_refused_channel_is_an_error(server: FakeServer) -> None:
    """A post that is not ours is not found, at once and for good."""
    log = whole_post()
    refusal = {"type": "error", "code": "not_found", "message": "Not found.", "channel": f"post:{log.post}"}
    server.scripts = [Connection([refusal])]
    with pytest.raises(ClientError) as raised:
        await follow(server, log)
    assert raised.value.code == "not_found"


async def test_server_at_fault_is_asked_again(server: FakeServer) -> None:
    """While the broker is away a subscribe is refused, and tried again."""
    log = whole_post()
    refusal = {"type": "error", "code": "broker_unavailable", "message": "Later.", "channel": f"post:{log.post}"}
    server.scripts = [
        Connection([refusal]),
        Connection([*snapshot_frames(log, 1), *events(log, log.events[1:])], 1000),
    ]
    assert document((await follow(server, log))[-1].snapshot) == text_of()


async def test_wrong_text_is_never_called_published(server: FakeServer) -> None:
    """A digest that does not match is an error in the end, whatever was shown."""
    log = PostLog()
    log.request()
    log.start()
    log.plan([("a", "")])
    log.write_section("a", "one")
    log.publish("two")
    server.scripts = [Connection(snapshot_frames(log, log.seq), 1000)]
    with pytest.raises(DigestMismatch):
        await follow(server, log)


async def test_outage_has_an_end(server: FakeServer) -> None:
    """Without any sign of life it gives up after its time, with the reason."""
    with pytest.raises(Unavailable, match="HTTP 503"):
        await follow(server, whole_post(), outage_s=0.0)


async def test_nobody_listens_is_unavailable() -> None:
    """A wrong address is told without a stack trace's words."""
    async with Client("http://127.0.0.1:9", token="t", outage_s=0.0, jitter=lambda: 0.0) as client:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
            await client.get_post("x")
        with pytest.raises(Unavailable):
            async for _ in client.follow(whole_post().post):
                pass


async def test_created_once_however_often_it_is_sent(server: FakeServer) -> None:
    """A request that was answered 503 is sent again under the same Idempotency-Key."""
    problem = {"code": "broker_unavailable", "detail": "Later."}
    server.answers = [(503, problem), (503, problem), (202, {"id": "p"})]
    async with Client(server.url, jitter=lambda: 0.0) as client:
        assert await client.create_post("Title") == {"id": "p"}
    assert len(server.keys) == 3
    assert len(set(server.keys)) == 1


async def test_refused_request_is_not_repeated(server: FakeServer) -> None:
    """A wrong request stays wrong; the problem's own words come through."""
    server.answers = [(422, {"code": "invalid_options", "detail": "length: too long"})]
    async with Client(server.url) as client:
        with pytest.raises(ClientError, match="length: too long") as raised:
            await client.create_post("Title")
    assert (raised.value.code, raised.value.status) == ("invalid_options", 422)


async def test_leaving_early_closes_the_connection(server: FakeServer) -> None:
    """Who stops listening leaves nothing behind."""
    log = whole_post()
    server.scripts = [Connection([*snapshot_frames(log, 5), *events(log, log.events[5:])], 1000)]
    before = len(asyncio.all_tasks())
    async with Client(server.url) as client, contextlib.aclosing(client.follow(log.post)) as updates:
        async for _ in updates:
            break
    assert len([task for task in asyncio.all_tasks() if "ClientConnection" in repr(task)]) == 0
    assert len(asyncio.all_tasks()) <= before + 1
