"""One connected client: its session's effects are carried out here, on its socket and in the hub."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from pydantic import BaseModel

from inkwire_chassis.auth import KeyRing, Principal
from inkwire_chassis.clock import Clock, new_id
from inkwire_chassis.logs import get_logger
from inkwire_contracts.client_frames import ErrorFrame, PresentMember, Unsubscribed
from inkwire_contracts.close_codes import CLOSE_CODES
from inkwire_contracts.errors import render
from inkwire_gateway.adapters.compression import negotiated
from inkwire_gateway.adapters.connection import GatewayConnection
from inkwire_gateway.cancels import Cancels
from inkwire_gateway.channels import Channels
from inkwire_gateway.counters import FRAME_REFUSALS
from inkwire_gateway.dialects.native import DEFLATED, NATIVE
from inkwire_gateway.hub import Hub
from inkwire_gateway.send_queue import SendQueue
from inkwire_gateway.session import (
    AskCancel,
    Close,
    Effect,
    Join,
    Leave,
    Say,
    Send,
    Session,
    SessionLimits,
    error_frame,
)
from inkwire_gateway.subscription import State, Subscription
from inkwire_gateway.waiting import WaitingReaders

if TYPE_CHECKING:
    from inkwire_gateway.adapters.server import ServerLimits


class Gateway(ABC):
    """What all clients of a process share."""

    channels: Channels
    cancels: Cancels

    def __init__(
        self,
        hub: Hub,
        keys: KeyRing,
        clock: Clock,
        session_limits: SessionLimits,
        waiting: WaitingReaders,
    ) -> None:
        self.hub = hub
        self.keys = keys
        self.clock = clock
        self.session_limits = session_limits
        self.waiting = waiting
        self.closing = 0
        """Connections that are on their way out."""

    def verify(self, token: str, _now: object) -> Principal:
        """Who holds this token.

        Raises:
            InkwireError: nobody.
        """
        return self.keys.verify(token, now=self.clock.now())

    @abstractmethod
    def admit(self, owner: str) -> bool:
        """Whether one more connection of this owner fits."""


class Client:
    """Glue without decisions of its own; nothing in it waits. It is the outlet of its queue."""

    __slots__ = (
        "_closing",
        "_connection",
        "_dialect",
        "_full_s",
        "_gateway",
        "_pinged_s",
        "_subscriptions",
        "closed_here",
        "queue",
        "send",
        "session",
    )

    def __init__(self, gateway: Gateway, connection: GatewayConnection) -> None:
        self._gateway = gateway
        self._connection = connection
        self._dialect = DEFLATED if negotiated(connection) else NATIVE
        self._closing = False
        self._pinged_s: float | None = None
        self._full_s: float | None = None
        """When its socket was full last."""
        self.closed_here = False
        self.send = connection.direct.send
        self.queue = SendQueue(gateway.hub, self)
        self.session = Session(
            new_id(),
            gateway.session_limits,
            verify=gateway.verify,
            admit=gateway.admit,
            opened_s=gateway.clock.monotonic_s(),
        )
        self._subscriptions: dict[str, Subscription] = {}
        connection.events = self
        if connection.paused:
            self.full()

    def open(self) -> None:
        """Begin, with the handshake's token if there was one."""
        token, self._connection.token = self._connection.token, None
        self.perform(self.session.open(token, self._gateway.clock.now()))

    def receive(self, message: str | bytes) -> None:
        """A frame of the client."""
        if not self._closing:
            clock = self._gateway.clock
            self.perform(self.session.receive(message, clock.now(), clock.monotonic_s()))

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the session decided, in order; nothing after a close."""
        for effect in effects:
            if self._closing:
                return
            if isinstance(effect, Send):
                if isinstance(effect.frame, ErrorFrame) and effect.frame.code in FRAME_REFUSALS:
                    self._gateway.hub.counters.refusals[effect.frame.code] += 1
                self._reply(effect.frame)
            elif isinstance(effect, Join):
                self._join(effect)
            elif isinstance(effect, Leave):
                self._leave(effect.channel)
            elif isinstance(effect, AskCancel):
                self._gateway.cancels.start(effect, self._cancel_answered)
            elif isinstance(effect, Say):
                self._say(effect)
            elif isinstance(effect, Close):
                self.close(effect.code)

    def _reply(self, frame: BaseModel) -> None:
        self.queue.reply(self._dialect.reply(frame))
        if self.queue.paused and not self._closing:
            self._gateway.waiting.look(self, self._gateway.clock.monotonic_s())
            self._relieve()

    def _relieve(self) -> None:
        """Soon, as whoever has to go may be in the midst of something, this client among them."""
        gateway = self._gateway
        if gateway.waiting.too_much:
            self._connection.loop.call_soon(gateway.waiting.relieve, gateway.clock.monotonic_s())

    def _join(self, wanted: Join) -> None:
        who = PresentMember(user=wanted.owner, name=wanted.name, avatar=wanted.avatar)
        subscription = Subscription(
            wanted.channel,
            self.queue,
            self._dialect,
            wanted.request_id,
            wanted.position,
            who=who,
            connection=self.session.connection,
        )
        self._subscriptions[wanted.channel] = subscription
        self._gateway.channels.join(wanted.owner, subscription)

    def _leave(self, channel: str) -> None:
        subscription = self._subscriptions.pop(channel, None)
        if subscription is not None:
            self._gateway.channels.leave(subscription)

    def _say(self, wish: Say) -> None:
        subscription = self._subscriptions.get(wish.channel)
        if subscription is None or not self._gateway.channels.whisper(subscription, wish.name, wish.data):
            refusal = error_frame("not_subscribed", channel=wish.channel, request_id=wish.request_id)
            self._reply(refusal)

    def _cancel_answered(self, frame: BaseModel) -> None:
        self.session.cancel_answered()
        self.perform([Send(frame)])

    def refuse(self, subscription: Subscription, code: str) -> None:
        """The channel cannot be followed: an error answers a subscribe, else the channel is ended."""
        name, joining = subscription.name, subscription.state is State.JOINING
        self._gateway.hub.leave(subscription)
        if self._subscriptions.get(name) is subscription:
            del self._subscriptions[name]
            self.session.ended(name)
        told: BaseModel
        if joining:
            told = error_frame(code, channel=name, request_id=subscription.request_id)
        else:
            told = Unsubscribed(channel=name, code=code, message=render(code))
        self._reply(told)

    def close(self, code: str) -> None:
        """End the connection with a row of the close code table."""
        if self._closing:
            return
        self.going()
        row = CLOSE_CODES[code]
        self.closed_here = True
        self._gateway.hub.counters.closes[row.code] += 1
        get_logger().debug("closing connection", connection=self.session.connection, code=row.code)
        self._connection.start_close(row)

    def check_life(self, now_s: float, unix_s: float, limits: "ServerLimits") -> None:
        """Ping the silent, close the dead, those who take nothing, and those whose time is up."""
        if self._closing:
            return
        overdue = self.session.overdue(unix_s, now_s)
        if overdue is not None:
            self.close(overdue)
            return
        if self.queue.paused:
            self._gateway.waiting.look(self, now_s)
            return
        heard_s, pinged_s = self._connection.heard_s, self._pinged_s
        if pinged_s is not None and heard_s < pinged_s:
            if now_s - pinged_s > self._pong_patience_s(pinged_s, limits):
                self.close("no_pong")
        elif now_s - heard_s >= limits.ping_interval_s:
            self._pinged_s = now_s
            self._ping()

    def _pong_patience_s(self, pinged_s: float, limits: "ServerLimits") -> float:
        """How long a pong may take: for who was full not long ago it stands behind much that has to be read first."""
        was_slow = self._full_s is not None and pinged_s - self._full_s < limits.slow_timeout_s
        return max(limits.slow_timeout_s, limits.pong_timeout_s) if was_slow else limits.pong_timeout_s

    def transport_bytes(self) -> int:
        """See :class:`inkwire_gateway.waiting.Reader`."""
        return self._connection.transport.get_write_buffer_size()

    def reply_bytes(self) -> int:
        """See :class:`inkwire_gateway.waiting.Reader`."""
        return self.queue.pending_bytes

    def _ping(self) -> None:
        try:
            self._connection.write_ping()
        except (OSError, RuntimeError):
            self.queue.broken()

    # -- the queue's calls -------------------------------------------------------------------------------------

    def send_rest(self, rest: memoryview) -> None:
        """See :class:`inkwire_gateway.send_queue.Outlet`."""
        self._connection.direct.send_rest(rest)

    def again(self) -> None:
        """See :class:`inkwire_gateway.send_queue.Outlet`."""
        self._connection.loop.call_soon(self.queue.pump)

    def end(self, code: str) -> None:
        """See :class:`inkwire_gateway.send_queue.Outlet`."""
        self.close(code)

    def lost(self) -> None:
        """See :class:`inkwire_gateway.send_queue.Outlet`. Counted nowhere: it was not closed from here."""
        self.going()
        self._connection.abort()

    # -- the connection's calls --------------------------------------------------------------------------------

    def full(self) -> None:
        """See :class:`ConnectionEvents`."""
        self.queue.pause()
        self._gateway.waiting.add(self, self._gateway.clock.monotonic_s())
        self._relieve()

    def has_room(self) -> None:
        """See :class:`ConnectionEvents`."""
        self._gateway.waiting.remove(self)
        self._full_s = self._gateway.clock.monotonic_s()
        self._pinged_s = None  # it has taken what stood before the ping: asked again if it stays silent
        self.queue.resume()

    def frame(self) -> None:
        """See :class:`ConnectionEvents`."""
        if not self._closing:
            self.perform(self.session.count_frame(self._gateway.clock.monotonic_s()))

    def going(self) -> None:
        """See :class:`ConnectionEvents`."""
        if not self._closing:
            self._closing = True
            self._gateway.closing += 1
        self._gateway.waiting.remove(self)
        self._gateway.hub.leave_all(self.queue)
        self.queue.close()
