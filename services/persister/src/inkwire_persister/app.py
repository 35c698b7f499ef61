"""Composition of the persister: what it is made of, started in order, stopped in reverse."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from faststream.nats import NatsBroker
from nats.errors import Error as NatsError

from inkwire_chassis.clock import SystemClock, new_id
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.health import Health, Unready
from inkwire_chassis.http import AsgiApp, health_app, serve_asgi
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.logs import get_logger
from inkwire_chassis.nats_connection import probe
from inkwire_chassis.provisioning import verify, wait_until_provisioned
from inkwire_contracts.topology import EVENTS, JOBS, PERSISTER_DURABLE, Topology, topology
from inkwire_persister.adapters.log import EventsLog
from inkwire_persister.adapters.purge import EventsPurge
from inkwire_persister.adapters.queue import JobsQueue
from inkwire_persister.adapters.subscriber import KeyEventSubscriber, make_broker
from inkwire_persister.counters import Counters
from inkwire_persister.janitor import Janitor, Limits
from inkwire_persister.keeper import Keeper
from inkwire_persister.recoverer import Recoverer
from inkwire_persister.settings import Settings
from inkwire_stores import PostStore, open_store

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
            async with _consuming(settings, supervisor, broker, jetstream, store, persister.counters) as subscriber:
                health.add("nats", probe(jetstream.client))
                health.add("streams", lambda: verify(jetstream, _own(topology()), consumers=(PERSISTER_DURABLE,)))
                health.add("store", store.ping)
                health.add_note("log", lambda: _has_room(jetstream, settings))
                health.add("writes", subscriber.storing)
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
    store: PostStore,
    counters: Counters,
) -> AsyncIterator[KeyEventSubscriber]:
    events = EventLog(jetstream, new_id)
    log = EventsLog(events)
    subscriber = KeyEventSubscriber(
        broker,
        jetstream,
        Keeper(store, log, counters),
        log,
        counters,
        batch_messages=settings.batch_messages,
        longest_retry_s=settings.longest_retry_s,
    )
    await subscriber.start()
    watch = supervisor.spawn("consumer-watch", subscriber.watch(outage_s=settings.outage_timeout_s))
    recoverer = Recoverer(
        store,
        JobsQueue(events),
        counters,
        SystemClock(),
        settled=subscriber.settled,
        interval_s=settings.recovery_interval_s,
    )
    limits = Limits(settings.purge_after_s, settings.purge_pressed_after_s, settings.purge_pressure_ratio)
    janitor = Janitor(store, EventsPurge(events), counters, SystemClock(), limits)
    tasks = [
        watch,
        supervisor.spawn("recovery", _keep_looking(recoverer)),
        *([supervisor.spawn("janitor", _keep_purging(janitor, settings))] if settings.purge_enabled else []),
    ]
    try:
        yield subscriber
    finally:
        for task in tasks:
            task.cancel()
        await _stopped(broker, settings.stop_timeout_s / 2 + CLOSE_TIMEOUT_S)


async def _keep_looking(recoverer: Recoverer) -> None:
    while True:
        await recoverer.look()
        await asyncio.sleep(LOOK_EVERY_S)


async def _keep_purging(janitor: Janitor, settings: Settings) -> None:
    while True:
        soon = await janitor.round()
        await asyncio.sleep(min(PURGE_SOON_S, settings.purge_interval_s) if soon else settings.purge_interval_s)


async def _has_room(jetstream: JetStream, settings: Settings) -> None:
    ratio = (await EventsPurge(EventLog(jetstream, new_id)).fill()).ratio
    if ratio >= settings.purge_pressure_ratio:
        raise Unready(f"{ratio:.0%} full: posts leave it {settings.purge_pressed_after_s:.0f} s after their end")


def _own(streams: Topology) -> Topology:
    """The streams that the persister reads, and writes to when something was lost."""
    return Topology(tuple(s for s in streams.streams if s.name in (EVENTS, JOBS)), streams.consumers, streams.replicas)


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
