"""The library's connection with the hooks that a fan-out needs: when a reader is full, has room, or is going."""

import asyncio
import contextlib
import socket
import sys
from http import HTTPStatus
from time import monotonic
from typing import Any, Protocol, cast

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidHandshake, NegotiationError, SecurityError, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Event

from inkwire_contracts.close_codes import CloseCode
from inkwire_gateway.adapters.direct_socket import DirectSocket
from inkwire_gateway.framing import PING

NOTSENT_LOWAT_BYTES = 16_384
"""What the kernel may hold unsent for one reader; without it 4 MB go before a slow one is noticed."""

_TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if sys.platform == "linux" else None)


_CLOSE, _PONG = b"\x88", b"\x8a"
"""How these frames of the library begin; none of its others does."""


class _LostTransport(asyncio.Transport):
    """In the place of a transport that is gone: asyncio's own raises if it is aborted after it closed in order."""

    def abort(self) -> None:
        """It is gone already."""

    def is_closing(self) -> bool:
        """For ever."""
        return True

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def write(self, _data: object) -> None:
        raise BrokenPipeError("the connection is lost")


_LOST = _LostTransport()


class ConnectionEvents(Protocol):
    """What a connection tells its owner; none of it may raise or wait."""

    def full(self) -> None:
        """The transport's buffer is above its high-water mark."""
        ...

    def has_room(self) -> None:
        """It is below the low-water mark again."""
        ...

    def frame(self) -> None:
        """A frame came that is no message: a ping, a pong, or a part of a message that is not its last."""
        ...

    def going(self) -> None:
        """The connection is closing or lost: write nothing any more. May be told more than once."""
        ...


