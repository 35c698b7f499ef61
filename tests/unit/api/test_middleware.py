"""What surrounds every request."""

import json
from typing import Any

import pytest
import structlog
from starlette.types import Receive, Scope, Send

from inkwire_api.adapters.middleware import BodyLimit, RequestContext
from inkwire_contracts.ids import is_id
from tests.support.asgi import ask
from tests.support.clock import ManualClock

LIMIT = 10
ID = "k3v5q7wz2m4n6bacbd2f4g6haj"


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body it was given."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"SAMEORIGIN")]})
    await send({"type": "http.response.body", "body": body})


async def crash(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Fails with a secret in its message."""
    raise RuntimeError("password hunter2")


def limited() -> BodyLimit:
    return BodyLimit(echo, max_bytes=LIMIT)


def context(app: Any = echo) -> RequestContext:
    return RequestContext(app, clock=ManualClock(), new_id=lambda: ID)


@pytest.mark.parametrize("chunks", [[b""], [b"0123456789"], [b"0123", b"", b"456789"]])
async def test_bodies_up_to_the_limit_arrive_whole(chunks: list[bytes]) -> None:
    """In however many pieces they come."""
    answer = await ask(limited(), "POST", chunks=chunks)
    assert (answer.status, answer.body) == (200, b"".join(chunks))


async def test_an_announced_body_over_the_limit_is_refused_unread() -> None:
    """413 that names the bytes."""
    answer = await ask(limited(), "POST", headers=[("Content-Length", "11")], chunks=[])
    assert (answer.status, answer.json["code"], answer.json["limit_bytes"]) == (413, "body_too_large", LIMIT)


@pytest.mark.parametrize("length", ["5", "0", "-1", "x", "9" * 5000])
async def test_a_body_that_grows_over_the_limit_is_refused(length: str) -> None:
    """Chunks are counted, whatever was announced."""
    answer = await ask(limited(), "POST", headers=[("Content-Length", length)], chunks=[b"012345", b"6789", b"x"])
    assert answer.status == 413


async def test_a_path_that_bounds_its_own_body_gets_it_as_it_comes() -> None:
    """That path with that method only; everything else stays bounded."""
    app = BodyLimit(echo, max_bytes=LIMIT, streamed=(("POST", "/files"),))
    long = [b"0123456789", b"x"]
    assert (await ask(app, "POST", "/files?name=a", chunks=long)).body == b"".join(long)
    for method, path in (("PUT", "/files"), ("POST", "/files/1"), ("POST", "/")):
        assert (await ask(app, method, path, chunks=long)).status == 413


async def test_a_client_that_goes_away_gets_no_answer() -> None:
    """Half a body is no request."""
    assert (await ask(limited(), "POST", chunks=[b"01"], hang_up=True)).status == 0


async def test_a_crash_is_a_plain_500() -> None:
    """A problem document with the id of the request; what happened is in the log alone."""
    with structlog.testing.capture_logs() as logs:
        answer = await ask(context(crash))
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert answer.headers["x-request-id"] == ID
    assert b"hunter2" not in answer.body and b"RuntimeError" not in answer.body
    assert [entry["event"] for entry in logs] == ["request failed", "request"]


async def test_a_crash_after_the_start_of_the_answer_is_not_hidden() -> None:
    """It cannot be repaired any more, so the server must cut the connection."""

    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await crash(scope, receive, send)

    with pytest.raises(RuntimeError):
        await ask(context(half))


async def test_every_answer_has_an_id_and_safe_headers() -> None:
    """Inline scripts and foreign frames are off, nothing is kept; a header that a route has set itself stays."""
    answer = await ask(context())
    assert is_id(answer.headers["x-request-id"])
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'self'; connect-src 'self' ws: wss:" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize(("given", "used"), [("abc-12345", "abc-12345"), ("short", ID), ("a b\tcdefghij", ID)])
async def test_a_proxys_id_is_kept(given: str, used: str) -> None:
    """If it looks like one; anything else would be written into logs."""
    assert (await ask(context(), headers=[("X-Request-Id", given)])).headers["x-request-id"] == used


async def test_the_log_has_one_line_without_secrets() -> None:
    """Method, path, status and duration; neither the query nor a header, nor who a member is."""
    with structlog.testing.capture_logs() as logs:
        await ask(context(), path="/posts?token=hunter2", headers=[("Authorization", "Bearer hunter2")])
    [line] = logs
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", "/posts", 200)
    assert "hunter2" not in json.dumps(line)
    with structlog.testing.capture_logs() as logs:
        await ask(context(), path="/conversations/c/members/ben@example.org/x")
    assert logs[0]["path"] == "/conversations/c/members/"
