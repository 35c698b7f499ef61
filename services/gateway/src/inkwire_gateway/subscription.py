"""One reader of one channel: catch-up, then a cursor on the channel's ring, then the channel's fan-out itself.

    a            b               c
  ----> JOINING ----> CATCHING_UP ----> LIVE
           |            ^   |  ^         |
           |            +---+  +---------+
           |            e (d)      d
           +-----------------+----------> CLOSED   (f, from every state)
  a: the reader asked for the channel        d: the reader's socket is full, or it fell behind
  b: the channel is there                    e: its cursor fell off the ring: a new snapshot
  c: it has everything that was sent         f: unsubscribed, refused, or the connection is gone

There is no queue of events per reader: what is still to be sent is what lies between its cursor and the channel's.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from inkwire_contracts.client_frames import Position, PresentMember

if TYPE_CHECKING:
    from inkwire_gateway.channel import Channel
    from inkwire_gateway.dialects import Dialect
    from inkwire_gateway.send_queue import SendQueue

MAX_RESYNCS = 3
"""Snapshots that one reader gets for falling behind, without ever catching up between them; then it is too slow."""


NOBODY = PresentMember(user="")


class State(StrEnum):
    """See the diagram above."""

    JOINING = "joining"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    CLOSED = "closed"


class Piece(NamedTuple):
    """A frame for one reader alone, and how many events it stands for: none where it tells how things stand."""

    frame: bytes
    events: int = 0


class FellOff(Exception):
    """What the reader needs next is not in the ring any more; it needs a snapshot."""


class TooSlow(Exception):
    """The reader cannot be brought up to date by any snapshot; close it with a resumable code."""


class Subscription:
    """See the module's docstring. ``cursor`` is the last ``seq`` the reader was given in full.

    ``who`` reads, on which ``connection``: for channels that several people share.
    """

    __slots__ = (
        "_catch_up",
        "channel",
        "connection",
        "cursor",
        "dialect",
        "live_told",
        "name",
        "position",
        "queue",
        "request_id",
        "resyncs",
        "state",
        "who",
    )

    def __init__(
        self,
        name: str,
        queue: "SendQueue",
        dialect: "Dialect",
        request_id: int | None,
        position: Position | None,
        *,
        who: PresentMember = NOBODY,
        connection: str = "",
    ) -> None:
        self.name = name
        self.who = who
        self.connection = connection
        self.queue = queue
        self.dialect = dialect
        self.request_id = request_id
        self.position = position
        self.channel: Channel | None = None
        self.state = State.JOINING
        self.cursor = 0
        self.live_told = False
        self._catch_up: Iterator[bytes] | None = None
        self.resyncs = 0

    def begin(self, cursor: int, frames: Iterator[bytes], *, live_told: bool) -> None:
        """Start (or start again) with frames that bring the reader to ``cursor``.

        ``live_told``: the frames end with the word that catch-up is complete; else it follows at the head.
        """
        self.state = State.CATCHING_UP
        self.cursor = cursor
        self.live_told = live_told
        self._catch_up = frames

    def next_piece(self) -> Piece | None:
        """What to send next; ``None`` when the reader has all that its channel has sent to anyone.

        Raises:
            FellOff: the ring does not reach back to it.
        """
        channel = self.channel
        if self.state is not State.CATCHING_UP or channel is None:
            return None
        if self._catch_up is not None:
            frame = next(self._catch_up, None)
            if frame is not None:
                return Piece(frame)
            self._catch_up = None
        if not channel.ring.covers(self.cursor):
            raise FellOff
        while (batch := channel.ring.batch_after(self.cursor, channel.sent_seq)) is not None:
            self.cursor = batch.seq
            if batch.origin is None or batch.origin != self.connection:
                return Piece(channel.frame(self.dialect, batch), batch.events)
        if not self.live_told:
            self.live_told = True
            told = channel.tell_live(self)
            return None if told is None else Piece(told)
        return None

    def went_live(self) -> None:
        """It has everything; from now on the channel's fan-out feeds it."""
        self.state = State.LIVE
        self.resyncs = 0

    def fell_behind(self, cursor: int) -> None:
        """The fan-out gave it everything up to ``cursor`` and will not give it more."""
        self.state = State.CATCHING_UP
        self.cursor = cursor

    def close(self) -> None:
        """Nothing is sent any more."""
        self.state = State.CLOSED
        self._catch_up = None
        self.channel = None
