"""What the persister needs of the log, beside a PostStore."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inkwire_contracts.commands import Job
from inkwire_contracts.events import Event
from inkwire_persister.conversations import Placed
from inkwire_persister.intake import Delivery
from inkwire_persister.recovery import Waiting


class LogUnavailable(Exception):
    """The log did not answer, or the replica that did has not caught up; ask again later."""


class LogUnreadable(Exception):
    """An event of this post's log cannot be decoded; asking again will not help."""


class Log(Protocol):
    """Reads of EVENTS."""

    async def epoch(self) -> str:
        """Which EVENTS stream this is.

        Raises:
            LogUnavailable: the broker did not answer.
        """
        ...

    async def key_events(self, owner: str, post: str, *, after: int, at_least: int) -> Sequence[Delivery]:
        """The key events of a post after a stream sequence, oldest first.

        Args:
            owner: whose post.
            post: which one.
            after: stream sequence after which to read; 0 reads all.
            at_least: stream sequence that the answer must reach.

        Raises:
            LogUnavailable: the broker did not answer, or with less than ``at_least``.
            LogUnreadable: one of the events cannot be decoded.
        """
        ...


class Queue(Protocol):
    """Jobs, and the newest state of posts.

    Every method may raise :class:`LogUnavailable`, and those about one post or owner :class:`LogUnreadable`.
    """

    async def identity(self) -> str:
        """Which streams these are; another answer means that log or jobs were lost and made anew."""
        ...

    async def newest(self, owner: str, post: str) -> Event | None:
        """The newest event of a post, as the log's leader knows it."""
        ...

    async def waiting_runs(self, pool: str, priority: str, owner: str) -> Waiting:
        """Posts and runs that a job stands for: queued, being worked on, or put aside for a person."""
        ...

    async def claimed_deliveries(self, post: str, run: int) -> int:
        """How many deliveries the run's newest claim counted; 0 if there is none."""
        ...

    async def publish(self, job: Job, msg_id: str) -> None:
        """Put a job into the queue, once for each ``msg_id``."""
        ...


@dataclass(frozen=True, slots=True)
class Fill:
    """Which log it is, and how full, 0 to 1."""

    epoch: str
    ratio: float


class ConversationEvents(Protocol):
    """Reads of CONVERSATIONS. Every method may raise LogUnavailable."""

    async def epoch(self) -> str:
        """Which CONVERSATIONS stream this is."""
        ...

    async def events(self, conversation: str, *, after: int, at_least: int) -> Sequence[Placed]:
        """A conversation's events after a sequence, oldest first; up to ``at_least``, if the log's leader has it."""
        ...


class ConversationPurge(Protocol):
    """CONVERSATIONS, as the janitor needs it. Every method may raise LogUnavailable."""

    async def fill(self) -> Fill:
        """The log's identity and how full it is."""
        ...

    async def purge(self, conversation: str, *, up_to: int) -> int:
        """Purge a conversation's events up to a sequence; returns how many."""
        ...
