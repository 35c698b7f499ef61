"""Wire protocols as pure translators: what a reader is told, in the words its client knows."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from inkwire_contracts.client_frames import PresentMember
from inkwire_gateway.live_conversation import ConversationCapture
from inkwire_gateway.live_post import Capture
from inkwire_gateway.ring import Batch


class Dialect(Protocol):
    """Makes the bytes that go to a socket. Objects are compared by identity: readers who share one share its bytes."""

    def event(self, channel: str, batch: Batch) -> bytes:
        """One event, or merged chunks."""
        ...

    def catch_up(self, channel: str, capture: Capture, request_id: int | None, *, first: bool) -> Iterator[bytes]:
        """A post as it stands, lazily, in bounded frames. ``first``: the answer to a subscribe comes before it."""
        ...

    def recovered(self, channel: str, request_id: int | None) -> bytes:
        """The answer to a subscribe that only newer events follow."""
        ...

    def live(self, channel: str, epoch: str, seq: int) -> bytes:
        """Catch-up is complete."""
        ...

    def posts(
        self, channel: str, items: Sequence[dict[str, Any]], request_id: int | None, *, first: bool
    ) -> Iterator[bytes]:
        """An owner's newest posts. ``first``: the answer to a subscribe comes before them."""
        ...

    def conversation(
        self, channel: str, capture: ConversationCapture, request_id: int | None, *, first: bool
    ) -> Iterator[bytes]:
        """A conversation as it stands. ``first``: the answer to a subscribe comes before it."""
        ...

    def conversation_event(self, channel: str, epoch: str, batch: Batch) -> bytes:
        """One event of a conversation."""
        ...

    def here(
        self, channel: str, members: Sequence[PresentMember], request_id: int | None, *, first: bool
    ) -> Iterator[bytes]:
        """Who is there. ``first``: the answer to a subscribe comes before it."""
        ...

    def presence(self, channel: str, batch: Batch) -> bytes:
        """Somebody came, went or whispers."""
        ...
