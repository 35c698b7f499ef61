"""Conversations' logs as tests write them down."""

from dataclasses import dataclass, field
from typing import Any

from inkwire_contracts.conversations import (
    Conversation,
    ConversationCreated,
    ConversationDeleted,
    ConversationDeletedData,
    ConversationEvent,
    CreatedData,
    MemberChanged,
    MemberData,
    MessageCreated,
    MessageData,
    ReactionChanged,
    ReactionData,
    TitleChanged,
    TitleData,
    fold_conversation,
)
from tests.support.post_logs import post_id

EPOCH = "2026-11-20T00:00:00Z"


@dataclass
class ConversationScript:
    """Writes a conversation's events one after the other; ``seq`` of the next is where the caller says, or the next."""

    conversation: str = field(default_factory=lambda: post_id(900))
    owner: str = "ana"
    seq: int = 0
    events: list[tuple[int, ConversationEvent]] = field(default_factory=list)

    def time(self) -> str:
        """Each event's own second."""
        count = len(self.events)
        return f"2026-11-21T09:{count // 60 % 60:02}:{count % 60:02}.000Z"

    def add(self, cls: type[ConversationEvent], data: Any, by: str | None = None, seq: int | None = None) -> Any:
        self.seq = self.seq + 1 if seq is None else seq
        event = cls.model_validate(
            {
                "conversation": self.conversation,
                "id": f"e{len(self.events) + 1}",
                "by": by or self.owner,
                "time": self.time(),
                "data": data.model_dump(),
            }
        )
        self.events.append((self.seq, event))
        return event

    def created(self, **data: Any) -> ConversationEvent:
        event: ConversationEvent = self.add(ConversationCreated, CreatedData(**data))
        return event

    def message(self, number: int, *, by: str | None = None, role: str = "user", **data: Any) -> ConversationEvent:
        values = {"message": post_id(number), "role": role, "author": by or self.owner, **data}
        if role == "assistant":
            values["author"] = None
        event: ConversationEvent = self.add(MessageCreated, MessageData.model_validate(values), by)
        return event

    def reaction(self, number: int, emoji: str, *, by: str | None = None, present: bool = True) -> ConversationEvent:
        data = ReactionData(message=post_id(number), emoji=emoji, user=by or self.owner, present=present)
        event: ConversationEvent = self.add(ReactionChanged, data, by)
        return event

    def member(self, user: str, *, present: bool = True, **data: Any) -> ConversationEvent:
        event: ConversationEvent = self.add(MemberChanged, MemberData(user=user, present=present, **data))
        return event

    def title(self, title: str, *, generated: bool = False) -> ConversationEvent:
        event: ConversationEvent = self.add(TitleChanged, TitleData(title=title, generated=generated))
        return event

    def deleted(self) -> ConversationEvent:
        event: ConversationEvent = self.add(ConversationDeleted, ConversationDeletedData())
        return event

    def folded(self) -> Conversation:
        """What all of it means."""
        conversation = Conversation(conversation=self.conversation)
        for seq, event in self.events:
            fold_conversation(conversation, event, seq)
        return conversation


def chat(number: int = 900, *, owner: str = "ana", members: tuple[str, ...] = (), at: str = "") -> Conversation:
    """A conversation with a question, an answer and a reaction; ``at`` replaces the time of its last change."""
    script = ConversationScript(post_id(number), owner)
    script.created(title="Bees", options={"a.b": [{"$c": 2**70}]}, name="Ana")
    for user in members:
        script.member(user, name=user.title())
    script.message(number + 1, content="What do bees eat?")
    script.message(number + 2, role="assistant", reply_to=post_id(number + 1), post=post_id(number + 3))
    script.reaction(number + 2, "$.👍")
    conversation = script.folded()
    if at:
        conversation.updated_at = at
    return conversation
