"""Knows at once when a client's TCP connection is gone, and which requests were on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from inkwire_openai_sim.request_log import RequestRecord

MAX_RECORDS: Final = 256  # finished requests of one kept-alive connection that still learn when it was closed


class Connections:
    """The open connections and their request records."""

    def __init__(self) -> None:
        self._open: dict[asyncio.BaseTransport, deque[RequestRecord]] = {}

    def watch(self, factory: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """The HTTP server's protocol, wrapped so that the end of the connection is noticed first here."""
        return _Watched(factory(), self)

    def attach(self, transport: asyncio.BaseTransport | None, record: RequestRecord) -> None:
        """This request came over that connection."""
        if transport is None or transport not in self._open:
            record.connection_lost()
        else:
            self._open[transport].append(record)

    def opened(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._open[transport] = deque(maxlen=MAX_RECORDS)

    def lost(self, transport: asyncio.BaseTransport) -> None:
        """A connection is gone."""
        for record in self._open.pop(transport, ()):
            record.connection_lost()

    def __len__(self) -> int:
        return len(self._open)


class _Watched(asyncio.Protocol):
    """Passes everything on to the HTTP server's own protocol."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner, self._connections = inner, connections
        self._transport: asyncio.BaseTransport | None = None
        self.data_received = inner.data_received  # type: ignore[method-assign]  # no detour on the hot path

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.opened(transport)
        self._inner.connection_made(cast(asyncio.Transport, transport))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._connections.lost(self._transport)
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
