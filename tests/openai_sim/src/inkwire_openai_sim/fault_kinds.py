"""The faults, one function each, in one table: KINDS.

`before` faults run in place of an answer, `stream` faults at a place in the answer, `modifier` faults change how the
answer looks and may be combined with one of the others. What needs a text, or a stream of it, meets chat completions
only.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from inkwire_openai_sim.errors import ApiError
from inkwire_openai_sim.exchange import Exchange
from inkwire_openai_sim.tokens import split_surrogates
from inkwire_openai_sim.wire import StreamPlan, dumps

Params = dict[str, Any]
Before = Callable[[Exchange, Params], Awaitable[bool]]  # false: go on and answer
Midway = Callable[[Exchange, Params], Awaitable[bool]]  # false: go on with the stream
Modifier = Callable[[StreamPlan, int, Params], None]  # int: after_chunks, resolved

_STATUS_TEXT: Final[dict[int, tuple[str, str]]] = {
    500: ("The server had an error while processing your request. Sorry about that!", "server_error"),
    502: ("Bad gateway.", "server_error"),
    503: ("The engine is currently overloaded, please try again later.", "service_unavailable"),
    504: ("The request timed out upstream.", "server_error"),
    408: ("The request took too long.", "timeout"),
    404: ("The model does not exist or you do not have access to it.", "invalid_request_error"),
    403: ("You are not allowed to use this model.", "invalid_request_error"),
    401: ("Incorrect API key provided.", "invalid_request_error"),
    400: ("Invalid request.", "invalid_request_error"),
}
QUOTA_TEXT: Final = "You exceeded your current quota, please check your plan and billing details."
RATE_TEXT: Final = "Rate limit reached for requests per min. Please try again later."
GATEWAY_PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def _error(params: Params, message: str = "The server had an error while processing your request.") -> Params:
    return {
        "message": str(params.get("message", message)),
        "type": str(params.get("type", "server_error")),
        "param": None,
        "code": params.get("code"),
    }


async def too_many_requests(exchange: Exchange, params: Params) -> bool:
    """Status 429."""
    code = str(params.get("code", "rate_limit_exceeded"))
    quota = code == "insufficient_quota"
    headers: dict[str, str] = {}
    if (seconds := params.get("retry_after_s")) is not None:
        headers["retry-after"] = str(math.ceil(float(seconds)))
    if (milliseconds := params.get("retry_after_ms")) is not None:
        headers["retry-after-ms"] = str(milliseconds)
    if (date := params.get("retry_after_date")) is not None:
        headers["retry-after"] = str(date)
    if (retry := params.get("should_retry")) is not None:
        headers["x-should-retry"] = "true" if retry else "false"
    raise ApiError(
        429,
        str(params.get("message", QUOTA_TEXT if quota else RATE_TEXT)),
        type_="insufficient_quota" if quota else "requests",
        code=code,
        headers=headers,
    )


async def server_error(exchange: Exchange, params: Params) -> bool:
    """Any error status, 500 by default."""
    status = int(params.get("status", 500))
    message, type_ = _STATUS_TEXT.get(status, _STATUS_TEXT[500])
    headers = {}
    if (seconds := params.get("retry_after_s")) is not None:
        headers["retry-after"] = str(math.ceil(float(seconds)))
    raise ApiError(
        status,
        str(params.get("message", message)),
        type_=str(params.get("type", type_)),
        code=params.get("code"),
        headers=headers,
    )


async def hang(exchange: Exchange, params: Params) -> bool:
    """Take the request and send nothing at all, not even headers."""
    await exchange.wait(params.get("seconds"))
    return False


async def reset(exchange: Exchange, params: Params) -> bool:
    """Reset the connection before any byte of an answer."""
    exchange.cut(reset=True)
    return True


async def not_json(exchange: Exchange, params: Params) -> bool:
    """Status 200 (or params.status) with an HTML page, as a broken proxy sends it."""
    await exchange.begin("text/html", len(GATEWAY_PAGE))
    await exchange.write(GATEWAY_PAGE)
    exchange.record.finish("error")
    return True


async def cut(exchange: Exchange, params: Params) -> bool:
    """Close the connection in the middle of the answer."""
    exchange.cut(reset=bool(params.get("reset", False)))
    return True


async def stall(exchange: Exchange, params: Params) -> bool:
    """Send nothing more and keep the connection, with comment frames if wanted; then go on."""
    await exchange.wait(params.get("seconds"), params.get("comments_every_s"))
    return False


async def truncate(exchange: Exchange, params: Params) -> bool:
    """End the response cleanly, without a finish reason; `[DONE]` only with params.done."""
    if params.get("done"):
        await exchange.write(exchange.encoder.done())
    exchange.record.finish("error")
    return True


async def error_data(exchange: Exchange, params: Params) -> bool:
    """`data: {"error": ...}`, then the end; `[DONE]` before it with params.done."""
    await exchange.write(exchange.encoder.event(dumps({"error": _error(params)})))
    return await truncate(exchange, params)


async def error_event(exchange: Exchange, params: Params) -> bool:
    """`event: error` with data that has no `error` key."""
    body = {"message": _error(params)["message"], "code": params.get("code", 500)}
    await exchange.write(exchange.encoder.event(dumps(body), "error"))
    return await truncate(exchange, params)


async def error_field(exchange: Exchange, params: Params) -> bool:
    """A line `error: {...}`, which is no field of server-sent events."""
    end = exchange.plan.line_end
    await exchange.write(b"error: " + dumps(_error(params)) + end + end)
    return await truncate(exchange, params)


async def error_with_choices(exchange: Exchange, params: Params) -> bool:
    """A chunk with text and an `error`, finish reason `error`, as OpenRouter sends it."""
    place = exchange.record.chunks_sent
    text = exchange.plan.deltas[place] if place < len(exchange.plan.deltas) else ""
    chunk = exchange.encoder.chunk({"content": text}, "error", error=_error(params))
    await exchange.write(exchange.encoder.event(dumps(chunk)))
    return await truncate(exchange, params)


async def bad_json(exchange: Exchange, params: Params) -> bool:
    """One event whose data is broken JSON; the stream then goes on, or ends with params.end."""
    await exchange.write(exchange.encoder.event(b'{"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"cont'))
    return await truncate(exchange, {}) if params.get("end") else False


def _early_end(finish_reason: str) -> Modifier:
    def end(plan: StreamPlan, after: int, params: Params) -> None:
        del plan.deltas[after:]
        plan.finish_reason = finish_reason

    return end


def surrogates(plan: StreamPlan, after: int, params: Params) -> None:
    """Characters beyond the basic plane are split into two deltas."""
    plan.deltas = split_surrogates(plan.deltas)


def lone_surrogate(plan: StreamPlan, after: int, params: Params) -> None:
    """One lone surrogate that never finds its other half."""
    plan.deltas.insert(after, "\ud83d")


def own_speed(plan: StreamPlan, after: int, params: Params) -> None:
    """A speed of its own for these requests."""
    plan.speed = {name: float(params[name]) for name in ("tokens_per_s", "ttft_ms") if name in params}


def wire_style(plan: StreamPlan, after: int, params: Params) -> None:
    """Differences between compatible servers, each by its own parameter."""
    plan.usage = params.get("usage", plan.usage)
    plan.done = bool(params.get("done", plan.done))
    plan.null_finish_reason = bool(params.get("null_finish_reason", plan.null_finish_reason))
    plan.line_end = b"\r\n" if params.get("crlf") else plan.line_end
    plan.fragment_bytes = params.get("fragment_bytes", plan.fragment_bytes)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table. `params` are the names that a rule may set."""

    phase: Literal["before", "stream", "modifier"]
    run: Before | Midway | None
    modify: Modifier | None
    params: frozenset[str]
    streams_only: bool = False
    chat_only: bool = False


