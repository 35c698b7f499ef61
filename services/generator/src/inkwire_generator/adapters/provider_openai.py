"""Any server that speaks OpenAI's chat completions, over the official SDK's client and our own reader of its bytes.

The SDK gives authentication, connections and errors before the stream; it makes no retries (one owner of retries:
us) and parses nothing. Its read time-out is switched off: comments would feed it. Our watchdogs count text alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai

from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import get_logger
from inkwire_generator.adapters.kept_connections import CheckedHttpClient
from inkwire_generator.answer_form import KnownForms, in_form, refuses_form
from inkwire_generator.budget import NO_LIMITS, RateLimits
from inkwire_generator.completion import CompletionStream
from inkwire_generator.errors import ProviderError
from inkwire_generator.ports import Answer, Finish
from inkwire_generator.provider_errors import from_status, tell_said
from inkwire_recipes.recipe import Prompt

OPENAI_HOST = "api.openai.com"
CONNECT_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 1_000
KEPT_S = 4.0
"""How long an idle connection is kept for the next call: less than the five seconds after which many servers close."""

MAX_END_S = 0.05
"""How long the end of a body is waited for behind its ``[DONE]``. It comes with it or right behind it, and only a body
that was read to its end leaves its connection to the next call; a server that takes longer loses the connection."""

SENDS = 3
"""Times a call is sent whose kept connection turns out to be closed: llama.cpp's server closes each after its answer,
although it promises to keep it. A new connection for every call would cost a handshake before every first word."""


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """Where the model is and how long its silences may be; durations in seconds."""

    base_url: str
    api_key: str
    model: str
    max_tokens: int | None = None
    first_token_timeout_s: float = 60.0
    inter_token_timeout_s: float = 30.0
    total_timeout_s: float = 600.0
    limits: RateLimits = NO_LIMITS


_CUT = (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, OSError)
"""aiohttp's own: of an answer that is no HTTP they come through as they are."""

OnHeaders = Callable[[Mapping[str, str]], Awaitable[None]]
"""Told the headers of each answer, refusals included."""


