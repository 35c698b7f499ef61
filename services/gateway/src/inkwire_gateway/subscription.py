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

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from inkwire_contracts.client_frames import Position, PresentMember
from inkwire_gateway.catch_up import CatchUp, LetGo

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
        "_index",
        "answered",
        "channel",
        "connection",
        "cursor",
        "dialect",
        "is_queued",
        "live_told",
        "name",
        "position",
        "queue",
        "recovered",
        "request_id",
        "resyncs",
        "stands",
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
        self.answered = False
        """Whether it was told that it is subscribed."""
        self.recovered = False
        """Whether newer events alone are what it needs."""
        self.live_told = False
        self.is_queued = False
        """Whether it is among its queue's that are behind."""
        self.resyncs = 0
        self.stands = True
        """Whether it was given, or needs not, how things stand."""
        self._catch_up: CatchUp | None = None
        self._index = 0

    def recover(self, cursor: int) -> None:
        """Start with the events after ``cursor``."""
        self.state = State.CATCHING_UP
        self.cursor = cursor
        self.recovered = True

    def begin(self) -> None:
        """Start, or start again, with how things stand. That is asked for only when there is room for it."""
        self.state = State.CATCHING_UP
        self.recovered = False
        self.stands = False
        self._catch_up = None

    @property
    def needs_stand(self) -> bool:
        """Whether :meth:`stand` is due before the next piece."""
        if self.state is not State.CATCHING_UP or not self.answered:
            return False
        return not self.stands or (self._catch_up is not None and self._catch_up.is_gone)

    def stand(self, catch_up: CatchUp) -> None:
        """Go on with frames that bring the reader to a newer place; they end with the word that this is all."""
        self.stands = True
        self._catch_up, self._index = catch_up, 0
        self.cursor = catch_up.seq
        self.live_told = True

    def next_piece(self) -> Piece | None:
        """What to send next; ``None`` when the reader has all that its channel has sent to anyone.

        Raises:
            FellOff: the ring does not reach back to it, or what it was to be given is not there any more.
        """
        channel = self.channel
        if self.state is not State.CATCHING_UP or channel is None:
            return None
        if not self.answered:
            self.answered = True
            return Piece(self.dialect.subscribed(channel.name, self.request_id, recovered=self.recovered))
        frame = self._next_standing()
        if frame is not None:
            return Piece(frame)
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

    def _next_standing(self) -> bytes | None:
        if self._catch_up is None:
            return None
        try:
            frame = self._catch_up.frame(self._index)
        except LetGo:
            raise FellOff from None
        self._index += 1
        if frame is None:
            self._catch_up = None
        return frame

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
