"""Readers whose sockets are full: who makes progress, who does not, and how much waits for all of them. Pure.

A reader makes progress when less waits in its transport than at the last look, or when it has room again. One that
reads a little lives on, however slow it is; one that reads nothing is closed; what waits for all together is bounded.
"""

from typing import Protocol


class Reader(Protocol):
    """A connection that something waits for."""

    def transport_bytes(self) -> int:
        """Bytes in its transport."""
        ...

    def reply_bytes(self) -> int:
        """Bytes of replies behind those."""
        ...

    def close(self, code: str) -> None:
        """End it with a row of the close code table; it leaves :class:`WaitingReaders` by that."""
        ...


class _Seen:
    __slots__ = ("progress_s", "total_bytes", "transport_bytes")

    def __init__(self, transport_bytes: int, total_bytes: int, progress_s: float) -> None:
        self.transport_bytes = transport_bytes
        self.total_bytes = total_bytes
        self.progress_s = progress_s


class WaitingReaders:
    """Full readers, the longest without progress first. Sizes are those of the last look; times are monotonic.

    Args:
        slow_timeout_s: how long a reader may make no progress.
        max_bytes: how much may wait for all of them.
    """

    def __init__(self, slow_timeout_s: float, max_bytes: int) -> None:
        self._slow_timeout_s = slow_timeout_s
        self._max_bytes = max_bytes
        self._readers: dict[Reader, _Seen] = {}
        self.total_bytes = 0

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def too_much(self) -> bool:
        """Whether :meth:`relieve` is due."""
        return self.total_bytes > self._max_bytes

    def add(self, reader: Reader, now_s: float) -> None:
        """Its socket is full."""
        self.remove(reader)
        held = reader.transport_bytes()
        seen = _Seen(held, held + reader.reply_bytes(), now_s)
        self._readers[reader] = seen
        self.total_bytes += seen.total_bytes

    def remove(self, reader: Reader) -> None:
        """It has room again, or is closing."""
        seen = self._readers.pop(reader, None)
        if seen is not None:
            self.total_bytes -= seen.total_bytes

    def look(self, reader: Reader, now_s: float) -> None:
        """Measure one again; closes it (``slow``) if it made no progress for too long."""
        seen = self._readers.get(reader)
        if seen is None:
            return
        self._measure(reader, seen, now_s)
        if now_s - seen.progress_s > self._slow_timeout_s:
            reader.close("slow")

    def relieve(self, now_s: float) -> None:
        """Close (``slow``) who is longest without progress, until what waits for all is within its bound."""
        for reader, seen in list(self._readers.items()):
            if not self.too_much:
                return
            if reader in self._readers and not self._measure(reader, seen, now_s):
                reader.close("slow")
        while self.too_much and self._readers:  # everybody makes progress, and it is too much all the same
            next(iter(self._readers)).close("slow")

    def _measure(self, reader: Reader, seen: _Seen, now_s: float) -> bool:
        held = reader.transport_bytes()
        total = held + reader.reply_bytes()
        self.total_bytes += total - seen.total_bytes
        progress = held < seen.transport_bytes
        seen.transport_bytes, seen.total_bytes = held, total
        if progress:
            seen.progress_s = now_s
            self._readers[reader] = self._readers.pop(reader)  # to the end: order is by progress
        return progress
