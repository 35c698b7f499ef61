"""A ConversationStore in memory, held to the same contract as the real ones."""

from dataclasses import dataclass, field, replace

from inkwire_stores.conversation_ports import (
    MAX_CONVERSATION_BYTES,
    ConversationSummary,
    ConversationTooLarge,
    Cut,
    StoredConversation,
    listed_members,
    summary_of_conversation,
)
from inkwire_stores.ports import StoreUnavailable, check_limit


@dataclass
class MemoryConversations:
    """See ConversationStore. ``outages`` and ``lost_races`` are consumed one a call: whether that call fails so."""

    conversations: dict[str, StoredConversation] = field(default_factory=dict)
    outages: list[bool] = field(default_factory=list)
    lost_races: list[StoredConversation] = field(default_factory=list)
    """What somebody else stores just before the next put."""
    puts: int = 0

    def _call(self) -> None:
        if self.outages and self.outages.pop(0):
            raise StoreUnavailable("memory: out")

    async def get(self, conversation: str) -> StoredConversation | None:
        self._call()
        found = self.conversations.get(conversation)
        return None if found is None else _copy(found)

    async def put(self, stored: StoredConversation, *, expected: tuple[str, int] | None) -> bool:
        self._call()
        name = stored.conversation.conversation
        if len(stored.conversation.model_dump_json().encode()) > MAX_CONVERSATION_BYTES:
            raise ConversationTooLarge("memory: too large")
        if self.lost_races:
            other = self.lost_races.pop(0)
            self.conversations[other.conversation.conversation] = other
        held = self.conversations.get(name)
        if (None if held is None else held.place) != expected:
            return False
        self.conversations[name] = _copy(stored)
        self.puts += 1
        return True

    async def list_conversations(
        self, member: str, *, limit: int, before: tuple[str, str] | None = None
    ) -> list[ConversationSummary]:
        check_limit(limit)
        self._call()
        mine = [held.conversation for held in self.conversations.values()]
        mine = [folded for folded in mine if member in listed_members(folded)]
        mine = [folded for folded in mine if before is None or (folded.updated_at, folded.conversation) < before]
        mine.sort(key=lambda folded: (folded.updated_at, folded.conversation), reverse=True)
        return [summary_of_conversation(folded) for folded in mine[:limit]]

    async def due_cuts(self, *, epoch: str, before: str, limit: int, after: tuple[str, str] | None = None) -> list[Cut]:
        check_limit(limit)
        self._call()
        lines = [
            Cut(name, held.conversation.seq, held.cut_seq, held.cut_at)
            for name, held in self.conversations.items()
            if held.epoch == epoch and "" < held.cut_at < before and (held.cut_at, name) > (after or ("", ""))
        ]
        return sorted(lines, key=lambda line: (line.cut_at, line.conversation))[:limit]

    async def move_cut(self, conversation: str, *, expected: tuple[str, int], cut_seq: int, cut_at: str) -> bool:
        self._call()
        held = self.conversations.get(conversation)
        if held is None or held.place != expected:
            return False
        self.conversations[conversation] = replace(held, cut_seq=cut_seq, cut_at=cut_at)
        return True


def _copy(stored: StoredConversation) -> StoredConversation:
    return replace(stored, conversation=stored.conversation.model_copy(deep=True))
