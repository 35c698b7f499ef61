"""What one connection has still to be sent: replies in order, and subscriptions that are not up to date.

Its memory is bounded whatever the client does: replies by bytes, events not at all because they are only cursors on
shared rings, written bytes by the transport's high-water mark and one frame.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from inkwire_gateway.subscription import FellOff, State, Subscription, TooSlow

if TYPE_CHECKING:
    from inkwire_gateway.hub import Hub

MAX_REPLY_BYTES = 64 * 1024
"""Replies kept for a client that does not read; beyond it the client is too slow."""

PUMP_BYTES = 256 * 1024
"""Written in one go for one connection; then others have their turn."""

Write = Callable[[bytes], object]


class SendQueue:
    """Pure but for ``write``, which must never wait. The owner tells it of :meth:`pause` and :meth:`resume`.

    Args:
        write: hands bytes to the transport; may call :meth:`pause` while it runs.
        again: asks for another :meth:`pump` soon.
        end: is called once, with the name of a close code, when the client is beyond every bound (``slow``) or its
            transport failed (``lost_position``); it must close the connection.
    """

    def __init__(self, hub: "Hub", write: Write, *, again: Callable[[], object], end: Callable[[str], None]) -> None:
        self.hub = hub
        self.write = write
        self.paused = False
        self.closed = False
        self.subscriptions: set[Subscription] = set()
        self._again = again
        self._end = end
        self._replies: deque[bytes] = deque()
        self._reply_bytes = 0
        self._behind: deque[Subscription] = deque()

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
            self._give_up("slow")
            return
        self._replies.append(frame)
        self._reply_bytes += len(frame)

    def feed(self, subscription: Subscription) -> None:
        """The subscription has something to catch up with."""
        if subscription not in self._behind:
            self._behind.append(subscription)
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
        if subscription not in self._behind:
            self._behind.append(subscription)

    def forget(self, subscription: Subscription) -> None:
        """It was unsubscribed."""
        self.subscriptions.discard(subscription)
        if subscription in self._behind:
            self._behind.remove(subscription)

    def close(self) -> None:
        """Send nothing any more."""
        self.closed = True
        self._replies.clear()
        self._reply_bytes = 0
        self._behind.clear()

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
                self._again()
                return

    def _next(self) -> bytes | None:
        if self._replies:
            frame = self._replies.popleft()
            self._reply_bytes -= len(frame)
            return frame
        while self._behind:
            subscription = self._behind[0]
            try:
                found = self._frame_of(subscription)
            except TooSlow:
                self._give_up("slow")
                return None
            if found is not None:
                self._behind.rotate(-1)  # several channels take turns
                return found
            self._behind.popleft()
            if subscription.state is State.CATCHING_UP:
                self.hub.promote(subscription)
        return None

    def _frame_of(self, subscription: Subscription) -> bytes | None:
        try:
            return subscription.next_frame()
        except FellOff:
            self.hub.resync(subscription)
            return subscription.next_frame()

    def broken(self) -> None:
        """A write failed: the connection is going."""
        self._give_up("lost_position")

    def _write(self, frame: bytes) -> None:
        try:
            self.write(frame)
        except (OSError, RuntimeError):
            self.broken()

    def _give_up(self, close_code: str) -> None:
        if not self.closed:
            self.close()
            self._end(close_code)
