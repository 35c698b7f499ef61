"""A client of Inkwire for Python: have a post written, follow it, and hold its text to the published digest.

async with Client("http://127.0.0.1:8080") as client:
    accepted = await client.create_post("Top 10 Laravel tips")
    async for update in client.follow(accepted["id"]):
        print(update.kind, update.snapshot.progress.percent)
"""

import asyncio
import json
import random
import secrets
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from inkwire.following import OutOfStep, PostFold, Update
from inkwire_contracts.client_frames import (
    SERVER_FRAME,
    SUBPROTOCOL,
    TOKEN_SUBPROTOCOL_PREFIX,
    ErrorFrame,
    ServerFrame,
    Subscribe,
    Unsubscribed,
)
from inkwire_contracts.close_codes import CLOSE_CODES, reconnect_rule
from inkwire_contracts.errors import ERROR_CODES

HTTP_TIMEOUT_S = 20.0
POST_ATTEMPTS = 4
"""Times a request that may be repeated is sent (a post is made once, by its Idempotency-Key)."""

CONNECT_TIMEOUT_S = 20.0
"""The proxy holds a handshake for some 12 s while no gateway is there."""

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 5.0
DEFAULT_OUTAGE_S = 120.0
"""How long :meth:`Client.follow` goes on without a sign of life."""

MAX_FRAME_BYTES = 2 * 1024 * 1024
MAX_OUT_OF_STEP = 5
"""Times in a row that what came did not follow, until we give up."""

_NEEDS_TOKEN = frozenset({CLOSE_CODES["unauthenticated"].code, CLOSE_CODES["token_expired"].code})
_NO_CODE = 1006


