"""Composition: the gateway while it serves."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import SystemClock, new_id
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.health import Health
from inkwire_chassis.http import serve_asgi
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.logs import get_logger
from inkwire_chassis.metrics import Metrics, admin_app
from inkwire_chassis.nats_connection import connected, probe
from inkwire_chassis.provisioning import verify, wait_until_provisioned
from inkwire_contracts.topology import CONVERSATIONS, EVENTS, PRESENCE, Topology, topology
from inkwire_gateway.adapters.api import http_api
from inkwire_gateway.adapters.conversation_history import LogConversations
from inkwire_gateway.adapters.direct_nats import DirectClient
from inkwire_gateway.adapters.heap import keep_heap
from inkwire_gateway.adapters.history import LogHistory
from inkwire_gateway.adapters.metrics import GatewayMetrics
from inkwire_gateway.adapters.presence import NatsPresence
from inkwire_gateway.adapters.server import GatewayServer, ServerLimits
from inkwire_gateway.adapters.tail import NatsTail, lost_conversation_of, lost_of
from inkwire_gateway.announcements import Announcements
from inkwire_gateway.cancels import Cancels
from inkwire_gateway.channel import HubLimits
from inkwire_gateway.channels import Channels, Outside
from inkwire_gateway.hub import Hub
from inkwire_gateway.lag import LagSampler
from inkwire_gateway.ports import PostApi
from inkwire_gateway.ring import RingBudget
from inkwire_gateway.session import SessionLimits
from inkwire_gateway.settings import Settings
from inkwire_gateway.upkeep import ChannelTimes
from inkwire_stores import Store, open_store

SERVICE = "gateway"


class Running:
    """The parts that came up, for the process and for tests."""

    def __init__(
        self, settings: Settings, client: DirectClient, jetstream: JetStream, store: Store, api: PostApi
    ) -> None:
        self.port = 0
        self.clock = SystemClock()
        self._client = client
        self.health = _health(client, jetstream, store)
        limits = HubLimits(
            settings.ring_events,
            settings.ring_bytes,
            presence_ttl_s=settings.presence_ttl_s,
            rings=RingBudget(settings.ring_total_bytes),
        )
        self.hub = Hub(self._schedule_flush, limits)
        self.lag = LagSampler(self.hub.counters, self.hub)
        self.server = GatewayServer(
            hub=self.hub,
            keys=KeyRing.parse(settings.jwt_keys.get_secret_value(), settings.jwt_issuer),
            clock=self.clock,
            health=self.health,
            limits=_server_limits(settings),
            session_limits=_session_limits(settings),
            allowed_origins=settings.origins,
            compression=settings.compression,
        )
        presence = NatsPresence(jetstream, new_id())
        conversations = LogConversations(ConversationLog(jetstream), store.conversations)
        self.announcements = Announcements(presence, clock=self.clock, ttl_s=settings.presence_ttl_s)
        self.channels = Channels(
            self.hub,
            Outside(
                NatsTail(client, presence, self.lag),
                LogHistory(EventLog(jetstream, new_id), store, recent_events=settings.ring_events),
                conversations,
                presence,
            ),
            self.announcements,
            clock=self.clock,
            times=_times(settings),
            refuse=self.server.refuse,
        )
        self.cancels = Cancels(api, conversations, max_in_flight=settings.max_cancels)
        self.server.attach(self.channels, self.cancels)
        self.metrics = Metrics(SERVICE, GatewayMetrics(self.hub, self.server, client, self.health).collect)

    def _schedule_flush(self) -> None:
        if not self._client.afterwards(self._flush):
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        try:
            self.hub.flush()
            self.lag.flushed(time.time())
        except Exception:  # noqa: BLE001 - whose turn this is, the broker's reader perhaps, has no part in it
            # A fault of ours, in the middle of the fan-out: nobody may be left with a silent gap.
            get_logger().error("fan-out failed", exc_info=True)
            self.server.lose_everyone()


class _Callbacks:
    """The broker's connection needs its callbacks before there is anything to call."""

    def __init__(self) -> None:
        self.channels: Channels | None = None

    async def disconnected(self) -> None:
        """Believe nothing until it is compared."""
        if self.channels is not None:
            self.channels.disconnected()

    async def reconnected(self) -> None:
        """Compare everything with the log."""
        if self.channels is not None:
            self.channels.reconnected()

    async def failed(self, error: Exception) -> None:
        """Messages that were dropped here are read from the log."""
        lost = lost_of(error)
        if self.channels is not None and lost is not None:
            self.channels.suspect(*lost)
        conversation = lost_conversation_of(error)
        if self.channels is not None and conversation is not None:
            self.channels.suspect_conversation(conversation)


