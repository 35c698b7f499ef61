"""The HTTP side: chat completions, embeddings, models, liveness; composes the control API in."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from inkwire_openai_sim import chat_request, control, embedding, embedding_request, fault_kinds
from inkwire_openai_sim.chat_request import Format
from inkwire_openai_sim.completion import compose
from inkwire_openai_sim.errors import ApiError, masked
from inkwire_openai_sim.exchange import Exchange
from inkwire_openai_sim.faults import Chosen
from inkwire_openai_sim.limits import RateWindow
from inkwire_openai_sim.pacing import Pacer
from inkwire_openai_sim.prompt import message_text
from inkwire_openai_sim.request_log import MAX_KEPT_CHARS, Endpoint, RequestRecord, preview
from inkwire_openai_sim.state import CHAT_MODELS, SIMULATOR, Simulator
from inkwire_openai_sim.wire import Encoder, StreamPlan, dumps

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
RECORD: Final = web.RequestKey("record", RequestRecord)
STARTED_S: Final = web.RequestKey("started_s", float)
log = logging.getLogger("inkwire_openai_sim")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[web.Request, RequestRecord, bytes], Awaitable[web.StreamResponse]]


def create_app(simulator: Simulator) -> web.Application:
    """The application; it must be served with handler cancellation on (see server.py)."""
    app = web.Application(middlewares=[_openai_errors], client_max_size=MAX_BODY_BYTES)
    app[SIMULATOR] = simulator
    app.on_response_prepare.append(_openai_headers)
    app.router.add_post("/v1/chat/completions", chat_completions)
    app.router.add_post("/v1/embeddings", embeddings)
    app.router.add_get("/v1/models", list_models)
    app.router.add_get("/v1/models/{model:.+}", get_model)
    app.router.add_get("/livez", _livez)
    control.add_routes(app)
    return app


@web.middleware
async def _openai_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal in OpenAI's form, unknown addresses and methods included."""
    request[STARTED_S] = time.monotonic()
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPRequestEntityTooLarge:
        return ApiError(413, f"The request is larger than {MAX_BODY_BYTES} bytes.").response()
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"Not allowed to {request.method} on {request.path} (allowed: {allowed})."
        return ApiError(405, message, headers={"Allow": allowed}).response()
    except web.HTTPNotFound:
        return ApiError(404, f"Invalid URL ({request.method} {request.path})").response()


async def _openai_headers(request: web.Request, response: web.StreamResponse) -> None:
    if not request.path.startswith("/v1/"):
        return
    record = request.get(RECORD)
    elapsed_ms = (time.monotonic() - request.get(STARTED_S, time.monotonic())) * 1000
    response.headers["x-request-id"] = record.id if record else f"req_{uuid.uuid4().hex}"
    response.headers["openai-processing-ms"] = str(round(elapsed_ms))
    response.headers["openai-version"] = "2020-10-01"
    response.headers["openai-organization"] = "inkwire-simulator"
    response.headers.update(_window(request).headers(time.monotonic()))


def _window(request: web.Request) -> RateWindow:
    """What is left of the limits of the key that asks."""
    return request.app[SIMULATOR].windows.of(request.headers.get("Authorization", ""), time.monotonic())


