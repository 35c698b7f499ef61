"""The api over HTTP: what a client wants changed is asked for in its own name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from pydantic import BaseModel, Field, ValidationError

from inkwire_chassis.logs import get_logger
from inkwire_contracts.errors import ERROR_CODES, InkwireError
from inkwire_gateway.ports import Cancelled

MAX_ANSWER_BYTES = 64 * 1024
KEPT_ALIVE_S = 60.0
"""Shorter than the api keeps an idle connection, so that it seldom goes away under a request."""

TRIES = 2
"""A kept connection may be gone all the same; then the request is sent again on a new one. Twice does no harm."""

_OF_EVERY_PROBLEM = frozenset({"type", "title", "status", "detail", "code"})


class _Steered(BaseModel):
    """The api's answer; more fields may come."""

    run: int
    status: str = Field(max_length=32)


class HttpApi:
    """Requests to one api; see :class:`inkwire_gateway.ports.PostApi`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def cancel(self, post: str, token: str, *, run: int | None) -> Cancelled:
        return await self._cancel(f"/posts/{post}/cancel", token, run)

    async def cancel_reply(self, conversation: str, message: str, token: str, *, run: int | None) -> Cancelled:
        return await self._cancel(f"/conversations/{conversation}/messages/{message}/cancel", token, run)

    async def _cancel(self, path: str, token: str, run: int | None) -> Cancelled:
        query = {} if run is None else {"run": str(run)}
        status, body = await self._post(path, token, query)
        if status in (200, 202):
            try:
                steered = _Steered.model_validate_json(body)
            except ValidationError:
                raise self._unusable(status) from None
            return Cancelled(steered.run, steered.status, accepted=status == 202)
        raise _refusal(body) or self._unusable(status)

    async def _post(self, path: str, token: str, query: dict[str, str]) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {token}"}
        for attempt in range(1, TRIES + 1):
            try:
                async with self._session.post(
                    self._url + path, params=query, headers=headers, allow_redirects=False
                ) as answer:
                    return answer.status, await self._read(answer)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                lost = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
                if attempt == TRIES or not lost or isinstance(error, aiohttp.ClientConnectorError):
                    get_logger().warning("api does not answer", url=self._url, error=type(error).__name__)
                    raise InkwireError("api_unavailable") from None
        raise AssertionError("unreachable")

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise self._unusable(answer.status)
        return bytes(body)

    def _unusable(self, status: int) -> InkwireError:
        get_logger().warning("not an answer of the api: see INKWIRE_GATEWAY_API_URL", url=self._url, status=status)
        return InkwireError("api_unavailable")


def _refusal(body: bytes) -> InkwireError | None:
    """The error of a problem document (RFC 9457) with a code that we know."""
    try:
        problem: Any = orjson.loads(body)
    except ValueError:
        return None
    code = problem.get("code") if isinstance(problem, dict) else None
    if not isinstance(code, str) or code not in ERROR_CODES:
        return None
    params = {name: value for name, value in problem.items() if name not in _OF_EVERY_PROBLEM}
    if "detail" in problem and "{detail}" in ERROR_CODES[code].template:
        params["detail"] = problem["detail"]
    error = InkwireError(code)
    error.params = params  # not as arguments: a member may have any name
    return error


@asynccontextmanager
async def http_api(url: str, *, timeout_s: float, max_in_flight: int) -> AsyncIterator[HttpApi]:
    """The api at ``url``; a request takes ``timeout_s`` at most. Nothing is connected before it is needed."""
    connector = aiohttp.TCPConnector(limit=max_in_flight, keepalive_timeout=KEPT_ALIVE_S)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield HttpApi(session, url)
