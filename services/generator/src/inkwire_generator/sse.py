"""Server-sent events from bytes: any split, any line end. Sans I/O."""

from dataclasses import dataclass

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""A longer event is refused: no chunk of a completion comes near."""


class SseTooLong(ValueError):
    """One event is larger than :data:`MAX_EVENT_BYTES`."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One dispatched event; ``event`` is empty where none was named."""

    event: str
    data: bytes


class SseParser:
    """Feed it bytes as they come. Comments and fields that we do not use are dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size_bytes = 0
        self._event = ""
        self._first = True

    def feed(self, received: bytes) -> list[SseEvent]:
        """Events that are now complete.

        Raises:
            SseTooLong: an event without an end.
        """
        lines = (self._rest + received).splitlines(keepends=True)
        # A line is over at its line feed; a carriage return at the very end may be the first half of one.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if self._size_bytes + len(self._rest) > MAX_EVENT_BYTES:
            raise SseTooLong
        return self._take(lines)

    def end(self) -> list[SseEvent]:
        """The stream has ended: an event without its blank line counts, because some servers leave that out."""
        rest, self._rest = self._rest, b""
        return self._take([rest, b"\n"] if rest else [b"\n"])

    def _take(self, lines: list[bytes]) -> list[SseEvent]:
        events: list[SseEvent] = []
        for raw in lines:
            line = raw.rstrip(b"\r\n")
            if self._first:
                line = line.removeprefix(b"\xef\xbb\xbf")
                self._first = False
            if line.startswith(b"data:"):
                self._append(line[5:].removeprefix(b" "))
            elif not line:
                self._dispatch(events)
            elif line.startswith(b"event:"):
                self._event = line[6:].strip().decode("utf-8", "replace")
        return events

    def _append(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > MAX_EVENT_BYTES:
            raise SseTooLong
        self._data.append(data)

    def _dispatch(self, events: list[SseEvent]) -> None:
        if self._data:
            events.append(SseEvent(self._event, b"\n".join(self._data)))
            self._data = []
            self._size_bytes = 0
        self._event = ""
