"""What one connection has still to be sent: replies in order, and subscriptions that are not up to date.

Its memory is bounded whatever the client does: replies by bytes, events not at all because they are only cursors on
shared rings, written bytes by one frame: whose rest waits in the transport, gets no other.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from inkwire_gateway.subscription import FellOff, Piece, State, Subscription, TooSlow

if TYPE_CHECKING:
    from inkwire_gateway.hub import Hub

MAX_REPLY_BYTES = 64 * 1024
"""Replies kept for a client that does not read; beyond it the client is too slow."""

PUMP_BYTES = 256 * 1024
"""Written in one go for one connection; then others have their turn."""

Send = Callable[[bytes], int]
"""Hands over as much of a frame as can be taken at once and returns how many bytes that was; never waits.

Raises BlockingIOError where it is none, another OSError or a RuntimeError where the connection is going.
"""


class Outlet(Protocol):
    """Where one connection's frames go, and who decides about its end. It calls ``pause`` and ``resume``."""

    @property
    def send(self) -> Send:
        """To be called only while nothing waits, that is not between ``pause`` and ``resume``."""
        ...

    def send_rest(self, rest: memoryview) -> None:
        """Take what ``send`` did not take, in any case; ``pause`` was called when this returns, unless it all went."""
        ...

    def again(self) -> None:
        """Call :meth:`SendQueue.pump` soon."""
        ...

    def end(self, code: str) -> None:
        """Close the connection, with the name of a close code: the client is beyond every bound (``slow``)."""
        ...

    def lost(self) -> None:
        """Its transport failed, as when the client has vanished: there is nobody to be told anything."""
        ...


class _Nowhere:
    """The outlet of a queue whose connection is gone."""

    def send(self, _frame: bytes) -> int:
        raise BrokenPipeError

    def send_rest(self, _rest: memoryview) -> None:
        raise BrokenPipeError

    def again(self) -> None:
        """Nothing is left to be done."""

    def end(self, _code: str) -> None:
        """It has ended."""

    def lost(self) -> None:
        """It is."""


NOWHERE = _Nowhere()


class SendQueue:
    """Pure but for its outlet, of whose ``end`` and ``lost`` one is called, once at most."""

    __slots__ = ("_behind", "_outlet", "_replies", "_reply_bytes", "closed", "hub", "paused", "send", "subscriptions")

    def __init__(self, hub: "Hub", outlet: Outlet) -> None:
        self.hub = hub
        self.send = outlet.send
        self.paused = False
        self.closed = False
        self.subscriptions: set[Subscription] = set()
        self._outlet = outlet
        self._replies: list[bytes] = []
        """Few, and nearly always none: an empty list is a tenth of an empty deque."""
        self._reply_bytes = 0
        self._behind: list[Subscription] = []

    @property
    def pending_bytes(self) -> int:
        """Bytes of replies that wait."""
        return self._reply_bytes

    def reply(self, frame: bytes) -> None:
        """Send an answer, after those before it; events of other channels may overtake it."""
        if self.closed:
            return
        if not self.paused and not self._replies:
            self._write(frame)
            return
        if self._reply_bytes + len(frame) > MAX_REPLY_BYTES:
            self._give_up()
            return
        self._replies.append(frame)
        self._reply_bytes += len(frame)

    def feed(self, subscription: Subscription) -> None:
        """The subscription has something to catch up with."""
        self.stay_behind(subscription)
        self.pump()

    def pause(self) -> None:
        """The transport is full: leave the fan-out, so that nobody waits for this client."""
        self.paused = True
        self.hub.demote(self)

    def resume(self) -> None:
        """The transport has room again."""
        self.paused = False
        self.pump()

    def stay_behind(self, subscription: Subscription) -> None:
        """Keep a subscription that left the fan-out, to go on when there is room."""
        if not subscription.is_queued:
            subscription.is_queued = True
            self._behind.append(subscription)

    def forget(self, subscription: Subscription) -> None:
        """It was unsubscribed."""
        self.subscriptions.discard(subscription)
        if subscription.is_queued:
            subscription.is_queued = False
            self._behind.remove(subscription)

    def close(self) -> None:
        """Send nothing any more."""
        self.closed = True
        self._replies.clear()
        self._reply_bytes = 0
        for subscription in self._behind:
            subscription.is_queued = False
        self._behind.clear()

    def detach(self) -> None:
        """The connection is gone; it and its queue know each other no longer, so that both are free at once."""
        self.close()
        self._outlet, self.send = NOWHERE, NOWHERE.send

    def pump(self) -> None:
        """Write until the transport is full, everything is written, or others should have their turn."""
        budget = PUMP_BYTES
        while not self.paused and not self.closed:
            frame = self._next()
            if frame is None:
                return
            self._write(frame)
            budget -= len(frame)
            if budget <= 0:
                self._outlet.again()
                return

    def _next(self) -> bytes | None:
        if self._replies:
            frame = self._replies.pop(0)
            self._reply_bytes -= len(frame)
            return frame
        while self._behind:
            subscription = self._behind[0]
            try:
                found = self._piece_of(subscription)
            except TooSlow:
                self._give_up()
                return None
            if found is not None:
                self._behind.append(self._behind.pop(0))  # several channels take turns
                self.hub.counters.count_piece(len(found.frame), found.events)
                return found.frame
            self._behind.pop(0)
            subscription.is_queued = False
            if subscription.state is State.CATCHING_UP:
                self.hub.promote(subscription)
        return None

    def _piece_of(self, subscription: Subscription) -> Piece | None:
        try:
            return self._next_piece_of(subscription)
        except FellOff:
            self.hub.resync(subscription)
            return self._next_piece_of(subscription)

    def _next_piece_of(self, subscription: Subscription) -> Piece | None:
        if subscription.needs_stand:
            self.hub.stand(subscription)
        return subscription.next_piece()

    def broken(self) -> None:
        """A write failed: the connection is lost."""
        if not self.closed:
            self.close()
            self._outlet.lost()

    def send_rest(self, frame: bytes, taken: int) -> None:
        """Hand over what was not taken of a frame."""
        try:
            self._outlet.send_rest(memoryview(frame)[taken:])
        except (OSError, RuntimeError):
            self.broken()

    def _write(self, frame: bytes) -> None:
        try:
            taken = self.send(frame)
        except BlockingIOError:
            taken = 0
        except (OSError, RuntimeError):
            self.broken()
            return
        if taken < len(frame):
            self.send_rest(frame, taken)

    def _give_up(self) -> None:
        if not self.closed:
            self.close()
            self._outlet.end("slow")
