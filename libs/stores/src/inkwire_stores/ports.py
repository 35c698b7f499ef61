"""What a store of posts promises, whichever database is behind it; tests/contract/test_stores.py holds both to it."""

from dataclasses import dataclass
from typing import Protocol

from inkwire_contracts.fold import Snapshot
from inkwire_contracts.views import PostSummary, UsageTotals
from inkwire_stores.conversation_ports import ConversationStore

MAX_LIST = 500
"""Most summaries that one call of :meth:`PostStore.list_posts` gives."""

MAX_POST_BYTES = 15 * 1024 * 1024
"""Most that one stored post may take, its Markdown included: MongoDB's limit of 16 MiB with room for the frame."""


class StoreUnavailable(Exception):
    """The store did not do what was asked, or did not say whether it did; ask again later.

    The message names the kind of failure and never an address, a user or a password.
    """


class PostTooLarge(Exception):
    """The post is beyond MAX_POST_BYTES and was not stored; asking again will not help."""


@dataclass(frozen=True, slots=True)
class StoredPost:
    """A post as the store holds it.

    Attributes:
        snapshot: the fold of the post's key events.
        stream_seq: where the last of them is in the EVENTS stream.
        epoch: which EVENTS stream that was; ``stream_seq`` means nothing in another.
        markdown: the document's text once the run has ended, else ``None``.
        corrupt: the log contradicts itself (or its own digest), so this text is not proven.
        proven_seq: the log up to this seq was proven to be stored, and its purge has begun; 0: never. Written by
            :meth:`PostStore.mark_purge` alone.
        purged: nothing of the post is left to be purged. Written by :meth:`PostStore.mark_purge`, undone by
            :meth:`PostStore.put`.
    """

    snapshot: Snapshot
    stream_seq: int
    epoch: str
    markdown: str | None = None
    corrupt: bool = False
    proven_seq: int = 0
    purged: bool = False


@dataclass(frozen=True, slots=True)
class EndedPost:
    """A line of :meth:`PostStore.unpurged_posts`."""

    post: str
    owner: str
    status: str
    updated_at: str


class PostStore(Protocol):
    """Posts by id and by owner. Every method may raise :class:`StoreUnavailable`."""

    async def get(self, post: str) -> StoredPost | None:
        """The post, deleted ones (tombstones) included; ``None`` if nothing of it was ever stored."""
        ...

    async def put(self, stored: StoredPost, *, expected_seq: int) -> bool:
        """Compare-and-set on ``snapshot.seq``; when this returns, the post is on disk.

        What :meth:`mark_purge` wrote is not the caller's: ``proven_seq`` stays as it is, ``purged`` becomes false.

        Args:
            stored: what to store.
            expected_seq: the seq that the stored post has now; 0 means that it must not exist.

        Returns:
            False if somebody else was there, and then nothing was changed.

        Raises:
            PostTooLarge: it does not fit; nothing was changed.
            StoreUnavailable: it may or may not be stored; the next ``get`` tells.
        """
        ...

    async def list_posts(
        self,
        owner: str,
        *,
        limit: int,
        before: tuple[str, str] | None = None,
        status: str | None = None,
        replies: bool = False,
    ) -> list[PostSummary]:
        """An owner's posts, newest first by (created_at, id); deleted ones only if ``status`` asks for them.

        Args:
            owner: whose posts.
            limit: 1 to MAX_LIST.
            before: only posts older than this (created_at, id), the last line of the page before.
            status: only posts in this status.
            replies: also posts that are replies in a conversation.

        Raises:
            ValueError: ``limit`` is out of range.
        """
        ...

    async def count_active(self, owner: str) -> int:
        """How many of an owner's posts have not ended yet, as far as the store knows."""
        ...

    async def active_posts(self, *, limit: int, after: str = "") -> list[str]:
        """Ids of posts that have not ended yet, as far as the store knows, of all owners, in the order of the ids.

        Args:
            limit: 1 to MAX_LIST.
            after: only ids beyond this one, the last of the page before.

        Raises:
            ValueError: ``limit`` is out of range.
        """
        ...

    async def unpurged_posts(
        self, *, epoch: str, before: str, limit: int, after: tuple[str, str] | None = None
    ) -> list[EndedPost]:
        """Posts of one log that have ended (or were deleted) and are not purged, those that ended first first.

        Args:
            epoch: only posts of this log.
            before: only posts whose last event is older than this time, in the form of ``updated_at``.
            limit: 1 to MAX_LIST.
            after: only posts after this (updated_at, id), the last line of the page before.

        Raises:
            ValueError: ``limit`` is out of range.
        """
        ...

    async def mark_purge(self, post: str, *, seq: int, done: bool) -> bool:
        """Note that the log up to ``seq`` is proven and its purge begins, or (``done``) that nothing is left of it.

        Returns:
            False if the post is at another seq by now, or corrupt, and then nothing was changed.
        """
        ...

    async def usage(self, owner: str | None, *, since: str | None = None, until: str | None = None) -> UsageTotals:
        """What the posts of an owner, or (``None``) of all, have cost; reads no text.

        Args:
            owner: whose posts.
            since: only posts created at or after this time, in the form of ``created_at``.
            until: only posts created before this time.
        """
        ...

    async def ping(self) -> None:
        """A round trip to the data; returns if the store is usable."""
        ...


class Store(PostStore, Protocol):
    """What :func:`inkwire_stores.open_store` opens: posts, and the conversations beside them in the same database."""

    @property
    def conversations(self) -> ConversationStore:
        """Conversations by id and by member."""
        ...


def check_limit(limit: int) -> None:
    """Refuse a page size that no adapter serves.

    Raises:
        ValueError: ``limit`` is not in 1 to MAX_LIST.
    """
    if not 1 <= limit <= MAX_LIST:
        raise ValueError(f"limit must be 1 to {MAX_LIST}, not {limit}")