class ClientError(Exception):
    """The server said no, for good; ``code`` is a row of the error table, the message is for people."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Unavailable(ClientError):
    """Nobody answered, or nobody can at the moment."""

    def __init__(self, message: str, code: str = "unavailable", status: int = 0) -> None:
        super().__init__(code, message, status)


class _Interrupted(Exception):
    """The connection is of no use any more; ``at_once``: another one is waiting for us."""

    def __init__(self, reason: str, *, at_once: bool = False, new_token: bool = False) -> None:
        super().__init__(reason)
        self.at_once = at_once
        self.new_token = new_token


@dataclass
class Backoff:
    """Delays that double, with jitter, until a bound; the first one after success may be none."""

    jitter: Callable[[], float] = random.random
    _next_s: float = field(default=FIRST_DELAY_S, init=False)
    _fresh: bool = field(default=True, init=False)

    def reset(self) -> None:
        """Something was received."""
        self._next_s, self._fresh = FIRST_DELAY_S, True

    def delay_s(self, *, at_once: bool) -> float:
        """How long to wait before the next attempt."""
        fresh, self._fresh = self._fresh, False
        if at_once and fresh:
            return 0.0
        longest_s = self._next_s
        self._next_s = min(longest_s * 2, MAX_DELAY_S)
        return longest_s * (0.5 + self.jitter() / 2)


class Client:
    """One caller of one Inkwire. Without a token it signs in, which works on the developer's own machine only.

    Args:
        url: the public address.
        token: a bearer token.
        websocket_url: where the gateway is, if not under ``url``.
        outage_s: how long to try to reconnect before giving up.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        websocket_url: str | None = None,
        outage_s: float = DEFAULT_OUTAGE_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = url.rstrip("/")
        self.websocket_url = websocket_url or f"ws{self.url.removeprefix('http')}/ws"
        self._given_token = token
        self._token = token
        self._outage_s = outage_s
        self._jitter = jitter
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S)
        self._http = aiohttp.ClientSession(timeout=timeout, trust_env=not _is_local(self.url))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    # -- HTTP --------------------------------------------------------------------------------------------------

    async def sign_in(self) -> str:
        """The token in use; gets one first if there is none.

        Raises:
            ClientError: this Inkwire wants a token.
            Unavailable: no answer.
        """
        if self._token is None:
            answer = await self._json("POST", "/tokens", token=None)
            self._token = str(answer["token"])
        return self._token

    async def create_post(
        self,
        title: str,
        *,
        recipe: str = "blog",
        options: Mapping[str, Any] | None = None,
        priority: str = "normal",
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Have a post written; returns the answer (``id``, ``channel``, ...). Sent again on failure, made once.

        Raises:
            ClientError: it was refused.
            Unavailable: nothing was accepted, as far as we know.
        """
        body = {"title": title, "recipe": recipe, "options": dict(options or {}), "priority": priority}
        key = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        return await self._surely("POST", "/posts", body=body, headers=key)

    async def cancel_post(self, post: str) -> dict[str, Any]:
        """Have the latest run stop; returns ``id``, ``run`` and the ``status`` at this moment. Sent again on failure.

        Raises:
            ClientError: it was refused.
            Unavailable: nothing was promised, as far as we know.
        """
        return await self._surely("POST", f"/posts/{post}/cancel")

    async def get_post(self, post: str) -> dict[str, Any]:
        """The post up to this moment."""
        return await self._json("GET", f"/posts/{post}", token=await self.sign_in())

    async def list_posts(self, **query: str) -> dict[str, Any]:
        """Own posts, newest first."""
        return await self._json("GET", "/posts", query=query, token=await self.sign_in())

    async def usage(self, **query: str) -> dict[str, Any]:
        """What posts have cost (``from``, ``to``, ``owner``); see ``GET /analytics``."""
        return await self._json("GET", "/analytics", query=query, token=await self.sign_in())

    async def markdown(self, post: str) -> bytes:
        """The finished document, byte for byte."""
        return await self._request("GET", f"/posts/{post}/markdown", token=await self.sign_in())

    async def retry_post(self, post: str, *, after_run: int | None = None) -> dict[str, Any]:
        """Begin the next run of a failed or cancelled post; returns ``id``, ``run`` and ``status``.

        Sent again on failure; ``after_run`` (by default the latest run) keeps that from beginning two.

        Raises:
            ClientError: it was refused.
            Unavailable: nothing was promised, as far as we know.
        """
        run = int((await self.get_post(post))["run"]) if after_run is None else after_run
        return await self._surely("POST", f"/posts/{post}/retry", query={"run": str(run)})

    async def approve_post(
        self, post: str, outline: Mapping[str, Any] | None = None, *, after_run: int | None = None
    ) -> dict[str, Any]:
        """Go on with a post that waits for its author, with ``outline`` or (``None``) as it was proposed.

        Returns and raises as :meth:`retry_post`; ``approved_otherwise`` where another outline was approved.
        """
        run = int((await self.get_post(post))["run"]) if after_run is None else after_run
        body = {} if outline is None else {"outline": dict(outline)}
        return await self._surely("POST", f"/posts/{post}/approve", query={"run": str(run)}, body=body)

    async def export(self, post: str, format: str = "markdown") -> bytes:
        """The finished post as a file: markdown (with front matter), html, json or docx."""
        query = {"format": format}
        return await self._request("GET", f"/posts/{post}/export", query=query, token=await self.sign_in())

    async def delete_post(self, post: str) -> None:
        """Delete a post for good; one that is being written is stopped first. Sent again on failure.

        Raises:
            ClientError: it was refused.
            Unavailable: it may or may not be deleted; asking again is safe.
        """
        await self._surely("DELETE", f"/posts/{post}")

    # Operators: a token with the scope ops.

    async def dead_letters(
        self, *, limit: int = 20, cursor: str | None = None, kind: str | None = None, reason: str | None = None
    ) -> dict[str, Any]:
        """A page of dead letters, newest first: ``items`` and ``next_cursor``."""
        asked = {"limit": str(limit), "cursor": cursor, "kind": kind, "reason": reason}
        query = {name: value for name, value in asked.items() if value is not None}
        return await self._json("GET", "/dead-letters", query=query, token=await self.sign_in())

    async def dead_letter(self, letter: str) -> dict[str, Any]:
        """One dead letter."""
        return await self._json("GET", f"/dead-letters/{letter}", token=await self.sign_in())

    async def replay_dead_letter(self, letter: str) -> dict[str, Any]:
        """Have its job worked on again; returns ``post``, ``run`` and ``status``. Sent again on failure.

        Raises:
            ClientError: it was refused; ``not_found`` also where the answer to an earlier try was lost.
            Unavailable: it may or may not be done; asking again is safe.
        """
        return await self._surely("POST", f"/dead-letters/{letter}/replay")

    async def discard_dead_letter(self, letter: str) -> None:
        """Take a dead letter away for good.

        Raises:
            ClientError: it was refused; ``not_found`` also where the answer to an earlier try was lost.
            Unavailable: it may or may not be done; asking again is safe.
        """
        await self._surely("DELETE", f"/dead-letters/{letter}")

    async def _surely(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """A request that may be sent twice."""
        backoff = Backoff(self._jitter)
        for attempt in range(1, POST_ATTEMPTS + 1):
            try:
                return await self._json(method, path, token=await self.sign_in(), **arguments)
            except Unavailable:
                if attempt == POST_ATTEMPTS:
                    raise
                await asyncio.sleep(backoff.delay_s(at_once=False))
        raise AssertionError("unreachable")

    async def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        raw = await self._request(method, path, **arguments)
        if not raw and method == "DELETE":
            return {}
        try:
            answer: dict[str, Any] = json.loads(raw)
        except ValueError:
            raise ClientError("internal", f"{self.url} does not answer like an Inkwire") from None
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        *,
        token: str | None,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        if self._http is None:
            raise RuntimeError("use the client as `async with Client(...)`")
        sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            async with self._http.request(method, self.url + path, json=body, params=query, headers=sent) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"no answer from {self.url} ({_reason(error)})") from None
        if answer.status >= 400:
            raise _refusal(answer.status, raw)
        return raw

    # -- following ---------------------------------------------------------------------------------------------

    async def follow(self, post: str, *, start: PostFold | None = None) -> AsyncGenerator[Update, None]:
        """Follow a post to the end of its run, over lost connections, without a gap or a double.

        ``start``: go on from what an earlier call had. A published text is checked against its digest.

        Raises:
            ClientError: the post cannot be followed.
            Unavailable: no connection for ``outage_s``.
            DigestMismatch: the text is not what was published.
        """
        state = start or PostFold(post)
        backoff = Backoff(self._jitter)
        loop = asyncio.get_running_loop()
        alive_s = loop.time()
        steps = 0
        while not (state.epoch is not None and state.snapshot.is_final):
            try:
                async with aclosing(self._connection(state)) as updates:
                    async for update in updates:
                        backoff.reset()
                        alive_s, steps = loop.time(), 0
                        yield update
            except OutOfStep as error:
                steps += 1
                if steps > MAX_OUT_OF_STEP:
                    raise ClientError("internal", f"the server's answers do not fit together: {error}") from None
                if not error.keep or steps > 1:
                    state.forget()
            except _Interrupted as error:
                if error.new_token:
                    self._renew_token(str(error))
                if loop.time() - alive_s > self._outage_s:
                    raise Unavailable(f"no connection to {self.websocket_url} ({error})") from None
                delay_s = backoff.delay_s(at_once=error.at_once)
                yield Update("lost", state.snapshot, state.position, reason=str(error), delay_s=delay_s)
                await asyncio.sleep(delay_s)
        state.verify()

    def _renew_token(self, reason: str) -> None:
        """The token was refused: sign in again, if signing in is how we got it."""
        if self._given_token is not None or self._token is None:
            raise ClientError("invalid_token", f"the token is not accepted ({reason}): get a new one", 401)
        self._token = None

    async def _connection(self, state: PostFold) -> AsyncGenerator[Update, None]:
        """One connection, from subscribe until it breaks or the run ends."""
        state.reconnected()
        channel = f"post:{state.snapshot.post}"
        try:
            token = await self.sign_in()
        except Unavailable as error:
            raise _Interrupted(str(error)) from None
        async with AsyncExitStack() as stack:
            socket = await self._open(stack, token)
            subscribe = Subscribe(type="subscribe", channel=channel, position=state.position)
            try:
                await socket.send(subscribe.model_dump_json(exclude_none=True))
                async for message in socket:
                    frame = _frame(message)
                    if isinstance(frame, ErrorFrame | Unsubscribed):
                        _raise_refusal(frame)
                    elif frame is not None and getattr(frame, "channel", None) == channel:
                        update = state.receive(frame)
                        if update is not None:
                            yield update
                            if state.snapshot.is_final:
                                return
            except ConnectionClosed:
                pass  # the code tells what to do, however the connection ended
            raise _ended(socket.close_code or _NO_CODE, socket.close_reason or "")

    async def _open(self, stack: AsyncExitStack, token: str) -> ClientConnection:
        subprotocols = [Subprotocol(SUBPROTOCOL), Subprotocol(TOKEN_SUBPROTOCOL_PREFIX + token)]
        local = _is_local(self.websocket_url)
        try:
            return await stack.enter_async_context(
                connect(
                    self.websocket_url,
                    subprotocols=subprotocols,
                    open_timeout=CONNECT_TIMEOUT_S,
                    close_timeout=1,
                    max_size=MAX_FRAME_BYTES,
                    proxy=None if local else True,
                    process_exception=lambda error: error,
                )
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if status >= 500 or status == 429:
                raise _Interrupted(f"HTTP {status}") from None
            raise ClientError("internal", f"{self.websocket_url} refuses connections (HTTP {status})", status) from None
        except ssl.SSLCertVerificationError:
            raise ClientError("internal", f"the certificate of {self.websocket_url} is not trusted") from None
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            raise _Interrupted(_reason(error)) from None


def _frame(message: str | bytes) -> ServerFrame | None:
    """A frame, or nothing if it is of a type that we do not know."""
    try:
        return SERVER_FRAME.validate_json(message)
    except ValidationError:
        return None


def _raise_refusal(frame: ErrorFrame | Unsubscribed) -> None:
    """A refusal ends the following, unless the server is at fault and may be better in a moment."""
    code, message = frame.code or "unsubscribed", frame.message or "the server ended the channel"
    spec = ERROR_CODES.get(code)
    if spec is None or spec.status >= 500 or spec.status == 429:
        raise _Interrupted(message)
    if spec.status == 401:
        raise _Interrupted(message, new_token=True)
    raise ClientError(code, message, spec.status)


def _ended(code: int, reason: str) -> Exception:
    """What a close code asks for."""
    told = f"{reason or 'the connection broke'} ({code})"
    if code in _NEEDS_TOKEN:
        return _Interrupted(told, new_token=True)
    rule = reconnect_rule(code)
    if rule == "never":
        return ClientError("closed", f"the server closed the connection for good: {told}")
    return _Interrupted(told, at_once=rule == "now")


def _refusal(status: int, raw: bytes) -> ClientError:
    """The error of a problem document (RFC 9457)."""
    try:
        problem = json.loads(raw)
        code, detail, title = (str(problem.get(name) or "") for name in ("code", "detail", "title"))
    except (ValueError, AttributeError):
        code, detail, title = "", "", ""
    text = detail or title or f"HTTP {status}"
    if status >= 500 or status == 429:
        return Unavailable(text, code or "unavailable", status)
    return ClientError(code or "internal", text, status)


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
