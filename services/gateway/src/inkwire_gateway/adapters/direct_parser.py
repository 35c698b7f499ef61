"""Reads the broker's wire protocol: a message that has a taker is handed over in the turn in which it was read.

What is bypassed: nats-py's parser, which tries a regular expression for each kind of line, cuts every message off the
front of a buffer and awaits its client for each. Here a read is gone through once, by offsets. What has no taker goes
on to that parser one whole element of the protocol at a time, so that it never holds a part of one.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

if TYPE_CHECKING:
    from inkwire_gateway.adapters.direct_nats import DirectClient

Taker = Callable[[bytes, bytes, bytes], object]
"""(subject, payload, header block) of a message."""

_CRLF = b"\r\n"


class DirectParser(Parser):
    """The library's parser behind one of our own.

    Args:
        client: whose parser it is.
        takers: by the number of the subscription as it stands on the wire.
    """

    def __init__(self, client: "DirectClient", takers: Mapping[bytes, Taker]) -> None:
        self._client = client
        self._takers = takers
        self._failures: list[tuple[bytes, Exception]] = []
        self._handing_over = False
        self._after: Callable[[], None] | None = None
        super().__init__(client)

    def reset(self) -> None:
        """Forget what was read: another connection begins."""
        super().reset()
        self._rest = b""

    def afterwards(self, work: Callable[[], None]) -> bool:
        """Call ``work``, which must not raise, behind the messages of this read that come next.

        False while none is being handed over: then there is nothing to wait for.
        """
        if self._handing_over:
            self._after = work
        return self._handing_over

    async def parse(self, data: bytes = b"") -> None:
        """Go through what was read.

        Raises:
            nats.errors.ProtocolError: it is none of the broker's.
        """
        self._rest += data
        try:
            while element := self._hand_over():
                await super().parse(element)
        except ValueError as error:
            raise ProtocolError("nats: malformed MSG") from error
        while self._failures:
            await self._client.undelivered(*self._failures.pop(0))

    def _hand_over(self) -> bytes:
        """Give messages to their takers; returns the first element that is not for one, or nothing at the end."""
        self._handing_over = True
        try:
            return self._next_other()
        finally:
            self._handing_over = False
            after, self._after = self._after, None
            if after is not None:
                after()

    def _next_other(self) -> bytes:
        data, at, stats = self._rest, 0, self._client.stats
        while (end := data.find(_CRLF, at)) >= 0:
            words = data[at:end].split()
            start = stop = end + 2
            if len(words) > 3 and words[0] in (b"HMSG", b"MSG"):
                stop += int(words[-1]) + 2
                if stop > len(data):
                    break
            taker = self._takers.get(words[2]) if stop > start else None
            if taker is None:
                self._rest = data[stop:]
                return data[at:stop]
            body = start + int(words[-2]) if words[0] == b"HMSG" else start
            stats["in_msgs"] += 1
            stats["in_bytes"] += stop - 2 - body
            try:
                taker(words[1], data[body : stop - 2], data[start:body])
            except Exception as error:  # noqa: BLE001 - the parser has no other caller: it would read nothing any more
                self._failures.append((words[1], error))
            at = stop
        self._rest = data[at:]
        return b""
