"""The native JSON dialect (docs/protocol.md) over WebSocket frames."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from pydantic import BaseModel

from inkwire_contracts.client_frames import (
    MAX_TEXT_FRAME_BYTES,
    ConversationFrame,
    DataFrame,
    Here,
    Live,
    Position,
    Posts,
    PresentMember,
    SnapshotFrame,
    Subscribed,
)
from inkwire_gateway.deflate import deflated_frame
from inkwire_gateway.framing import text_frame
from inkwire_gateway.live_conversation import ConversationCapture
from inkwire_gateway.live_post import Capture
from inkwire_gateway.ring import Batch

SLICE_CHARS = 16_000
"""Code points of one catch-up frame, as long as its JSON stays within the bound."""


def encode(frame: BaseModel) -> bytes:
    """Any frame but the hot ones, as UTF-8 JSON."""
    return frame.model_dump_json().encode()


def event_payload(channel: str, batch: Batch) -> bytes:
    """The log's own bytes in an envelope. Channel and name hold nothing that JSON would escape."""
    head = f'{{"type":"event","channel":"{channel}","name":"{batch.name}","event":'
    return head.encode() + batch.raw + b"}"


def text_payloads(channel: str, section: str, text: str) -> Iterator[bytes]:
    """A section's text in frames of at most 64 KiB, offsets in code points."""
    start = 0
    while start < len(text):
        size = SLICE_CHARS
        while True:
            piece = text[start : start + size]
            frame = {"type": "text", "channel": channel, "section": section, "start": start}
            payload = orjson.dumps({**frame, "end": start + len(piece), "text": piece})
            if len(payload) <= MAX_TEXT_FRAME_BYTES or size == 1:
                break
            size //= 2  # text that JSON escapes or that is beyond the basic plane
        yield payload
        start += len(piece)


class NativeWebSocket:
    """The dialect, framed for WebSocket connections.

    Args:
        frame: makes a frame of a payload, the same for every connection.
    """

    def __init__(self, frame: Callable[[bytes], bytes] = text_frame) -> None:
        self._frame = frame

    def reply(self, frame: BaseModel) -> bytes:
        """What one client alone is told."""
        return self._frame(encode(frame))

    def event(self, channel: str, batch: Batch) -> bytes:
        """See :class:`Dialect`."""
        return self._frame(event_payload(channel, batch))

    def subscribed(self, channel: str, request_id: int | None, *, recovered: bool) -> bytes:
        """See :class:`Dialect`."""
        return self._frame(encode(Subscribed(channel=channel, recovered=recovered, id=request_id)))

    def catch_up(self, channel: str, capture: Capture) -> Iterator[bytes]:
        """See :class:`Dialect`."""
        head = SnapshotFrame(channel=channel, epoch=capture.epoch, snapshot=capture.head)
        yield self._frame(encode(head))
        for section, data in capture.data:
            yield self._frame(encode(DataFrame(channel=channel, section=section, data=data)))
        for section, text in capture.texts:
            for payload in text_payloads(channel, section, text):
                yield self._frame(payload)

    def live(self, channel: str, epoch: str, seq: int) -> bytes:
        """See :class:`Dialect`."""
        frame = Live.model_validate({"channel": channel, "position": {"epoch": epoch, "seq": seq}})
        return self._frame(encode(frame))

    def posts(self, channel: str, items: Sequence[dict[str, Any]]) -> bytes:
        """See :class:`Dialect`."""
        return self._frame(encode(Posts(channel=channel, items=list(items))))

    def conversation(self, channel: str, capture: ConversationCapture) -> bytes:
        """See :class:`Dialect`."""
        frame = ConversationFrame(
            channel=channel,
            conversation=capture.conversation,
            older=capture.older,
            position=Position(epoch=capture.epoch, seq=capture.seq),
        )
        return self._frame(encode(frame))

    def conversation_event(self, channel: str, epoch: str, batch: Batch) -> bytes:
        """See :class:`Dialect`. Nothing in the head or the position would be escaped by JSON."""
        head = f'{{"type":"conversation_event","channel":"{channel}","name":"{batch.name}","event":'
        position = f',"position":{{"epoch":"{epoch}","seq":{batch.seq}}}}}'
        return self._frame(head.encode() + batch.raw + position.encode())

    def here(self, channel: str, members: Sequence[PresentMember]) -> bytes:
        """See :class:`Dialect`."""
        return self._frame(encode(Here(channel=channel, members=list(members))))

    def presence(self, channel: str, batch: Batch) -> bytes:
        """See :class:`Dialect`. ``raw`` is a JSON object that is not empty: its fields are the frame's."""
        head = f'{{"type":"{batch.name}","channel":"{channel}",'
        return self._frame(head.encode() + batch.raw[1:])


NATIVE = NativeWebSocket()
"""The one instance, so that all native readers share their bytes."""

DEFLATED = NativeWebSocket(deflated_frame)
"""The same for connections that negotiated permessage-deflate: an event is compressed once, for all of them."""
