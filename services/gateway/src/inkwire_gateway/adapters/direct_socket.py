"""The way past the library's ``send`` and the loop's transport, from a finished frame straight to the kernel.

What is bypassed, and why that is right:

- The library's ``send()``: its state check (a connection leaves the fan-out in the same call in which it stops being
  open), its drain (a slow reader must hold up nobody), its fragmentation (we send none, and call it for nothing) and
  its extensions (a frame is the same for all readers who share it; see ``framing``).
- ``transport.write()``, as long as nothing waits in the transport: it costs a tenth of a delivery. What the kernel does
  not take goes through it, and while it holds anything nobody sends directly. For that the transport's high-water mark
  is 0: with a byte in its buffer it has called ``pause_writing``, and the reader is out of the fan-out until
  ``resume_writing``, which comes when the buffer is empty.

So bytes keep their order whoever sends them: pongs and Close frames of the library, which use the transport, are
written at once where nothing waits there, and behind what waits where something does.

Before a descriptor is closed the loop calls ``connection_lost``; :meth:`DirectSocket.close` then takes it out of the
socket here, so that whoever still holds ``send`` gets an error, and never the descriptor's next owner.
"""

import asyncio
import socket
import sys

from inkwire_gateway.send_queue import Send

WRITE_LIMIT_BYTES = 0
"""High-water mark of the transport: see above."""


class DirectSocket:
    """A connected TCP socket beside its transport. ``send`` is as in :class:`inkwire_gateway.send_queue.Outlet`."""

    __slots__ = ("_socket", "_transport", "send")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._socket: socket.socket | None = None
        self.send: Send = self._through_transport
        raw = transport.get_extra_info("socket")
        if raw is not None and transport.get_extra_info("sslcontext") is None and sys.platform != "win32":
            self._socket = socket.socket(raw.family, raw.type, raw.proto, fileno=raw.fileno())
            self.send = self._socket.send

    def send_rest(self, rest: memoryview) -> None:
        """Hand the rest of a frame to the transport.

        Raises:
            OSError, RuntimeError: the transport is closing.
        """
        self._transport.write(rest)

    def close(self) -> None:
        """Let go of the descriptor, which is the transport's."""
        if self._socket is not None:
            self._socket.detach()

    def _through_transport(self, frame: bytes) -> int:
        """Where there is no such way: encrypted or overlapped sockets."""
        self._transport.write(frame)
        return len(frame)
