"""A client's transport as lists, and what it was sent."""

import json
from typing import Any

from inkwire_contracts.client_frames import Position
from inkwire_gateway.dialects.native import NATIVE
from inkwire_gateway.hub import Hub
from inkwire_gateway.send_queue import SendQueue
from inkwire_gateway.subscription import Subscription


def unframed(frame: bytes) -> dict[str, Any]:
    """The JSON in a text frame."""
    width = {126: 2, 127: 8}.get(frame[1], 0)
    payload: dict[str, Any] = json.loads(frame[2 + width :])
    return payload


class FakeFanOut:
    """Changes that come and are sent by a test's word."""

    def __init__(self) -> None:
        self.changes = 0
        self.unsent: int | None = None

    def change(self) -> None:
        """Something came in."""
        self.changes += 1
        self.unsent = self.unsent or self.changes

    def send(self) -> None:
        """All of it is sent."""
        self.unsent = None


class FakeTransport:
    """Takes frames until ``room`` bytes are in it, then is full until :meth:`empty`."""

    def __init__(self, hub: Hub, room: int = 10**9) -> None:
        self.room = room
        self.frames: list[bytes] = []
        self.held = 0
        self.fails = False
        self.pumps_wanted = 0
        self.ends: list[str] = []
        self.joined: Subscription | None = None
        self.partial = b""
        self.queue = SendQueue(hub, self)

    def again(self) -> None:
        self.pumps_wanted += 1

    def end(self, code: str) -> None:
        self.ends.append(code)

    def lost(self) -> None:
        self.ends.append("lost")

    def send(self, frame: bytes) -> int:
        """As the kernel: takes what fits."""
        assert not self.queue.paused, "nothing may be sent past what waits"
        if self.fails:
            raise BrokenPipeError
        taken = min(len(frame), max(0, self.room - self.held))
        self.held += taken
        if taken == len(frame):
            self.frames.append(frame)
        elif taken == 0:
            raise BlockingIOError
        else:
            self.partial = frame[:taken]
        return taken

    def send_rest(self, rest: memoryview) -> None:
        """As a transport: takes all, and is full then."""
        self.frames.append(self.partial + bytes(rest))
        self.partial = b""
        self.held += len(rest)
        self.queue.pause()

    def empty(self) -> None:
        """The client has read everything."""
        self.held = 0
        if self.queue.paused:
            self.queue.resume()

    def subscription(
        self, channel: str, position: Position | None = None, request_id: int | None = None
    ) -> Subscription:
        """A subscription of this client."""
        return Subscription(channel, self.queue, NATIVE, request_id, position)

    @property
    def told(self) -> list[dict[str, Any]]:
        """All frames, decoded."""
        return [unframed(frame) for frame in self.frames]

    @property
    def types(self) -> list[str]:
        """Their types."""
        return [frame["type"] for frame in self.told]

    @property
    def seqs(self) -> list[int]:
        """``seq`` of the event frames."""
        return [frame["event"]["seq"] for frame in self.told if frame["type"] == "event"]
