"""Around every request: a bound on bodies, an id, one log line, headers for safety, and no stack traces outside."""

import asyncio
import json
import re
from collections.abc import Callable, Collection
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkwire_api import problems
from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import bound_contextvars, get_logger
from inkwire_contracts.errors import InkwireError

BODY_TIMEOUT_S: Final = 10.0
"""How long a client may take to send its body."""
MAX_LOGGED_PATH_CHARS: Final = 200
MEMBERS_PATH: Final = "/members/"
QUIET_PATHS: Final = ("/livez", "/readyz", "/static/")
"""Asked for all day long, or a dozen at once by each page: logged at debug level."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of each answer that does not say otherwise."""
_REQUEST_ID = re.compile(r"^[A-Za-z0-9_-]{8,64}$", re.ASCII)


class RequestContext:
    """Outermost: gives the request an id, logs its end, and turns what nobody expected into a plain 500."""

    def __init__(self, app: ASGIApp, *, clock: Clock, new_id: Callable[[], str]) -> None:
        self._app = app
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else self._new_id()
        with bound_contextvars(request=request_id):
            await self._serve(scope, receive, send, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        started_s = self._clock.monotonic_s()
        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            get_logger().exception("request failed", method=scope["method"], path=_path(scope))
            if status:
                raise
            await send_problem(send_marked, InkwireError("internal"))
        finally:
            logger = get_logger()
            log = logger.debug if _path(scope).startswith(QUIET_PATHS) else logger.info
            log(
                "request",
                method=scope["method"],
                path=_path(scope),
                status=status,
                duration_ms=round((self._clock.monotonic_s() - started_s) * 1000),
            )


class HeadAsGet:
    """Answers HEAD wherever GET is answered, with the same status and headers and no body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_without_body)


class BodyLimit:
    """Takes a body in before anyone looks at it, so that neither its size nor its slowness can hurt.

    ``streamed`` are the (method, path) that are let through, because they read their bodies themselves, with bounds of
    their own.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, streamed: Collection[tuple[str, str]] = ()) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._streamed = frozenset(streamed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 413."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) in self._streamed:
            return await self._app(scope, receive, send)
        try:
            body = await self._read(scope, receive)
        except InkwireError as error:
            return await send_problem(send, error)
        if body is None:
            return
        delivered = False

        async def receive_kept() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_kept, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client went away."""
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > self._max_bytes:
            raise InkwireError("body_too_large", limit_bytes=self._max_bytes)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise InkwireError("body_too_large", limit_bytes=self._max_bytes)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise InkwireError("malformed_body") from None


async def send_problem(send: Send, error: InkwireError) -> None:
    """Answer with a problem document, below any framework."""
    body = json.dumps(problems.problem(error)).encode()
    headers = {"content-type": problems.PROBLEM_TYPE, "content-length": str(len(body)), **problems.headers(error)}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.spec.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _path(scope: dict[str, Any] | Scope) -> str:
    """Without the query: nobody knows what people put there. Nor who a member is: that may be an address."""
    before, members, _ = str(scope["path"]).partition(MEMBERS_PATH)
    return f"{before}{members}"[:MAX_LOGGED_PATH_CHARS]
