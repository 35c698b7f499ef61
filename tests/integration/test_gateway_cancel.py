"""Cancelling by a frame: a real gateway before a real api and broker, and before what only claims to be an api."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from inkwire_contracts.errors import ERROR_CODES
from inkwire_contracts.fold import document
from inkwire_contracts.topology import EVENTS
from inkwire_gateway.app import Running
from tests.integration.gateway_support import Reader, World, reader, running_gateway, settings, world
from tests.integration.gateway_support import token as gateway_token
from tests.support.api import KEYS, Api, open_api, token
from tests.support.generator import generator_settings, running_generator, until, until_final, until_idle
from tests.support.log import ScriptedWriter, make_job
from tests.support.sim import SimServer
from tests.support.wait import eventually

pytestmark = pytest.mark.nats


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path, max_open_posts=1_000) as opened:
        yield opened


@pytest_asyncio.fixture
async def gateway(api: Api, nats_url: str, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway that knows the api and shares its keys."""
    async with running_gateway(settings(nats_url, tmp_path, jwt_keys=KEYS, api_url=api.base_url)) as running:
        yield running


async def created(api: Api) -> str:
    answer = await api.create()
    assert answer.status == 202
    return str(answer.json["id"])


async def asked(r: Reader, post: str, **fields: Any) -> dict[str, Any]:
    """Send ``cancel`` and wait for its answer."""
    await r.send(type="cancel", channel=f"post:{post}", **fields)
    while True:
        frame = await r.next()
        if frame["type"] in ("cancelling", "error") and frame["id"] == fields.get("id"):
            return frame


async def wishes(api: Api) -> int:
    """How many wishes to cancel are stored."""
    info = await api.log.jetstream.api(f"STREAM.INFO.{EVENTS}", {"subjects_filter": "cancels.>"})
    return sum((info["state"].get("subjects") or {}).values())


async def test_a_post_is_cancelled_without_following_it(api: Api, gateway: Running) -> None:
    """The wish is stored before the answer, a second one changes nothing, and the next run is left alone."""
    post = await created(api)
    async with reader(gateway.port, token()) as r:
        first = await asked(r, post, run=1, id=1)
        assert first == {
            "type": "cancelling", "channel": f"post:{post}", "run": 1, "status": "cancelled", "accepted": True, "id": 1,
        }  # fmt: skip
        assert await wishes(api) == 1
        assert await asked(r, post, id=2) == {**first, "accepted": False, "id": 2}
        assert (await api.ask("POST", f"/posts/{post}/retry")).status == 202
        late = await asked(r, post, run=1, id=3)
        assert (late["run"], late["status"], late["accepted"]) == (2, "queued", False)
        assert (await asked(r, post, run=3, id=4))["code"] == "not_found"
        assert await wishes(api) == 1
        meant = await asked(r, post, run=2, id=5)
        assert (meant["run"], meant["accepted"]) == (2, True)
    log = await api.log.read("ana", post)
    assert [e.event.run for e in log if e.event.type == "cancelled"] == [1, 2]


async def test_the_one_who_follows_sees_the_end(api: Api, gateway: Running, nats_url: str, tmp_path: Path) -> None:
    """While text streams: the answer, then the cancelled event; the model's socket is closed, the text is kept."""
    with SimServer() as sim:
        sim.stall()
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            post = await created(api)
            job = make_job("ana", post=post)
            async with reader(gateway.port, token()) as r:
                await r.follow(f"post:{post}")
                await until(api.log, job, "the introduction grows", lambda state: len(document(state)) > 60)
                await sim.until_stalled()
                assert (await asked(r, post, id=1))["accepted"] is True
                shown = await r.read_to_end(f"post:{post}")
                assert r.exact
            stored = await until_final(api.log, job)
            await until_idle(api.log)
        await sim.until_left()
    assert shown.status == "cancelled"
    assert [(s.section, s.text) for s in shown.sections] == [(s.section, s.text) for s in stored.sections]


async def test_a_reader_who_leaves_cancels_nothing(api: Api, gateway: Running, nats_url: str, tmp_path: Path) -> None:
    """The only reader goes in the middle, by closing and by breaking off; the post is written to its end."""
    with SimServer(tokens_per_s=40) as sim:
        async with running_generator(generator_settings(nats_url, sim, tmp_path)):
            post = await created(api)
            job = make_job("ana", post=post)
            async with reader(gateway.port, token()) as r:
                await r.follow(f"post:{post}")
                await r.until("event", name="chunk.produced")
            async with reader(gateway.port, token()) as r:
                await r.follow(f"post:{post}")
                r.socket.transport.abort()
            await eventually(lambda: gateway.server.count.total == 0, what="nobody is there any more")
            sim.set_speed(tokens_per_s=0)
            snapshot = await until(api.log, job, "it has ended", lambda state: state.is_final)
            await until_idle(api.log)
    assert snapshot.status == "published" and await wishes(api) == 0