@asynccontextmanager
async def running(settings: Settings, supervisor: Supervisor) -> AsyncIterator[Running]:
    """The gateway while it serves. Waits for NATS and its streams, in whatever order things start."""
    callbacks, client = _Callbacks(), DirectClient()
    async with (
        open_store(settings.store_url) as store,
        http_api(settings.api_url, timeout_s=settings.api_timeout_s, max_in_flight=settings.max_cancels) as api,
        connected(
            settings.nats_url,
            SERVICE,
            client,
            on_disconnect=callbacks.disconnected,
            on_reconnect=callbacks.reconnected,
            on_error=callbacks.failed,
        ),
    ):
        jetstream = JetStream(client)
        await jetstream.start()
        await wait_until_provisioned(jetstream, _own(topology()), timeout_s=settings.provision_timeout_s)
        parts = Running(settings, client, jetstream, store, api)
        callbacks.channels = parts.channels
        upkeep = supervisor.spawn("channels", parts.channels.run())
        voice = supervisor.spawn("announcements", parts.announcements.run())
        try:
            shared = settings.worker_ports == "shared"
            async with (
                _admin(settings, parts, supervisor),
                parts.server.serving(settings.host, settings.port, supervisor, shared=shared) as parts.port,
            ):
                get_logger().info("ready", host=settings.host, port=parts.port)
                if settings.worker:
                    print("ready", end="", flush=True)  # for the group's parent, which waits for it
                yield parts
        finally:
            upkeep.cancel()
            voice.cancel()
            await parts.cancels.stop()
            await parts.channels.stop()


@asynccontextmanager
async def process(settings: Settings, supervisor: Supervisor) -> AsyncIterator[Running]:
    """:func:`running` in a process of its own, whose garbage collector is ours to lead."""
    async with running(settings, supervisor) as parts:
        heap = supervisor.spawn("heap", keep_heap())
        try:
            yield parts
        finally:
            heap.cancel()


@asynccontextmanager
async def _admin(settings: Settings, parts: Running, supervisor: Supervisor) -> AsyncIterator[None]:
    """Health and metrics on a port of their own, to the very end; without one nothing is measured for them."""
    if not settings.admin_port:
        yield
        return
    app, host, port = admin_app(parts.health, parts.metrics), settings.admin_host, settings.admin_port
    with parts.metrics.measuring(supervisor):
        async with serve_asgi(app, host=host, port=port, supervisor=supervisor, name="admin"):
            yield


def _health(client: DirectClient, jetstream: JetStream, store: Store) -> Health:
    health = Health(SERVICE)
    health.add("nats", probe(client))
    health.add("streams", lambda: verify(jetstream, _own(topology())))
    health.add("store", store.ping)
    return health


def _own(streams: Topology) -> Topology:
    """The streams that the gateway reads."""
    own = (EVENTS, CONVERSATIONS, PRESENCE)
    return Topology(tuple(s for s in streams.streams if s.name in own), (), streams.replicas)


def _server_limits(settings: Settings) -> ServerLimits:
    return ServerLimits(
        max_connections=settings.max_connections,
        max_owner_connections=settings.max_owner_connections,
        max_handshakes=settings.max_handshakes,
        max_handshake_bytes=settings.max_handshake_bytes,
        handshake_timeout_s=settings.handshake_timeout_s,
        ping_interval_s=settings.ping_interval_s,
        pong_timeout_s=settings.pong_timeout_s,
        slow_timeout_s=settings.slow_timeout_s,
        max_waiting_bytes=settings.max_waiting_bytes,
        close_timeout_s=settings.close_timeout_s,
        drain_s=settings.drain_s,
    )


def _session_limits(settings: Settings) -> SessionLimits:
    return SessionLimits(
        max_channels=settings.max_channels,
        frames_per_s=settings.frames_per_s,
        frame_burst=settings.frame_burst,
        max_invalid_frames=settings.max_invalid_frames,
        authenticate_within_s=settings.authenticate_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        max_cancels=settings.max_connection_cancels,
        whispers_per_s=settings.whispers_per_s,
        whisper_burst=settings.whisper_burst,
    )


def _times(settings: Settings) -> ChannelTimes:
    return ChannelTimes(
        silence_s=settings.silence_s, linger_s=settings.linger_s, load_timeout_s=settings.load_timeout_s
    )
