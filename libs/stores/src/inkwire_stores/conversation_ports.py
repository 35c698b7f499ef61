"""What a store of conversations promises, whichever database is behind it."""

from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from inkwire_contracts.conversations import Conversation, Member

MAX_CONVERSATION_BYTES = 15 * 1024 * 1024
"""Most that one stored conversation may take: MongoDB's limit of 16 MiB with room for the frame."""


class ConversationTooLarge(Exception):
    """The conversation is beyond MAX_CONVERSATION_BYTES and was not stored; asking again will not help."""


class ConversationSummary(BaseModel):
    """One line of a list of conversations. ``messages`` counts those that stand."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    owner: str
    title: str
    recipe: str
    members: list[Member]
    messages: int
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation as the store holds it, folded up to ``conversation.seq`` of the log named ``epoch``.

    ``cut_seq`` and ``cut_at`` are the janitor's: events up to that sequence may leave the log once that time is long
    enough ago; an empty ``cut_at`` means that nothing but the newest event is left there.
    """

    conversation: Conversation
    epoch: str
    cut_seq: int = 0
    cut_at: str = ""

    @property
    def place(self) -> tuple[str, int]:
        """Epoch and seq: what compare-and-set compares."""
        return self.epoch, self.conversation.seq


@dataclass(frozen=True, slots=True)
class Cut:
    """A line of :meth:`ConversationStore.due_cuts`."""

    conversation: str
    seq: int
    """What is stored."""
    cut_seq: int
    cut_at: str


class HoldsConversations(Protocol):
    """What a reader needs of the store. May raise ``StoreUnavailable``."""

    async def get(self, conversation: str) -> StoredConversation | None:
        """The conversation, deleted ones (tombstones) included; ``None`` if nothing of it was ever stored."""
        ...


class ConversationStore(HoldsConversations, Protocol):
    """Conversations by id and by member; the persister alone writes. Methods may raise ``StoreUnavailable``."""

    async def put(self, stored: StoredConversation, *, expected: tuple[str, int] | None) -> bool:
        """Compare-and-set on (epoch, seq); when this returns, the conversation is on disk.

        Args:
            stored: what to store.
            expected: epoch and seq that the stored one has now; ``None``: it must not exist.

        Returns:
            False if somebody else was there, and then nothing was changed.

        Raises:
            ConversationTooLarge: it does not fit; nothing was changed.
        """
        ...

    async def list_conversations(
        self, member: str, *, limit: int, before: tuple[str, str] | None = None
    ) -> list[ConversationSummary]:
        """Those that somebody is a member of, last changed first by (updated_at, id); deleted ones left out.

        Args:
            member: the member's owner token.
            limit: 1 to MAX_LIST.
            before: only those behind this (updated_at, id), the last line of the page before.

        Raises:
            ValueError: ``limit`` is out of range.
        """
        ...

    async def due_cuts(self, *, epoch: str, before: str, limit: int, after: tuple[str, str] | None = None) -> list[Cut]:
        """Conversations of one log whose cut is older than a time, the oldest first by (cut_at, id).

        Args:
            epoch: only conversations of this log.
            before: only cuts older than this time.
            limit: 1 to MAX_LIST.
            after: only those behind this (cut_at, id), the last line of the page before.

        Raises:
            ValueError: ``limit`` is out of range.
        """
        ...

    async def move_cut(self, conversation: str, *, expected: tuple[str, int], cut_seq: int, cut_at: str) -> bool:
        """Note which events may leave the log next, and since when; an empty ``cut_at``: none.

        Returns:
            False if the conversation is not at ``expected`` (epoch, seq) any more, and then nothing was changed.
        """
        ...


def summary_of_conversation(conversation: Conversation) -> ConversationSummary:
    """The line of a list for a folded conversation."""
    return ConversationSummary(
        id=conversation.conversation,
        owner=conversation.owner,
        title=conversation.title,
        recipe=conversation.recipe,
        members=conversation.members,
        messages=len(conversation.standing),
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def listed_members(conversation: Conversation) -> list[str]:
    """Whose lists a conversation stands in."""
    return [member.user for member in conversation.members] if conversation.status == "active" else []
