"""What the gateway needs from outside: live events, history, and lists of posts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inkwire_gateway.live_post import Loaded, LogEvent


class Unavailable(Exception):
    """The broker or the store did not answer; asking again later is right."""


class Damaged(Exception):
    """A post's history does not fold, though all of it was read."""


OnMessage = Callable[[str, bytes, int], None]
"""(event type, payload, stream sequence) of a live message."""


class Watch(Protocol):
    """An interest in live messages."""

    async def stop(self) -> None:
        """Give it up; nothing is delivered any more."""
        ...


class LiveTail(Protocol):
    """Live messages, in the order in which they were stored, as far as they arrive at all."""

    async def watch_post(self, owner: str, post: str, on_message: OnMessage) -> Watch:
        """Follow a post. When this returns, everything stored from now on will be delivered or be missing later.

        Raises:
            Unavailable: the broker did not confirm.
        """
        ...

    async def watch_owner(self, owner: str, on_message: OnMessage) -> Watch:
        """Follow the lifecycle events of all posts of an owner.

        Raises:
            Unavailable: the broker did not confirm.
        """
        ...


class History(Protocol):
    """What was stored before. Each method may raise :class:`Unavailable`."""

    async def epoch(self) -> str:
        """The identity of the log."""
        ...

    async def load(self, owner: str, post: str) -> Loaded | None:
        """A post up to its newest event; ``None`` if neither log nor store knows such a post of this owner.

        Raises:
            Damaged: its history does not fold.
        """
        ...

    async def newest_seq(self, owner: str, post: str, *, now: bool) -> int:
        """``seq`` of a post's newest event in the log; 0 if the log has none.

        ``now``: as it stands; else a replica that lags may answer, which is cheaper.
        """
        ...

    async def events_after(self, owner: str, post: str, stream_seq: int) -> Sequence[LogEvent]:
        """A post's events after a stream sequence.

        Raises:
            Damaged: one of them cannot be read.
        """
        ...

    async def newest_posts(self, owner: str) -> list[dict[str, Any]]:
        """Summaries of an owner's newest posts, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What the api made of a cancel: the latest run, the post's status now, and whether that run will stop."""

    run: int
    status: str
    accepted: bool


class PostApi(Protocol):
    """What changes a post's course. The api checks whose post it is."""

    async def cancel(self, post: str, token: str, *, run: int | None) -> Cancelled:
        """Have a run stop, as the token's bearer. May be repeated. Takes a bounded time.

        Raises:
            InkwireError: the api's own refusal, or ``api_unavailable``.
        """
        ...