class OpenAIProvider:
    """See :class:`inkwire_generator.ports.Provider`. Close it with :meth:`close`."""

    def __init__(self, config: ProviderConfig, clock: Clock, on_headers: OnHeaders) -> None:
        self._config = config
        self._on_headers = on_headers
        self._clock = clock
        self._forms = KnownForms()
        self._is_openai = urlsplit(config.base_url).hostname == OPENAI_HOST
        self._client = openai.AsyncOpenAI(
            api_key=config.api_key or "none",
            base_url=config.base_url,
            max_retries=0,
            timeout=openai.Timeout(None, connect=CONNECT_TIMEOUT_S),
            http_client=CheckedHttpClient(
                limits=httpx2.Limits(
                    max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=KEPT_S
                )
            ),
        )

    @property
    def patience_s(self) -> float:
        return max(self._config.first_token_timeout_s + CONNECT_TIMEOUT_S, self._config.inter_token_timeout_s)

    @property
    def model(self) -> str:
        return self._config.model

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._client.is_closed()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[Answer]:
        started_s = self._clock.monotonic_s()
        try:
            async with (
                self._opened(prompt, started_s) as (asked, received),
                aclosing(self._read(asked, received, started_s)) as pieces,
            ):
                yield Answer(self._config.model, pieces)
        except ProviderError as error:
            tell_said(error, self._config.api_key, "\n".join(text for _, text in prompt.messages))
            raise

    @asynccontextmanager
    async def _opened(self, prompt: Prompt, started_s: float) -> AsyncIterator[tuple[Prompt, AsyncIterator[bytes]]]:
        asked, response = await self._ask(prompt, started_s)
        try:
            yield asked, response.aiter_bytes()
        finally:
            await response.aclose()

    async def _ask(self, prompt: Prompt, started_s: float) -> tuple[Prompt, httpx2.Response]:
        """The prompt as it was sent, and the response; a server that refuses a form is asked in the next one."""
        forms = self._forms.to_try(prompt)
        for form in forms:
            asked, response_format = in_form(prompt, form)
            try:
                response = await self._send(self._request(asked, response_format), started_s)
            except ProviderError as error:
                if form == forms[-1] or not refuses_form(error):
                    raise
                get_logger().warning("asking for JSON in another form", refused=form, detail=error.detail)
                continue
            self._forms.taken(prompt, form)
            return asked, response
        raise AssertionError("there is always a last form")

    def _request(self, prompt: Prompt, response_format: Mapping[str, Any] | None) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": [{"role": role, "content": text} for role, text in prompt.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._is_openai:
            body["stream_options"]["include_obfuscation"] = False
        if self._config.max_tokens is not None:
            body["max_completion_tokens" if self._is_openai else "max_tokens"] = self._config.max_tokens
        if response_format is not None:
            body["response_format"] = response_format
        return body

    async def _send(self, request: Mapping[str, Any], started_s: float) -> httpx2.Response:
        deadline_s = started_s + self._config.first_token_timeout_s
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.monotonic_s())):
                response = await self._create(request)
        except TimeoutError:
            raise _silent("no answer") from None
        except openai.APIStatusError as error:
            await self._on_headers(error.response.headers)
            mapped = from_status(error.status_code, error.response.headers, error.body, self._clock.now())
            mapped.params["status"] = error.status_code
            raise mapped from None
        except _CUT as error:
            raise ProviderError("provider_unavailable", retryable=True, detail=_name(error)) from None
        try:
            await self._on_headers(response.headers)
        except BaseException:
            await response.aclose()
            raise
        return response

    async def _create(self, request: Mapping[str, Any]) -> httpx2.Response:
        """The response, once it begins. What was written is never sent twice.

        ``chat.completions.create`` would first look through the whole prompt for what is no JSON yet; ours is.
        """
        for send in range(1, SENDS + 1):
            try:
                return cast(
                    httpx2.Response,
                    await self._client.post("/chat/completions", cast_to=httpx2.Response, body=request, stream=True),
                )
            except openai.APIConnectionError as error:
                if send == SENDS or not _is_unwritten(error):
                    raise
        raise AssertionError("the last send answers or raises")

    async def _read(
        self, prompt: Prompt, received: AsyncIterator[bytes], started_s: float
    ) -> AsyncGenerator[str | Finish, None]:
        config, clock = self._config, self._clock
        answer = CompletionStream(config.model, prompt.length_chars)
        end_s = started_s + config.total_timeout_s
        silence_s = started_s + config.first_token_timeout_s
        while not answer.done:
            data = await self._next(received, min(silence_s, end_s))
            if data is None:
                break
            if text := answer.feed(data):
                yield text
                silence_s = clock.monotonic_s() + config.inter_token_timeout_s
        text, finish = answer.end()
        if text:
            yield text
        if answer.done:
            await _read_out(received)
        yield finish

    async def _next(self, received: AsyncIterator[bytes], deadline_s: float) -> bytes | None:
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.monotonic_s())):
                return await anext(received)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise _silent("no text") from None
        except _CUT as error:
            raise ProviderError("provider_cut", retryable=True, detail=_name(error)) from None


async def _read_out(received: AsyncIterator[bytes]) -> None:
    """Read what is left of a body whose answer is whole; what goes wrong with it is no matter any more."""
    with contextlib.suppress(TimeoutError, *_CUT):
        async with asyncio.timeout(MAX_END_S):
            async for _ in received:
                pass


def _silent(what: str) -> ProviderError:
    return ProviderError("provider_timeout", retryable=True, detail=what)


def _name(error: Exception) -> str:
    return type(error).__name__


def _is_unwritten(error: openai.APIConnectionError) -> bool:
    """Whether the request did not get out: aiohttp's error then has no number, for it is not the network's own."""
    reason = error.__cause__ and error.__cause__.__cause__
    return type(reason) is aiohttp.ClientOSError and reason.errno is None
