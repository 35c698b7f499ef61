"""The WebSocket listener: handshakes, clients, one sweep for all of them, drain. Answers health on the same port."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from selectors import EVENT_READ, DefaultSelector

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import Clock
from inkwire_chassis.health import Health
from inkwire_chassis.http import health_answer
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.logs import get_logger
from inkwire_contracts.client_frames import MAX_CLIENT_FRAME_BYTES
from inkwire_gateway.adapters.client import Client, Gateway
from inkwire_gateway.adapters.compression import SharedDeflateFactory
from inkwire_gateway.adapters.connection import GatewayConnection
from inkwire_gateway.adapters.direct_socket import WRITE_LIMIT_BYTES
from inkwire_gateway.adapters.drain import drain
from inkwire_gateway.adapters.sweep import sweep
from inkwire_gateway.cancels import Cancels
from inkwire_gateway.channels import Channels
from inkwire_gateway.handshake import chosen_subprotocol, host_valid, offered_token, origin_allowed
from inkwire_gateway.hub import Hub
from inkwire_gateway.limits import ConnectionCount, Handshakes
from inkwire_gateway.session import SessionLimits
from inkwire_gateway.subscription import Subscription
from inkwire_gateway.waiting import WaitingReaders

RECEIVE_QUEUE_FRAMES = 4
BACKLOG = 1_024
"""Connections that the kernel holds until they are accepted: clients of a stopped gateway come back all together."""

ACCEPT_WITHIN_S = 0.2
"""For connections that the kernel still holds when the gateway stops listening."""
QUIET_TURNS = 3
"""Of the loop, in which nobody waits to be accepted: behind the third one each of them is a connection, to be cut."""

HEALTH_PATHS = ("/livez", "/readyz")
WEBSOCKET_PATH = "/ws"


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds of the listener; times in seconds."""

    max_connections: int = 10_000
    max_owner_connections: int = 200
    max_handshakes: int = 2_000
    max_handshake_bytes: int = 16 * 1024
    handshake_timeout_s: float = 10.0
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 20.0
    slow_timeout_s: float = 120.0
    max_waiting_bytes: int = 256 * 1024 * 1024
    close_timeout_s: float = 2.0
    drain_s: float = 1.5


