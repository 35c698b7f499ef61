"""The control API under /control: speed, limits, faults, the listener and the request log."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any, Final

from aiohttp import web

from inkwire_openai_sim.errors import ApiError
from inkwire_openai_sim.limits import RateWindows
from inkwire_openai_sim.pacing import MAX_TOKENS_PER_S, MAX_TTFT_MS
from inkwire_openai_sim.state import SIMULATOR

MAX_REFUSE_S: Final = 600.0
MAX_WINDOW_S: Final = 86_400.0


def add_routes(app: web.Application) -> None:
    """Add all routes of the control API."""
    app.router.add_get("/control/speed", get_speed)
    app.router.add_put("/control/speed", put_speed)
    app.router.add_get("/control/limits", get_limits)
    app.router.add_put("/control/limits", put_limits)
    app.router.add_get("/control/faults", get_faults)
    app.router.add_post("/control/faults", post_fault)
    app.router.add_delete("/control/faults", delete_faults)
    app.router.add_get("/control/requests", get_requests)
    app.router.add_delete("/control/requests", delete_requests)
    app.router.add_get("/control/requests/{id}/chunks", get_chunks)
    app.router.add_get("/control/requests/{id}/messages", get_messages)
    app.router.add_put("/control/recording", put_recording)
    app.router.add_post("/control/refuse", post_refuse)


async def _object(request: web.Request, *allowed: str) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError as error:
        raise ApiError(400, "The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object.")
    if allowed and (unknown := sorted(set(body) - set(allowed))):
        raise ApiError(400, f"Unknown field {unknown[0]!r}; known are {', '.join(allowed)}.", param=unknown[0])
    return body


def _number(body: dict[str, Any], name: str, low: float, high: float) -> float:
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ApiError(400, f"{name} must be a number between {low:g} and {high:g}.", param=name)
    return float(value)


async def get_speed(request: web.Request) -> web.Response:
    """The speed in force."""
    return web.json_response(asdict(request.app[SIMULATOR].speed))


async def put_speed(request: web.Request) -> web.Response:
    """Change the speed, for running streams too. `{}` goes back to the speed of the command line."""
    simulator = request.app[SIMULATOR]
    body = await _object(request, "tokens_per_s", "ttft_ms")
    bounds = {"tokens_per_s": MAX_TOKENS_PER_S, "ttft_ms": MAX_TTFT_MS}
    changed = {name: _number(body, name, 0, bounds[name]) for name in body}
    simulator.speed = replace(simulator.speed, **changed) if changed else simulator.default_speed
    return web.json_response(asdict(simulator.speed))


async def get_limits(request: web.Request) -> web.Response:
    """The rate limits in force."""
    return web.json_response(asdict(request.app[SIMULATOR].windows.limits))


async def put_limits(request: web.Request) -> web.Response:
    """Change the limits and start with full budgets."""
    simulator = request.app[SIMULATOR]
    body = await _object(request, "requests_per_min", "tokens_per_min", "window_s", "enforce", "headers")
    changed: dict[str, Any] = {
        name: int(_number(body, name, 1, 1e9)) for name in ("requests_per_min", "tokens_per_min") if name in body
    }
    if "window_s" in body:
        changed["window_s"] = _number(body, "window_s", 1, MAX_WINDOW_S)
    for name in {"enforce", "headers"} & set(body):
        if not isinstance(body[name], bool):
            raise ApiError(400, f"{name} must be true or false.", param=name)
        changed[name] = body[name]
    simulator.windows = RateWindows(replace(simulator.windows.limits, **changed))
    return web.json_response(asdict(simulator.windows.limits))


async def get_faults(request: web.Request) -> web.Response:
    """All rules with their hits."""
    return web.json_response({"faults": request.app[SIMULATOR].faults.as_json()})


async def post_fault(request: web.Request) -> web.Response:
    """Add a rule."""
    rule = request.app[SIMULATOR].faults.add(await _object(request))
    return web.json_response(rule.as_json(), status=201)


async def delete_faults(request: web.Request) -> web.Response:
    """Remove all rules."""
    request.app[SIMULATOR].faults.clear()
    return web.Response(status=204)


async def get_requests(request: web.Request) -> web.Response:
    """The request log, oldest first."""
    return web.json_response(request.app[SIMULATOR].log.as_json())


async def delete_requests(request: web.Request) -> web.Response:
    """Empty the request log."""
    request.app[SIMULATOR].log.clear()
    return web.Response(status=204)


async def get_chunks(request: web.Request) -> web.Response:
    """When each delta of a request left, and how many characters it had."""
    record = request.app[SIMULATOR].log.find(request.match_info["id"])
    if record is None or record.chunk_times_ms is None:
        raise ApiError(404, "No chunk times: unknown id, or recorded before PUT /control/recording.")
    return web.json_response({"sent_at_ms": record.chunk_times_ms, "chars": record.chunk_chars})


async def get_messages(request: web.Request) -> web.Response:
    """The whole prompt of a chat request, as messages."""
    record = request.app[SIMULATOR].log.find(request.match_info["id"])
    if record is None or record.messages is None:
        raise ApiError(404, "No messages: unknown id, or recorded before PUT /control/recording.")
    return web.json_response({"messages": [{"role": role, "text": text} for role, text in record.messages]})


async def put_recording(request: web.Request) -> web.Response:
    """Switch the recording of chunk times or of whole prompts on or off, for requests from now on."""
    log = request.app[SIMULATOR].log
    body = await _object(request, "chunk_times", "prompts")
    for name in sorted(body) or ["chunk_times"]:
        if not isinstance(body.get(name), bool):
            raise ApiError(400, f"{name} must be true or false.", param=name)
    log.chunk_times = body.get("chunk_times", log.chunk_times)
    log.prompts = body.get("prompts", log.prompts)
    return web.json_response(body)


async def post_refuse(request: web.Request) -> web.Response:
    """Close the listener for a while: new connections are refused, open ones (this one too) go on."""
    body = await _object(request, "seconds")
    refuse = request.app[SIMULATOR].refuse
    if refuse is None:
        raise ApiError(409, "The listener belongs to another server.")
    if "seconds" not in body:
        raise ApiError(400, "seconds is missing.", param="seconds")
    refuse(_number(body, "seconds", 0, MAX_REFUSE_S))
    return web.json_response(body, status=202)
