"""The way past the broker client's queues: a message of a followed subject goes from its parser into the channel.

What is bypassed: for each subscription nats-py keeps a queue and a task, and takes a message's headers apart, which is
a sixth of the time of an event that five people read (benchmarks/README.md). Here a message is handed over in the
parser's own turn, headers as they came (``direct_parser``). Nothing is queued in between, so nothing is dropped in
between either: a process that cannot keep up stops reading, the server cuts it off in the end, and after the reconnect
everything is compared with the log.

``_ps`` is the client's own parser (nats-py 2.16, ``nats/aio/client.py``); tests/integration/test_gateway_tail.py fails
where a new version does not read through it any more.
"""

from collections.abc import Callable

from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from inkwire_chassis.nats_client import NatsClient
from inkwire_gateway.adapters.direct_parser import DirectParser, Taker


class Undelivered(NatsError):
    """A taker failed at a message of ``subject``."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"a message on {subject} could not be taken in")
        self.subject = subject


class DirectClient(NatsClient):
    """A client whose subscriptions may have takers; all else is as it was."""

    def __init__(self) -> None:
        super().__init__()
        self._takers: dict[bytes, Taker] = {}
        self._ps: DirectParser = DirectParser(self, self._takers)

    def afterwards(self, work: Callable[[], None]) -> bool:
        """Do something once for all messages of one read; see :meth:`DirectParser.afterwards`."""
        return self._ps.afterwards(work)

    async def take(self, subject: str, taker: Taker) -> Subscription:
        """Subscribe; without a callback the library makes no task. What comes before this returns may be missed.

        Raises:
            nats.errors.Error: the connection is closed.
        """
        subscription = await self.subscribe(subject)
        self._takers[_wire_id(subscription)] = taker
        return subscription

    async def leave(self, subscription: Subscription) -> None:
        """Unsubscribe; nothing is handed over any more from now on.

        Raises:
            nats.errors.Error: the connection is closed.
        """
        self._takers.pop(_wire_id(subscription), None)
        await subscription.unsubscribe()

    async def undelivered(self, subject: bytes, error: Exception) -> None:
        """Tell that a taker failed."""
        failure = Undelivered(subject.decode(errors="replace"))
        failure.__cause__ = error
        await self._error_cb(failure)


def _wire_id(subscription: Subscription) -> bytes:
    return b"%d" % subscription._id


def number_in(headers: bytes, name: bytes) -> int:
    """The number behind ``name`` (with the line's end before it, and its colon) in a header block.

    0 where it is not there. The broker's own headers come last.

    Raises:
        ValueError: it is no number.
    """
    start = headers.rfind(name)
    if start < 0:
        return 0
    start += len(name)
    return int(headers[start : headers.find(b"\r", start)])
