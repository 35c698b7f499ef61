"""What the persister needs of the log, beside a PostStore."""

from collections.abc import Sequence
from typing import Protocol

from inkwire_persister.intake import Delivery


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
