"""A ConversationStore in memory, held to the same contract as the real ones, and a log for the persister's core."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from inkwire_persister.conversations import Placed
from inkwire_persister.ports import Fill, LogUnavailable
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
from tests.support.conversation_logs import EPOCH


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


@dataclass
class MemoryConversationLog:
    """The persister's ConversationEvents and ConversationPurge over given events."""

    events_stored: list[Placed] = field(default_factory=list)
    name: str = EPOCH
    ratio: float = 0.0
    outages: list[bool] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)

    def _call(self) -> None:
        if self.outages and self.outages.pop(0):
            raise LogUnavailable("memory: out")

    async def epoch(self) -> str:
        self._call()
        return self.name

    async def events(self, conversation: str, *, after: int, at_least: int) -> Sequence[Placed]:
        self._call()
        self.reads.append(after)
        return [p for p in self.events_stored if p.event.conversation == conversation and p.seq > after]

    async def fill(self) -> Fill:
        self._call()
        return Fill(self.name, self.ratio)

    async def purge(self, conversation: str, *, up_to: int) -> int:
        self._call()
        before = len(self.events_stored)
        self.events_stored = [p for p in self.events_stored if p.event.conversation != conversation or p.seq > up_to]
        return before - len(self.events_stored)