async def test_who_may_not_cancel(api: Api, gateway: Running) -> None:
    """Another owner's post is not found, like one that never was; scope and channels of the token count."""
    post, other = await created(api), await created(api)
    async with reader(gateway.port, token("ben")) as r:
        assert (await asked(r, post, id=1))["code"] == "not_found"
        assert (await asked(r, make_job().post, id=2))["code"] == "not_found"
    async with reader(gateway.port, token(scopes=("post:read", "post:write"))) as r:
        refused = await asked(r, post, id=1)
        assert (refused["code"], refused["params"]) == ("forbidden", {"scope": "post:cancel"})
    async with reader(gateway.port, token(channels=(f"post:{post}",))) as r:
        assert (await asked(r, other, id=1))["code"] == "forbidden_channel"
        assert await wishes(api) == 0
        assert (await asked(r, post, id=2))["status"] == "cancelled"
    assert [e.event.type for e in await api.log.read("ana", other)] == ["requested"]


async def test_the_refreshed_token_is_the_one_that_counts(api: Api, gateway: Running) -> None:
    """A token without the scope is replaced in place by one that has it, and the other way round."""
    post = await created(api)
    reading = token(scopes=("post:read",))
    async with reader(gateway.port, reading) as r:
        assert (await asked(r, post, id=1))["code"] == "forbidden"
        await r.send(type="refresh", token=token(), id=2)
        await r.until("refreshed", id=2)
        assert (await asked(r, post, id=3))["accepted"] is True
        await r.send(type="refresh", token=reading, id=4)
        await r.until("refreshed", id=4)
        assert (await asked(r, post, id=5))["code"] == "forbidden"


async def test_many_cancels_at_once_end_a_run_once(api: Api, gateway: Running) -> None:
    """From two connections, frames and requests together: one wish, one end, and every answer says the same."""
    post = await created(api)
    async with reader(gateway.port, token()) as one, reader(gateway.port, token()) as two:
        for n in range(3):
            await one.send(type="cancel", channel=f"post:{post}", id=n)
            await two.send(type="cancel", channel=f"post:{post}", id=n)
        assert (await api.ask("POST", f"/posts/{post}/cancel")).status in (200, 202)
        for r in (one, two):
            for _ in range(3):
                assert (await r.until("cancelling"))["run"] == 1
            assert {f["id"] for f in r.frames if f["type"] == "cancelling"} == set(range(3))
    assert [e.event.type for e in await api.log.read("ana", post)] == ["requested", "cancelled"]
    assert await wishes(api) == 1


async def test_a_post_that_was_deleted_and_one_that_has_ended(api: Api, gateway: Running) -> None:
    """The api's words reach the client: gone for the one, not accepted for the other."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "text")
    await writer.publish()
    gone = await created(api)
    assert (await api.ask("DELETE", f"/posts/{gone}")).status == 204
    before = await wishes(api)
    async with reader(gateway.port, token()) as r:
        ended = await asked(r, writer.job.post, id=1)
        assert (ended["status"], ended["accepted"]) == ("published", False)
        assert (await asked(r, gone, id=2))["code"] == "gone"
    assert await wishes(api) == before
    assert (await api.log.read("ana", writer.job.post))[-1].event.type == "published"


# -- what only claims to be an api ---------------------------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
POST = "q" * 26


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """A web server whose every answer is the handler's; its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def problem(code: str, **members: Any) -> str:
    return json.dumps({"type": "x", "title": "Secret title", "status": 1, "detail": "d", "code": code, **members})


ANSWERS: list[tuple[str, int, str, str]] = [
    ("no JSON", 202, "accepted", "api_unavailable"),
    ("another JSON", 200, "[]", "api_unavailable"),
    ("no run", 202, '{"id":"x","status":"queued"}', "api_unavailable"),
    ("a status without end", 202, json.dumps({"run": 1, "status": "x" * 999}), "api_unavailable"),
    ("too much", 202, " " * 70_000 + '{"run":1,"status":"queued"}', "api_unavailable"),
    ("a page", 404, "<html>not here</html>", "api_unavailable"),
    ("a proxy's error", 502, "", "api_unavailable"),
    ("an unknown code", 418, problem("teapot"), "api_unavailable"),
    ("a code that is no word", 500, problem("internal").replace('"internal"', '["internal"]'), "api_unavailable"),
    ("elsewhere", 307, "", "api_unavailable"),
    ("too often", 429, problem("rate_limited", retry_after_s=9), "rate_limited"),
    ("in need of the broker", 503, problem("broker_unavailable"), "broker_unavailable"),
    ("with a strange member", 503, problem("store_unavailable", self=1), "store_unavailable"),
]