async def _livez(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _authorize(request: web.Request) -> None:
    wanted = request.app[SIMULATOR].api_key
    if wanted is None:
        return
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise ApiError(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    if not hmac.compare_digest(key.strip().encode(), wanted.encode()):
        raise ApiError(401, f"Incorrect API key provided: {masked(key.strip())}.", code="invalid_api_key")


def _model_json(simulator: Simulator, name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": simulator.started_at_s, "owned_by": "inkwire-simulator"}


async def list_models(request: web.Request) -> web.Response:
    """GET /v1/models."""
    _authorize(request)
    simulator = request.app[SIMULATOR]
    data = [_model_json(simulator, name) for name in simulator.models]
    return web.json_response({"object": "list", "data": data})


async def get_model(request: web.Request) -> web.Response:
    """GET /v1/models/{model}."""
    _authorize(request)
    name = request.match_info["model"]
    if name not in request.app[SIMULATOR].models:
        raise _unknown_model(name)
    return web.json_response(_model_json(request.app[SIMULATOR], name))


def _unknown_model(name: str) -> ApiError:
    message = f"The model `{name[:80]}` does not exist or you do not have access to it."
    return ApiError(404, message, param="model", code="model_not_found")


@dataclass(slots=True)
class _Job:
    """A request that was understood, with the faults chosen for it."""

    exchange: Exchange
    fault: fault_kinds.FaultKind | None = None
    params: fault_kinds.Params = field(default_factory=dict)
    place: int = 0

    @property
    def phase(self) -> str | None:
        """When the fault acts; None without one."""
        return self.fault.phase if self.fault is not None else None

    async def meet(self) -> bool:
        """Run the fault, if there is one; true if the exchange is over."""
        if self.fault is None or self.fault.run is None:
            return False
        return await self.fault.run(self.exchange, self.params)

    async def met_before(self) -> bool:
        """Run the fault that acts in place of an answer, if there is one; true if the exchange is over."""
        return self.phase == "before" and await self.meet()


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions."""
    return await _recorded(request, "chat", _complete)


async def embeddings(request: web.Request) -> web.StreamResponse:
    """POST /v1/embeddings."""
    return await _recorded(request, "embeddings", _embed)


async def _recorded(request: web.Request, endpoint: Endpoint, answer: Answer) -> web.StreamResponse:
    """Answer with a record in the request log from the first to the last moment."""
    simulator = request.app[SIMULATOR]
    record = simulator.log.open(f"req_{uuid.uuid4().hex}", request.headers, endpoint)
    request[RECORD] = record
    simulator.connections.attach(request.transport, record)
    try:
        _authorize(request)
        response = await answer(request, record, await request.read())
    except ApiError as error:
        record.status = error.status
        record.finish("error")
        raise
    except ConnectionError:  # the client left while we were writing
        record.finish("client_closed")
        return record_response(request)
    except asyncio.CancelledError:  # the connection is gone, or the simulator stops
        record.finish("error")
        raise
    _window(request).spend(record.chunks_sent)
    return response


def record_response(request: web.Request) -> web.StreamResponse:
    """A response for a connection that is already closed; nothing of it is sent."""
    return web.Response(status=499, reason="Client Closed Request")


def _note(
    request: web.Request, model: str, prompt: str, *, stream: bool = False, format: Format | None = None
) -> Chosen:
    """Write down what is asked for; the faults that it meets. Raises ApiError for an unknown model."""
    simulator, record = request.app[SIMULATOR], request[RECORD]
    if simulator.strict_models and model not in simulator.models:
        raise _unknown_model(model)
    record.model, record.stream = model, stream
    record.prompt_chars, record.prompt_preview = len(prompt), preview(prompt)
    chosen = simulator.faults.choose(prompt, stream, record.endpoint, format)
    record.fault = chosen.names
    return chosen


def _job(request: web.Request, chosen: Chosen, plan: StreamPlan, answer_id: str) -> _Job:
    """The request's limits are charged, its plan is changed by the modifiers. Raises ApiError 429."""
    simulator, record = request.app[SIMULATOR], request[RECORD]
    _window(request).take(record.prompt_tokens, time.monotonic())
    for rule in chosen.modifiers:
        if modify := fault_kinds.KINDS[rule.kind].modify:
            modify(plan, simulator.faults.place(rule, len(plan.deltas)), rule.params)
    encoder = Encoder(answer_id, int(time.time()), record.model, plan, record.prompt_tokens)
    job = _Job(Exchange(request, record, plan, encoder, lambda: simulator.speed))
    if chosen.fault is not None:
        job.fault, job.params = fault_kinds.KINDS[chosen.fault.kind], chosen.fault.params
        job.place = simulator.faults.place(chosen.fault, len(plan.deltas))
    return job


async def _complete(request: web.Request, record: RequestRecord, raw: bytes) -> web.StreamResponse:
    chat = chat_request.parse(raw)
    if chat.model in embedding_request.MODELS:
        raise ApiError(404, "This is not a chat model and thus not supported in the v1/chat/completions endpoint.",
                       param="model")  # fmt: skip
    chosen = _note(request, chat.model, chat.prompt, stream=chat.stream, format=chat.format)
    if request.app[SIMULATOR].log.prompts and len(chat.prompt) <= MAX_KEPT_CHARS:
        record.messages = [(str(message["role"]), message_text(message)) for message in chat.messages]
    completion = compose(chat, request.app[SIMULATOR].seed)
    record.prompt_tokens = completion.prompt_tokens
    plan = StreamPlan(
        list(completion.deltas), completion.finish_reason, chat.include_usage, chat.stream and chat.include_obfuscation
    )
    job = _job(request, chosen, plan, f"chatcmpl-{uuid.uuid4().hex[:29]}")
    if not await job.met_before():
        await (_stream(job) if chat.stream else _completion(job))
    return _response(job.exchange)


async def _embed(request: web.Request, record: RequestRecord, raw: bytes) -> web.StreamResponse:
    wanted = embedding_request.parse(raw)
    if wanted.model in CHAT_MODELS:
        raise ApiError(403, "You are not allowed to generate embeddings from this model.", param="model")
    chosen = _note(request, wanted.model, wanted.prompt)
    record.prompt_tokens = wanted.prompt_tokens
    job = _job(request, chosen, StreamPlan([], ""), "")
    if not await job.met_before():
        body = dumps(await asyncio.to_thread(embedding.answer, wanted))  # streams go on meanwhile
        await asyncio.sleep(job.exchange.own_speed().ttft_ms / 1000)
        if await _whole(job, body):
            record.finish("done")
    return _response(job.exchange)


def _response(exchange: Exchange) -> web.StreamResponse:
    return exchange.response if exchange.response is not None else record_response(exchange.request)


async def _stream(job: _Job) -> None:
    exchange = job.exchange
    plan, record = exchange.plan, exchange.record
    await exchange.begin("text/event-stream; charset=utf-8")
    await asyncio.sleep(exchange.own_speed().ttft_ms / 1000)
    await exchange.write(exchange.encoder.first())
    pacer = Pacer(exchange.own_speed, time.monotonic)
    if job.phase == "stream":
        await exchange.send_deltas(pacer, min(job.place, len(plan.deltas)))
        if await job.meet():
            return
        pacer.start(record.chunks_sent)
    await exchange.send_deltas(pacer, len(plan.deltas))
    record.finish_reason = plan.finish_reason
    await exchange.write(exchange.encoder.finish(record.chunks_sent))
    record.finish("done")


async def _completion(job: _Job) -> None:
    """The answer in one piece, after the time that it would have taken to stream."""
    exchange = job.exchange
    plan, record = exchange.plan, exchange.record
    speed = exchange.own_speed()
    streaming_s = len(plan.deltas) / speed.tokens_per_s if speed.tokens_per_s > 0 else 0.0
    await asyncio.sleep(speed.ttft_ms / 1000 + streaming_s)
    if await _whole(job, exchange.encoder.whole()):
        record.chunks_sent, record.finish_reason = len(plan.deltas), plan.finish_reason
        record.finish("done")


async def _whole(job: _Job, body: bytes) -> bool:
    """Send a JSON body, the fault in its middle; false if the fault ended the exchange."""
    exchange = job.exchange
    await exchange.begin("application/json", len(body))
    half = len(body) // 2
    await exchange.write(body[:half])
    if job.phase == "stream" and await job.meet():
        return False
    await exchange.write(body[half:])
    return True
