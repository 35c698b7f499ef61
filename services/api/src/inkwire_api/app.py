"""Composition: the application, and the process around it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from faststream.nats import NatsBroker

from inkwire_api import __version__
from inkwire_api.adapters.assets import load_assets
from inkwire_api.adapters.conversations import JetStreamConversations
from inkwire_api.adapters.dead_letters import JetStreamDeadLetters
from inkwire_api.adapters.exports import Exports
from inkwire_api.adapters.log import JetStreamLog
from inkwire_api.adapters.middleware import BodyLimit, HeadAsGet, RequestContext
from inkwire_api.adapters.publisher import FastStreamJobs
from inkwire_api.adapters.run_log import JetStreamRuns
from inkwire_api.answers import Answers
from inkwire_api.conversation_access import ConversationAccess
from inkwire_api.conversing import Conversations
from inkwire_api.dead_letters import DeadLetters
from inkwire_api.documents import Documents
from inkwire_api.mentioning import Mentions
from inkwire_api.messaging import Messages
from inkwire_api.ports import Embedder
from inkwire_api.posts import LOG_FULL_RATIO, Limits, Posts
from inkwire_api.problems import Fault, Problem
from inkwire_api.rate_limit import RateLimiter
from inkwire_api.reading import Reader
from inkwire_api.routes import (
    analytics,
    conversations,
    dead_letters,
    documents,
    error_handlers,
    exports,
    health,
    messages,
    page,
    posts,
    recipes,
    steering,
    tokens,
)
from inkwire_api.routes.services import Services
from inkwire_api.schemas import PublicConfig
from inkwire_api.settings import Settings
from inkwire_api.steering import Admit, Steering
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import Clock, SystemClock, new_id
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.health import Health, Unready
from inkwire_chassis.http import serve_asgi
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.logs import get_logger
from inkwire_chassis.nats_connection import connection_options, end, probe
from inkwire_chassis.nats_servers import server_list
from inkwire_chassis.provisioning import verify, wait_until_provisioned
from inkwire_contracts.topology import CONVERSATIONS, DLQ, EVENTS, JOBS, Topology, topology
from inkwire_documents.extracting import Extractor
from inkwire_documents.limits import Limits as ExtractionLimits
from inkwire_recipes.analysis import operator_job_types, with_job_types
from inkwire_recipes.registry import load_recipes
from inkwire_stores import open_document_store, open_store
from inkwire_stores.document_ports import DocumentStore
from inkwire_stores.ports import PostStore, Store

SERVICE = "api"
CORS_MAX_AGE_S = 600
ROUTERS = tuple(
    module.router
    for module in (
        posts,
        exports,
        steering,
        conversations,
        messages,
        documents,
        analytics,
        dead_letters,
        tokens,
        recipes,
        health,
        page,
    )
)


def bare_app() -> FastAPI:
    """Routes and error handlers alone: enough for the OpenAPI document, not for serving."""
    app = FastAPI(
        title="Inkwire",
        version=__version__,
        description=(
            "Have an article written and follow it live. Errors are problem documents (RFC 9457) with a stable "
            "`code`; times are RFC 3339 in UTC; lists go on with an opaque `cursor`."
        ),
        docs_url=None,
        redoc_url=None,
    )
    for router in ROUTERS:
        app.include_router(router)
    error_handlers.install(app)
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        for model in (Problem, Fault):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas.setdefault(model.__name__, schema)
        _drop_unused_validation_answers(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _drop_unused_validation_answers(document: dict[str, Any]) -> None:
    """FastAPI promises a 422 of its own shape for every parameter; ours are problem documents, where there are any."""
    theirs = "#/components/schemas/HTTPValidationError"
    for item in document["paths"].values():
        for operation in item.values():
            content = operation["responses"].get("422", {}).get("content", {})
            if content.get("application/json", {}).get("schema", {}).get("$ref") == theirs:
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def create_app(services: Services) -> FastAPI:
    """The application as it is served."""
    app = bare_app()
    app.state.services = services
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, max_bytes=services.settings.max_body_bytes, streamed=documents.STREAMED)
    if services.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(services.settings.origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"],
            expose_headers=[
                "Content-Disposition",
                "ETag",
                "Idempotency-Replayed",
                "Location",
                "Repr-Digest",
                "Retry-After",
                "X-Request-Id",
            ],
            max_age=CORS_MAX_AGE_S,
        )
    app.add_middleware(RequestContext, clock=services.clock, new_id=services.new_id)
    return app


@asynccontextmanager
async def running(settings: Settings, supervisor: Supervisor) -> AsyncIterator[int]:
    """The api while it serves; yields its port. Waits for NATS and its streams, in whatever order things start."""
    streams = topology()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.store_url))
        library = await stack.enter_async_context(open_document_store(settings.store_url))
        embedder = await stack.enter_async_context(_embedder(settings))
        broker, jetstream = await stack.enter_async_context(_broker(settings.nats_url))
        await wait_until_provisioned(jetstream, streams, timeout_s=settings.provision_timeout_s)
        services = compose(settings, broker, jetstream, store, _documents(settings, library, embedder), streams)
        port = await stack.enter_async_context(
            serve_asgi(create_app(services), host=settings.host, port=settings.port, supervisor=supervisor)
        )
        get_logger().info("ready", host=settings.host, port=port, simulated=settings.simulated)
        yield port
        services.health.draining = True


@asynccontextmanager
async def _broker(url: str) -> AsyncIterator[tuple[NatsBroker, JetStream]]:
    broker = NatsBroker(server_list(url), logger=None, **connection_options(SERVICE))
    client = await broker.connect()
    try:
        jetstream = JetStream(client)
        await jetstream.start()
        yield broker, jetstream
    finally:
        # Not broker.stop(): it drains, and that waits for a server that may be gone.
        await end(client)


@dataclass(frozen=True, slots=True)
class Library:
    """The documents of all owners: where they are kept, and what owners may do with them."""

    store: DocumentStore
    documents: Documents


def compose(
    settings: Settings,
    broker: NatsBroker,
    jetstream: JetStream,
    store: Store,
    library: Library,
    streams: Topology,
) -> Services:
    """Wire the parts together."""
    clock = SystemClock()
    events = EventLog(jetstream, new_id)
    log = JetStreamLog(events, clock)
    known = with_job_types(load_recipes(), operator_job_types(settings.job_types))
    jobs = FastStreamJobs(broker)
    mentions = Mentions(library.store)
    accepting = Posts(
        jobs=jobs,
        log=log,
        store=store,
        recipes=known,
        mentions=mentions,
        limiter=RateLimiter(per_s=settings.posts_per_s, burst=settings.posts_burst),
        limits=Limits(settings.max_open_posts, settings.commit_timeout_s),
        clock=clock,
        new_id=new_id,
    )
    runs = JetStreamRuns(events, log, store)

    def steering(admit: Admit) -> Steering:
        return Steering(log=runs, jobs=jobs, admit=admit, clock=clock, commit_timeout_s=settings.commit_timeout_s)

    steered = steering(accepting.admit)
    reader = Reader(log=log, store=store, timeout_s=settings.read_timeout_s)
    talks, said = _conversing(settings, jetstream, store, Parts(accepting, mentions, steered, reader), clock)
    return Services(
        settings=settings,
        posts=accepting,
        steering=steered,
        conversations=talks,
        messages=said,
        answers=Answers(reader, timeout_s=settings.read_timeout_s),
        dead_letters=DeadLetters(
            box=JetStreamDeadLetters(jetstream),
            runs=runs,
            log=log,
            steering=steering(lambda _owner: accepting.require_room()),
            timeout_s=settings.commit_timeout_s,
        ),
        reader=reader,
        exports=Exports(),
        documents=library.documents,
        keys=KeyRing.parse(settings.jwt_keys.get_secret_value(), settings.jwt_issuer),
        recipes=known,
        assets=load_assets(),
        config=_config(settings),
        health=_health(jetstream, store, library.store, streams, log),
        clock=clock,
        new_id=new_id,
    )


def _documents(settings: Settings, store: DocumentStore, embedder: Embedder | None) -> Library:
    documents = Documents(
        store=store,
        reader=Extractor(),
        embedder=embedder,
        limiter=RateLimiter(per_s=settings.uploads_per_s, burst=settings.uploads_burst),
        limits=ExtractionLimits(max_bytes=settings.document_max_bytes),
        max_documents=settings.max_documents,
        clock=SystemClock(),
        new_id=new_id,
    )
    return Library(store, documents)


@asynccontextmanager
async def _embedder(settings: Settings) -> AsyncIterator[Embedder | None]:
    """Embeds passages; None where no model is configured."""
    if not settings.embedding_model:
        yield None
        return
    from inkwire_api.adapters.embeddings import PassageEmbeddings  # here: the SDK is slow to load

    embedder = PassageEmbeddings(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value(),
        model=settings.embedding_model,
    )
    try:
        yield embedder
    finally:
        await embedder.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """What conversations build on."""

    posts: Posts
    mentions: Mentions
    steering: Steering
    reader: Reader


def _conversing(
    settings: Settings, jetstream: JetStream, store: Store, parts: Parts, clock: Clock
) -> tuple[Conversations, Messages]:
    access = ConversationAccess(
        log=JetStreamConversations(ConversationLog(jetstream), store.conversations, clock),
        limiter=RateLimiter(per_s=settings.messages_per_s, burst=settings.messages_burst),
        clock=clock,
    )
    talks = Conversations(
        access=access,
        store=store.conversations,
        posts=parts.posts,
        steering=parts.steering,
        issuer=settings.jwt_issuer,
        clock=clock,
        new_id=new_id,
        timeout_s=settings.commit_timeout_s,
    )
    said = Messages(
        access=access,
        posts=parts.posts,
        mentions=parts.mentions,
        steering=parts.steering,
        reader=parts.reader,
        clock=clock,
        new_id=new_id,
        timeout_s=settings.commit_timeout_s,
    )
    return talks, said


def _config(settings: Settings) -> PublicConfig:
    return PublicConfig(
        simulated=settings.simulated,
        model=settings.openai_model,
        dev_sign_in=settings.dev_sign_in,
        version=__version__,
    )


def _health(
    jetstream: JetStream, store: PostStore, documents: DocumentStore, streams: Topology, log: JetStreamLog
) -> Health:
    health = Health(SERVICE)
    health.add("nats", probe(jetstream.client))
    # Those that the api writes to, and whose letters it lists.
    own = streams.of(JOBS, EVENTS, CONVERSATIONS, DLQ)
    health.add("streams", lambda: verify(jetstream, own))
    health.add("store", store.ping)
    health.add("documents", documents.ping)
    health.add_note("log", lambda: _has_room(log))
    return health


async def _has_room(log: JetStreamLog) -> None:
    """No reason to be unready: everything but new posts goes on."""
    ratio = await log.fill_ratio()
    if ratio >= LOG_FULL_RATIO:
        raise Unready(f"{ratio:.0%} full: new posts are refused; see docs/operations.md, Retention")
