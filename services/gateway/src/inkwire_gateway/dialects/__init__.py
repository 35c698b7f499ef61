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

    def subscribed(self, channel: str, request_id: int | None, *, recovered: bool) -> bytes:
        """The answer to a subscribe. ``recovered``: only newer events follow."""
        ...

    def catch_up(self, channel: str, capture: Capture) -> Iterator[bytes]:
        """A post as it stands, lazily, in bounded frames."""
        ...

    def live(self, channel: str, epoch: str, seq: int) -> bytes:
        """Catch-up is complete."""
        ...

    def posts(self, channel: str, items: Sequence[dict[str, Any]]) -> bytes:
        """An owner's newest posts."""
        ...

    def conversation(self, channel: str, capture: ConversationCapture) -> bytes:
        """A conversation as it stands."""
        ...

    def conversation_event(self, channel: str, epoch: str, batch: Batch) -> bytes:
        """One event of a conversation."""
        ...

    def here(self, channel: str, members: Sequence[PresentMember]) -> bytes:
        """Who is there."""
        ...

    def presence(self, channel: str, batch: Batch) -> bytes:
        """Somebody came, went or whispers."""
        ...