class GatewayServer(Gateway):
    """All connections of this process."""

    def __init__(
        self,
        *,
        hub: Hub,
        keys: KeyRing,
        clock: Clock,
        health: Health,
        limits: ServerLimits,
        session_limits: SessionLimits,
        allowed_origins: Sequence[str],
        compression: bool = False,
    ) -> None:
        waiting = WaitingReaders(limits.slow_timeout_s, limits.max_waiting_bytes)
        super().__init__(hub, keys, clock, session_limits, waiting)
        self._health = health
        self.limits = limits
        self._allowed_origins = allowed_origins
        self._compression = compression
        self.count = ConnectionCount(limits.max_connections, limits.max_owner_connections)
        self.handshakes = Handshakes[GatewayConnection](limits.max_handshakes)
        self.clients: dict[object, Client] = {}

    def attach(self, channels: Channels, cancels: Cancels) -> None:
        """Where joins and cancels go; the server and they need each other."""
        self.channels = channels
        self.cancels = cancels

    def refuse(self, subscription: Subscription, code: str) -> None:
        """Tell a reader that its channel cannot be followed (any more)."""
        client = self.clients.get(subscription.queue)
        if client is None:
            self.hub.leave(subscription)
        else:
            client.refuse(subscription, code)

    def lose_everyone(self) -> None:
        """After a fault of our own in the fan-out: everybody resumes from the last place that was sent."""
        for client in list(self.clients.values()):
            client.close("lost_position")

    @asynccontextmanager
    async def serving(
        self, host: str, port: int, supervisor: Supervisor, *, shared: bool = False
    ) -> AsyncIterator[int]:
        """Listen until the block is left, then drain; yields the port. ``shared``: others may listen on it, too.

        Raises:
            OSError: the port cannot be bound.
        """
        server = await serve(
            self._handle,
            host,
            port,
            create_connection=self._connection_type(),
            process_request=self._process_request,
            select_subprotocol=_select_subprotocol,
            compression=None,  # the library's own way has a state for each connection
            extensions=[SharedDeflateFactory()] if self._compression else None,
            server_header=None,
            backlog=BACKLOG,
            reuse_port=shared or None,
            open_timeout=self.limits.handshake_timeout_s,
            close_timeout=self.limits.close_timeout_s,
            ping_interval=None,
            max_size=MAX_CLIENT_FRAME_BYTES,
            max_queue=RECEIVE_QUEUE_FRAMES,
            write_limit=WRITE_LIMIT_BYTES,
        )
        sweeping = supervisor.spawn("sweep", sweep(self.clients, self._look))
        try:
            yield int(next(iter(server.sockets)).getsockname()[1])
        finally:
            self._health.draining = True
            await self._drain(server)
            await server.wait_closed()
            sweeping.cancel()

    def _connection_type(self) -> type[GatewayConnection]:
        gateway = self

        class Connection(GatewayConnection):
            max_handshake_bytes = gateway.limits.max_handshake_bytes

            def enter(self) -> bool:
                if gateway.handshakes.enter(self):
                    return True
                gateway.hub.counters.refusals["too_many_handshakes"] += 1
                return False

            def gone(self) -> None:
                if gateway.handshakes.leave(self) and (reason := self.handshake_failure) is not None:
                    gateway.hub.counters.refusals[reason] += 1

        return Connection

    # -- handshake ---------------------------------------------------------------------------------------------

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path in HEALTH_PATHS:
            status, body = await health_answer(self._health, path)
            return _response(status, body, "application/json")
        if path != WEBSOCKET_PATH:
            return self._refuse("path", 404, b"There is nothing here; the WebSocket is at /ws.\n")
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        if not host_valid(hosts) or len(origins) > 1:
            return self._refuse("host", 400, b"Send one Host header and at most one Origin header.\n")
        if not origin_allowed(origins[0] if origins else None, hosts[0], self._allowed_origins):
            text = b"Open the page under its own address; this origin is not allowed.\n"
            return self._refuse("origin", 403, text)
        if self._health.draining:
            return self._refuse("draining", 503, b"The server restarts; try again.\n", retry_after_s=1)
        if isinstance(connection, GatewayConnection):
            offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
            authorization = request.headers.get_all("Authorization")
            connection.token = offered_token(
                [part.strip() for part in offered.split(",")], authorization[0] if authorization else None
            )
        return None

    def _refuse(self, reason: str, status: int, body: bytes, retry_after_s: int | None = None) -> Response:
        self.hub.counters.refusals[reason] += 1
        return _response(status, body, retry_after_s=retry_after_s)

    # -- clients -----------------------------------------------------------------------------------------------

    async def _handle(self, connection: ServerConnection) -> None:
        if not isinstance(connection, GatewayConnection):
            raise TypeError("the server makes GatewayConnections")
        self.handshakes.leave(connection)
        self.hub.counters.handshakes += 1
        connection.forget_handshake()
        client = Client(self, connection)
        self.clients[client.queue] = client
        try:
            if not self.count.enter():
                client.close("over_capacity")
            elif self._health.draining:
                client.close("draining")
            else:
                client.open()
            async for message in connection:
                client.receive(message)
        except ConnectionClosed:
            get_logger().debug("connection closed", connection=client.session.connection, code=connection.close_code)
        finally:
            client.going()
            self.clients.pop(client.queue, None)
            self.closing -= 1
            self.count.leave(client.session.owner)
            self._count_close(client, connection)
            client.queue.detach()

    def _count_close(self, client: Client, connection: GatewayConnection) -> None:
        """What the library closed for a client's mistake (1002, 1007, 1009); a client counts its own closes."""
        sent = connection.protocol.close_sent
        if sent is not None and not client.closed_here and not connection.protocol.close_rcvd_then_sent:
            self.hub.counters.closes[sent.code] += 1

    def admit(self, owner: str) -> bool:
        """Whether one more connection of this owner fits."""
        return self.count.admit(owner)

    def _look(self, clients: Sequence[Client]) -> None:
        now_s, unix_s = self.clock.monotonic_s(), self.clock.now().timestamp()
        for client in clients:
            client.check_life(now_s, unix_s, self.limits)
        if self.waiting.too_much:
            self.waiting.relieve(now_s)

    async def _drain(self, server: Server) -> None:
        """Close everybody with a resumable code; see :func:`drain`. Handshakes under way are refused meanwhile."""
        self.channels.announcements.handing_over = True
        deadline_s = self.clock.monotonic_s() + self.limits.drain_s
        await _stop_listening(server, self.clock)
        await drain(
            list(self.clients.values()),
            lambda client: client.close("draining"),
            within_s=max(0.0, deadline_s - self.clock.monotonic_s()),
            now_s=self.clock.monotonic_s,
        )
        for client in list(self.clients.values()):
            client.close("draining")
        for connection in self.handshakes.all():
            connection.transport.abort()  # one that says nothing would hold the end up


async def _stop_listening(server: Server, clock: Clock) -> None:
    """Before anybody is sent away, as whoever comes back would be given to this process again.

    The kernel resets what it holds for a socket that is closed, so all of that is accepted first, in time.
    """
    until_s, quiet = clock.monotonic_s() + ACCEPT_WITHIN_S, 0
    with DefaultSelector() as selector:
        for each in server.sockets:
            selector.register(each, EVENT_READ)
        while quiet < QUIET_TURNS and clock.monotonic_s() < until_s:
            await asyncio.sleep(0)  # in which a loop accepts at least one
            quiet = 0 if selector.select(0) else quiet + 1
        server.server.close()
    server.close(close_connections=False)
    await asyncio.sleep(0)  # where the time was up, too


def _select_subprotocol(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    try:
        chosen = chosen_subprotocol(offered)
    except ValueError as error:
        raise NegotiationError(str(error)) from None
    return None if chosen is None else Subprotocol(chosen)


def _response(
    status: int, body: bytes, content_type: str = "text/plain; charset=utf-8", retry_after_s: int | None = None
) -> Response:
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
    )
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(status, HTTPStatus(status).phrase, headers, body)