def _before(run: Before, *params: str) -> FaultKind:
    return FaultKind("before", run, None, frozenset(params))


def _stream(run: Midway, *params: str, streams_only: bool = True) -> FaultKind:
    return FaultKind("stream", run, None, frozenset(params), streams_only, chat_only=streams_only)


def _modifier(modify: Modifier, *params: str, chat_only: bool = False) -> FaultKind:
    return FaultKind("modifier", None, modify, frozenset(params), chat_only=chat_only)


_ERROR: Final = ("message", "type", "code", "done")
_RETRY: Final = ("retry_after_s", "retry_after_ms", "retry_after_date", "should_retry")
KINDS: Final[dict[str, FaultKind]] = {
    "429": _before(too_many_requests, "message", "code", *_RETRY),
    "500": _before(server_error, "status", "message", "type", "code", "retry_after_s"),
    "hang": _before(hang, "seconds"),
    "reset": _before(reset),
    "not_json": _before(not_json),
    "cut": _stream(cut, "reset", streams_only=False),
    "stall": _stream(stall, "seconds", "comments_every_s", streams_only=False),
    "truncate": _stream(truncate, "done"),
    "error_data": _stream(error_data, *_ERROR),
    "error_event": _stream(error_event, *_ERROR),
    "error_field": _stream(error_field, *_ERROR),
    "error_with_choices": _stream(error_with_choices, *_ERROR),
    "bad_json": _stream(bad_json, "end"),
    "length": _modifier(_early_end("length"), chat_only=True),
    "content_filter": _modifier(_early_end("content_filter"), chat_only=True),
    "early_stop": _modifier(_early_end("stop"), chat_only=True),
    "split_surrogates": _modifier(surrogates, chat_only=True),
    "lone_surrogate": _modifier(lone_surrogate, chat_only=True),
    "speed": _modifier(own_speed, "tokens_per_s", "ttft_ms"),
    "style": _modifier(wire_style, "usage", "done", "null_finish_reason", "crlf", "fragment_bytes"),
}