class GatewayConnection(ServerConnection):
    """Uses the library's handshake, parser, pongs and close; frames of our own go past it (see ``direct_socket``)."""

    # Beside the library's own attributes: a few more of those, and the dictionary that holds them grows by a kilobyte.
    __slots__ = (
        "_deadline",
        "_handshake_bytes",
        "_pong",
        "_said_close",
        "_turned_away",
        "direct",
        "events",
        "heard_s",
        "token",
    )

    max_handshake_bytes = 16 * 1024
    """Of the request line and all headers. The library alone takes 128 lines of 8 KiB."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.direct: DirectSocket
        self.events: ConnectionEvents | None = None
        self.token: str | None = None
        """The handshake's token, until it was taken."""
        self.heard_s = monotonic()
        """When the client was last heard, monotonic; not the loop's time, as uvloop's stands still within a turn."""
        self._turned_away = False
        self._said_close = False
        self._handshake_bytes = 0
        self._pong: bytes | None = None
        """One that waits until there is room."""
        self._deadline: asyncio.TimerHandle | None = None
        """Of the closing handshake, once it has begun."""

    def forget_handshake(self) -> None:
        """Let go of headers that nobody asks for any more; the library goes by the request's presence."""
        for message in (self.request, self.response):
            if message is not None:
                message.headers.clear()

    def enter(self) -> bool:
        """Whether there is room for one more handshake; without it the connection is cut off at once."""
        return True

    def gone(self) -> None:
        """The connection is lost."""

    def send_data(self) -> None:
        """What the library has to say, but pongs: behind what waits only the newest is kept, and none follows a Close.

        RFC 6455, 5.5.3, allows it, and who pings and reads nothing cannot fill the memory with pongs.
        """
        writes = self.protocol.writes
        if writes and (self.paused or self._said_close):
            others = [each for each in writes if not each.startswith(_PONG)]
            if len(others) < len(writes):
                self._pong = next(each for each in reversed(writes) if each.startswith(_PONG))
            if self._said_close:
                self._pong = None
            elif others and self._pong is not None:
                others.insert(0, self._pong)
                self._pong = None
            self.protocol.writes = others
        self._said_close = self._said_close or any(each.startswith(_CLOSE) for each in writes)
        super().send_data()
        self._check_open()  # it may have closed for a text that is not UTF-8, which it sees when that is taken

    def write_ping(self) -> None:
        """Ask for a sign of life. Through the transport, as a sweep must not care what waits there.

        Raises:
            OSError, RuntimeError: the transport is closing.
        """
        self.transport.write(PING)

    @property
    def is_open(self) -> bool:
        """Whether frames may be written."""
        return self.protocol.state is OPEN

    def start_close(self, row: CloseCode) -> None:
        """Send a Close frame behind what is written, and cut the connection if it is not gone in ``close_timeout``.

        Not the library's close(): that waits until a slow reader has taken everything, for ever if need be.
        """
        try:
            self.protocol.send_close(row.code, row.reason)
            self.send_data()
        except (WebSocketException, OSError, RuntimeError):
            self.abort()

    def abort(self) -> None:
        """Cut the connection, whatever waits."""
        self.transport.abort()

    # -- the transport's calls ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what the kernel buffers, and open the way around the transport."""
        if not self.enter():
            self._turned_away = True
            cast("asyncio.Transport", transport).abort()
            return
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and _TCP_NOTSENT_LOWAT is not None:
            with contextlib.suppress(OSError):  # not every socket has it (Unix sockets, other systems)
                raw.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)
        self.direct = DirectSocket(self.transport)

    def data_received(self, data: bytes) -> None:
        """Note the sign of life; after a client's Close frame nothing may be written."""
        self.heard_s = monotonic()
        if self.request is None and not self._fits(data):
            return
        super().data_received(data)
        self._check_open()

    @property
    def handshake_failure(self) -> str | None:
        """Why the handshake came to nothing, of ``counters.REFUSALS``; ``None``: it did not, or not by the library."""
        error = self.protocol.handshake_exc
        if isinstance(error, SecurityError):  # in all, of a line, or the number of headers
            return "handshake_too_large"
        if self.request is None and (error is None or isinstance(error.__cause__, EOFError)):
            return "handshake_unfinished"
        if isinstance(error, NegotiationError):
            return "subprotocol"
        return "no_websocket" if isinstance(error, InvalidHandshake) else None

    def _fits(self, data: bytes) -> bool:
        """Count what comes before the request is complete; what is too much is answered with 431 and not looked at."""
        if self.protocol.handshake_exc is not None:
            return True  # the library lets go of it
        self._handshake_bytes += len(data)
        if self._handshake_bytes <= self.max_handshake_bytes:
            return True
        text = f"Open the WebSocket with at most {self.max_handshake_bytes} bytes of headers; cookies count.\n"
        response = self.protocol.reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
        self.protocol.handshake_exc = SecurityError("the handshake is too large")
        self.protocol.send_response(response)
        self.send_data()
        return False

    def process_event(self, event: Event) -> None:
        """Count what never becomes a message, or only with what follows; the library bounds the bytes of those."""
        super().process_event(event)
        if self.events is None or not isinstance(event, Frame):
            return
        if event.opcode in (Opcode.PING, Opcode.PONG) or not event.fin:
            self._tell(self.events.frame)

    def eof_received(self) -> None:
        """See :meth:`data_received`."""
        super().eof_received()
        self._check_open()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        if self._turned_away:
            self._untie()
            return
        self.gone()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.events is not None:
            self.events.going()
            self.events = None  # they refer to each other: gone now, not at some collection
        self.direct.close()
        super().connection_lost(exc)
        self.transport = _LOST
        self._untie()

    def _untie(self) -> None:
        """Break the library's cycles, so that what a connection held is free at once, not at some full collection."""
        vars(self.protocol).pop("select_subprotocol", None)
        self.protocol.parser.close()
        for error in (self.protocol.parser_exc, self.protocol.handshake_exc):
            _forget_frames(error)

    def pause_writing(self) -> None:
        """Leave the fan-out."""
        super().pause_writing()
        if self.events is not None:
            self._tell(self.events.full)

    def resume_writing(self) -> None:
        """Go on with what is pending, a pong first."""
        super().resume_writing()
        pong, self._pong = self._pong, None
        if pong is not None and not self._said_close:
            self.transport.write(pong)
        if self.events is not None and not self.paused:
            self._tell(self.events.has_room)

    def _check_open(self) -> None:
        """Whoever closes, the reader leaves the fan-out, and the client has ``close_timeout`` to end the connection.

        The library waits for that without end: its own deadline is for calls that nobody makes here. Nor does it read
        where messages wait that nobody will take any more, and so it would not see the end.
        """
        if self.events is None or self.is_open:
            return
        self.events.going()
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.close_timeout or 0.0, self.abort)
        with contextlib.suppress(RuntimeError):  # it is gone already
            self.transport.resume_reading()

    def _tell(self, what: Any) -> None:
        # The event loop swallows exceptions of these callbacks; a reader must not be left behind in silence.
        try:
            what()
        except Exception:
            self.transport.abort()
            raise


def _forget_frames(error: BaseException | None) -> None:
    """Let go of what an error and its causes passed through."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
