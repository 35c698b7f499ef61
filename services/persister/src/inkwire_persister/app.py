"""Composition of the persister: what it is made of, started in order, stopped in reverse."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from faststream.nats import NatsBroker
from nats.errors import Error as NatsError

from inkwire_chassis.clock import SystemClock, new_id
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.health import Health, Unready
from inkwire_chassis.http import AsgiApp, health_app, serve_asgi
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.logs import get_logger
from inkwire_chassis.nats_connection import probe
from inkwire_chassis.provisioning import verify, wait_until_provisioned
from inkwire_contracts.events import KEY_TYPES
from inkwire_contracts.subjects import conversation, post_event
from inkwire_contracts.topology import CONVERSATIONS, EVENTS, JOBS, PERSISTER_DURABLE, topology
from inkwire_persister.adapters.conversations import ConversationsLog
from inkwire_persister.adapters.log import DeadLetters, EventsLog
from inkwire_persister.adapters.purge import EventsPurge
from inkwire_persister.adapters.queue import JobsQueue
from inkwire_persister.adapters.subscriber import Source, Subscriber, make_broker
from inkwire_persister.conversation_janitor import ConversationJanitor
from inkwire_persister.conversation_keeper import ConversationKeeper
from inkwire_persister.conversations import Placed
from inkwire_persister.conversations import decode as decode_placed
from inkwire_persister.counters import Counters
from inkwire_persister.intake import Delivery, decode
from inkwire_persister.janitor import Janitor, Limits
from inkwire_persister.keeper import Keeper
from inkwire_persister.recoverer import Recoverer
from inkwire_persister.settings import Settings
from inkwire_stores import Store, open_store

CLOSE_TIMEOUT_S = 1.0
LOOK_EVERY_S = 2.0
"""How soon it is noticed that the broker is another one."""
PURGE_SOON_S = 1.0
"""The wait between two rounds of the janitor while there is more to do, or the log is filling."""


@dataclass
class Persister:
    """A running persister, for its tests."""

    counters: Counters = field(default_factory=Counters)
    health: Health = field(default_factory=lambda: Health("persister"))
    port: int = 0


@asynccontextmanager
async def running(settings: Settings, supervisor: Supervisor) -> AsyncIterator[Persister]:
    """The service for the length of a block; entered once it takes events.

    Raises:
        Drift: the broker was not provisioned in time, or differently.
        StoreUnavailable: the SQLite file cannot be opened.
    """
    persister = Persister()
    health = persister.health
    health.add("nats", _not_yet)
    health.add("store", _not_yet)
    app = _http_app(persister)
    async with serve_asgi(app, host=settings.health_host, port=settings.health_port, supervisor=supervisor) as port:
        persister.port = port
        async with open_store(settings.store_url) as store, _connected(settings) as (broker, jetstream):
            await wait_until_provisioned(
                jetstream, topology(), timeout_s=settings.provision_timeout_s, consumers=(PERSISTER_DURABLE,)
            )
            async with _consuming(settings, supervisor, broker, jetstream, store, persister.counters) as (
                posts,
                conversations,
            ):
                health.add("nats", probe(jetstream.client))
                # Those that the persister reads, and writes to when something was lost.
                own = topology().of(EVENTS, JOBS, CONVERSATIONS)
                health.add("streams", lambda: verify(jetstream, own, consumers=(PERSISTER_DURABLE,)))
                health.add("store", store.ping)
                health.add_note("log", lambda: _has_room(EventsPurge(EventLog(jetstream, new_id)), settings, "posts"))
                health.add_note("conversations_log", lambda: _has_room(_log(jetstream), settings, "old messages"))
                health.add("writes", posts.storing)
                health.add("conversation_writes", conversations.storing)
                get_logger().info("persister takes events", port=port)
                yield persister
                health.draining = True


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[tuple[NatsBroker, JetStream]]:
    """The process's one connection, FastStream's; waits for the server for as long as it takes."""
    broker = make_broker(settings.nats_url, stop_timeout_s=settings.stop_timeout_s / 2)
    client = await broker.connect()
    try:
        jetstream = JetStream(client)
        await jetstream.start()
        yield broker, jetstream
    finally:
        await client.close()


@asynccontextmanager
async def _consuming(
    settings: Settings,
    supervisor: Supervisor,
    broker: NatsBroker,
    jetstream: JetStream,
    store: Store,
    counters: Counters,
) -> AsyncIterator[tuple[Subscriber[Delivery], Subscriber[Placed]]]:
    events, clock = EventLog(jetstream, new_id), SystemClock()
    conversations = _log(jetstream)
    await broker.start()
    posts_subscriber = Subscriber(
        broker, jetstream, _posts(store, events, counters), DeadLetters(jetstream), counters, settings
    )
    conversations_subscriber = Subscriber(
        broker, jetstream, _conversations(store, conversations, counters), DeadLetters(jetstream), counters, settings
    )
    await posts_subscriber.start()
    await conversations_subscriber.start()
    recoverer = Recoverer(
        store,
        JobsQueue(events),
        counters,
        clock,
        settled=posts_subscriber.settled,
        interval_s=settings.recovery_interval_s,
    )
    limits = Limits(settings.purge_after_s, settings.purge_pressed_after_s, settings.purge_pressure_ratio)
    janitor = Janitor(store, EventsPurge(events), counters, clock, limits)
    conversation_janitor = ConversationJanitor(store.conversations, conversations, counters, clock, limits)
    rounds = [("janitor", janitor.round), ("conversation-janitor", conversation_janitor.round)]
    tasks = [
        supervisor.spawn("consumer-watch", posts_subscriber.watch(outage_s=settings.outage_timeout_s)),
        supervisor.spawn("conversation-watch", conversations_subscriber.watch(outage_s=settings.outage_timeout_s)),
        supervisor.spawn("recovery", _keep_looking(recoverer)),
        *(supervisor.spawn(name, _keep_purging(round_, settings)) for name, round_ in rounds if settings.purge_enabled),
    ]
    try:
        yield posts_subscriber, conversations_subscriber
    finally:
        for task in tasks:
            task.cancel()
        await _stopped(broker, settings.stop_timeout_s / 2 + CLOSE_TIMEOUT_S)


def _posts(store: Store, events: EventLog, counters: Counters) -> Source[Delivery]:
    log = EventsLog(events)
    filters = [post_event("*", "*", key_type) for key_type in KEY_TYPES]
    keep = Keeper(store, log, counters).keep
    return Source(EVENTS, filters, log.epoch, decode, lambda delivery: delivery.event.post, keep)


def _conversations(store: Store, log: ConversationsLog, counters: Counters) -> Source[Placed]:
    keep = ConversationKeeper(store.conversations, log, counters, SystemClock()).keep
    filters = [conversation("*")]
    return Source(CONVERSATIONS, filters, log.epoch, decode_placed, lambda placed: placed.event.conversation, keep)


async def _keep_looking(recoverer: Recoverer) -> None:
    while True:
        await recoverer.look()
        await asyncio.sleep(LOOK_EVERY_S)


async def _keep_purging(round_: Callable[[], Awaitable[bool]], settings: Settings) -> None:
    while True:
        soon = await round_()
        await asyncio.sleep(min(PURGE_SOON_S, settings.purge_interval_s) if soon else settings.purge_interval_s)


async def _has_room(log: EventsPurge | ConversationsLog, settings: Settings, what: str) -> None:
    ratio = (await log.fill()).ratio
    if ratio >= settings.purge_pressure_ratio:
        raise Unready(f"{ratio:.0%} full: {what} leave it {settings.purge_pressed_after_s:.0f} s after their end")


def _log(jetstream: JetStream) -> ConversationsLog:
    return ConversationsLog(ConversationLog(jetstream))


async def _stopped(broker: NatsBroker, timeout_s: float) -> None:
    """Let the batch in hand end, then drain; what is not acknowledged comes again."""
    try:
        async with asyncio.timeout(timeout_s):
            await broker.stop()
    except (NatsError, TimeoutError) as error:
        get_logger().info("not drained; unacknowledged events come again", error=type(error).__name__)


def _http_app(persister: Persister) -> AsgiApp:
    health: Callable[[Any, Any, Any], Awaitable[None]] = health_app(persister.health)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/metrics":
            await health(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": persister.counters.render().encode()})

    return app


async def _not_yet() -> None:
    raise ConnectionError("not connected yet")
