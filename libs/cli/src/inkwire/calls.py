"""The HTTP calls of a client: tokens, requests that may be sent twice, problem documents as errors."""

import asyncio
import json
import random
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp

HTTP_TIMEOUT_S = 20.0
UPLOAD_TIMEOUT_S = 300.0
"""A document is answered once it is read and stored."""

POST_ATTEMPTS = 4
"""Times a request that may be repeated is sent (a post is made once, by its Idempotency-Key)."""

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 5.0
AT_ONCE_MAX_S = 0.3
"""Before coming back to a server that stops: its clients do not all come in the same moment. The page's, too."""


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


@dataclass
class Backoff:
    """Delays that double, with jitter, until a bound; the first one after success may be short.

    Args:
        jitter: numbers from 0 to 1.
    """

    jitter: Callable[[], float] = random.random
    _next_s: float = field(default=FIRST_DELAY_S, init=False)
    _fresh: bool = field(default=True, init=False)

    def reset(self) -> None:
        """Something was received."""
        self._next_s, self._fresh = FIRST_DELAY_S, True

    def delay_s(self, *, at_once: bool) -> float:
        """How long to wait before the next attempt. ``at_once``: we were sent elsewhere, and many others with us."""
        fresh, self._fresh = self._fresh, False
        if at_once and fresh:
            self._next_s = 2 * AT_ONCE_MAX_S
            return self.jitter() * AT_ONCE_MAX_S
        longest_s = self._next_s
        self._next_s = min(longest_s * 2, MAX_DELAY_S)
        return longest_s * (0.5 + self.jitter() / 2)


class Calls:
    """HTTP calls of one caller of one Inkwire. Without a token it signs in, on the developer's own machine only.

    Args:
        url: the public address.
        token: a bearer token.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = url.rstrip("/")
        self._given_token = token
        self._token = token
        self._jitter = jitter
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(trust_env=not is_local(self.url))
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

    # Conversations

    async def create_conversation(
        self, *, title: str = "", recipe: str = "chat", options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Begin a conversation; returns it. Not sent again: nobody could tell two of them apart."""
        body = {"title": title, "recipe": recipe, "options": dict(options or {})}
        return await self._json("POST", "/conversations", body=body, token=await self.sign_in())

    async def list_conversations(self, **query: str) -> dict[str, Any]:
        """Conversations that one is a member of, last changed first: ``items`` and ``next_cursor``."""
        return await self._json("GET", "/conversations", query=query, token=await self.sign_in())

    async def messages(self, conversation: str, **query: str) -> dict[str, Any]:
        """A conversation's messages, newest first, finished answers with their text."""
        path = f"/conversations/{conversation}/messages"
        return await self._json("GET", path, query=query, token=await self.sign_in())

    async def say(self, conversation: str, content: str, *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Say something and have it answered; returns ``message`` and ``reply``. Sent again on failure, said once.

        Raises:
            ClientError: it was refused.
            Unavailable: nothing was accepted, as far as we know.
        """
        key = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        path = f"/conversations/{conversation}/messages"
        return await self._surely("POST", path, body={"content": content}, headers=key)

    async def cancel_reply(self, conversation: str, message: str) -> dict[str, Any]:
        """Have an answer stop. Sent again on failure."""
        return await self._surely("POST", f"/conversations/{conversation}/messages/{message}/cancel")

    async def export_conversation(self, conversation: str, format: str = "markdown") -> bytes:
        """A whole conversation as a file: markdown, html, json or docx."""
        path = f"/conversations/{conversation}/export"
        return await self._request("GET", path, query={"format": format}, token=await self.sign_in())

    async def delete_conversation(self, conversation: str) -> None:
        """Delete a conversation and its answers for good. Sent again on failure."""
        await self._surely("DELETE", f"/conversations/{conversation}")

    # Documents

    async def upload_document(self, name: str, data: bytes, media_type: str = "") -> dict[str, Any]:
        """Store a document; returns it once it is read and stored. Not sent again: it would be there twice.

        Raises:
            ClientError: it was refused.
            Unavailable: it may or may not be stored; the list tells.
        """
        raw = await self._request(
            "POST",
            f"/documents?name={quote(name)}",
            token=await self.sign_in(),
            data=data,
            headers={"Content-Type": media_type or "application/octet-stream"},
            timeout_s=UPLOAD_TIMEOUT_S,
        )
        return self._decoded(raw)

    async def list_documents(self, **query: str) -> dict[str, Any]:
        """Own documents, newest first: ``items`` and ``next_cursor``."""
        return await self._json("GET", "/documents", query=query, token=await self.sign_in())

    async def delete_document(self, document: str) -> None:
        """Forget a document. Sent again on failure."""
        await self._surely("DELETE", f"/documents/{document}")

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
        return self._decoded(raw)

    def _decoded(self, raw: bytes) -> dict[str, Any]:
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
        data: bytes | None = None,
        timeout_s: float = HTTP_TIMEOUT_S,
    ) -> bytes:
        if self._http is None:
            raise RuntimeError("use the client as `async with Client(...)`")
        sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            async with self._http.request(
                method,
                self.url + path,
                json=body,
                data=data,
                params=query,
                headers=sent,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"no answer from {self.url} ({reason_of(error)})") from None
        if answer.status >= 400:
            raise _refusal(answer.status, raw)
        return raw


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


def is_local(url: str) -> bool:
    """Whether the address is one of this machine, which no proxy can reach."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def reason_of(error: BaseException) -> str:
    """Why a connection failed, in a few words without addresses."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