@pytest.mark.parametrize(("why", "status", "body", "code"), ANSWERS, ids=[row[0] for row in ANSWERS])
async def test_answers_of_something_else(
    nats_url: str, tmp_path: Path, why: str, status: int, body: str, code: str
) -> None:
    """Whatever comes back, one error frame says what to do; the token goes nowhere else, nothing of the body shows."""
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return web.Response(status=status, text=body, headers={"Location": "/elsewhere"} if status == 307 else None)

    async with (
        answering(handler) as url,
        world(nats_url, tmp_path, api_url=url) as w,
        reader(w.port, gateway_token()) as r,
    ):
        answer = await asked(r, POST, run=3, id=1)
        assert (answer["code"], answer["channel"]) == (code, f"post:{POST}") and code in ERROR_CODES
        assert "?" not in answer["message"] and "Secret" not in json.dumps(answer)
        assert answer["params"].get("retry_after_s") == (9 if code == "rate_limited" else None)
        await r.send(type="ping", id=2)
        await r.until("pong", id=2)
    assert seen == [f"/posts/{POST}/cancel?run=3"]


async def test_a_slow_api_holds_up_nobody(nats_url: str, tmp_path: Path) -> None:
    """While cancels wait, pings are answered and posts followed; more than the bound is refused, and time ends them."""
    asked_for: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked_for.append(request.path)
        await request.content.iter_any().__anext__() if request.can_read_body else None
        await eventually(lambda: request.transport is None, what="the client goes", timeout_s=60)
        return web.Response()

    async with (
        answering(handler) as url,
        world(nats_url, tmp_path, api_url=url, max_connection_cancels=2, max_cancels=3, api_timeout_s=4.0) as w,
        reader(w.port, gateway_token()) as r,
        reader(w.port, gateway_token()) as other,
    ):
        for n in range(3):
            await r.send(type="cancel", channel=f"post:{POST}", id=n)
        refused = await r.until("error", id=2)
        assert (refused["code"], refused["params"]) == ("rate_limited", {"retry_after_s": 1})
        for n in range(2):
            await other.send(type="cancel", channel=f"post:{POST}", id=n)
        assert (await other.until("error", id=1))["code"] == "rate_limited", "the process has a bound of its own"
        await r.send(type="subscribe", channel=f"post:{POST}", id=8)
        await r.until("error", id=8, code="not_found")
        await r.send(type="ping", id=9)
        await r.until("pong", id=9)
        answers = [await r.until("error", code="api_unavailable") for _ in range(2)]
        assert sorted(a["id"] for a in answers) == [0, 1]
        await other.until("error", id=0, code="api_unavailable")
        await eventually(lambda: w.gateway.cancels.in_flight == 0, what="nothing is left over")
    assert len(asked_for) == 3


async def test_a_kept_connection_that_is_gone_is_no_failure(nats_url: str, tmp_path: Path) -> None:
    """The api closes an idle connection under the request: it is sent again on a new one, once."""
    calls: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        calls.append(request.path)
        if len(calls) == 2 and request.transport is not None:
            request.transport.close()
        return web.json_response({"id": POST, "run": 1, "status": "generating"}, status=202)

    async with (
        answering(handler) as url,
        world(nats_url, tmp_path, api_url=url) as w,
        reader(w.port, gateway_token()) as r,
    ):
        assert [(await asked(r, POST, id=n))["type"] for n in range(2)] == ["cancelling"] * 2
    assert len(calls) == 3


async def test_a_wish_outlives_its_connection(nats_url: str, tmp_path: Path) -> None:
    """Who asks and goes at once has asked: the request is not taken back, and its answer disturbs nobody."""
    arrived: list[str] = []
    done: list[bool] = []

    async def handler(request: web.Request) -> web.Response:
        arrived.append(request.path)
        await eventually(lambda: w.gateway.server.count.total == 0, what="the client has gone")
        done.append(request.transport is not None)
        return web.json_response({"id": POST, "run": 1, "status": "generating"}, status=202)

    async with answering(handler) as url:
        w: World
        async with world(nats_url, tmp_path, api_url=url) as w:
            async with reader(w.port, gateway_token()) as r:
                await r.send(type="cancel", channel=f"post:{POST}")
                await eventually(lambda: bool(arrived), what="the api is asked")
            await eventually(lambda: bool(done) and w.gateway.cancels.in_flight == 0, what="it is answered")
    assert done == [True]
