"""What a store of conversations promises, whichever database is behind it."""

from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from inkwire_contracts.conversations import Conversation, Member


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
    """A conversation as the store holds it, folded up to ``conversation.seq`` of the log named ``epoch``."""

    conversation: Conversation
    epoch: str


class ConversationStore(Protocol):
    """Conversations by id and by member; the persister alone writes. Methods may raise ``StoreUnavailable``."""

    async def get(self, conversation: str) -> StoredConversation | None:
        """The conversation, deleted ones (tombstones) included; ``None`` if nothing of it was ever stored."""
        ...

    async def put(self, stored: StoredConversation, *, expected: tuple[str, int] | None) -> bool:
        """Compare-and-set on (epoch, seq); when this returns, the conversation is on disk.

        Args:
            stored: what to store.
            expected: epoch and seq that the stored one has now; ``None``: it must not exist.

        Returns:
            False if somebody else was there, and then nothing was changed.
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

    async def stored_up_to(self, *, epoch: str, before: str, limit: int, after: str = "") -> list[tuple[str, int]]:
        """(id, seq) of conversations of one log last changed before a time, in the order of the ids, for the janitor.

        Raises:
            ValueError: ``limit`` is out of range.
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
