"""A conversation's log, its live messages and presence in memory, for the gateway's unit and property tests."""

from collections.abc import Sequence
from typing import Any

from inkwire_contracts.client_frames import PresentMember
from inkwire_contracts.conversations import (
    Conversation,
    ConversationCreated,
    ConversationDeleted,
    ConversationEvent,
    CreatedData,
    MemberChanged,
    MemberData,
    MessageCreated,
    MessageData,
    encode_conversation_event,
    fold_conversation,
)
from inkwire_gateway.live_conversation import ConversationLogEvent, LoadedConversation, complete_after
from inkwire_gateway.ports import OnConversation, PresenceListener, Unavailable

CONVERSATION = "c" * 26
_LETTERS = str.maketrans("0123456789", "abcdefghij")
TIME = "2026-01-01T00:00:00.000Z"
ADA, BOB, EVE = (PresentMember(user=name, name=name.title()) for name in ("ada", "bob", "eve"))


class FakeWatch:
    """An interest."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        self.on = True

    async def stop(self) -> None:
        self.on = False


class FakeConversations:
    """One conversation's log behind the port, and its live messages; sequences have holes, as a shared stream's do.

    ``down`` makes the port unavailable; ``purged`` is up to where the log has been forgotten (the store has it).
    """

    def __init__(self, conversation: str = CONVERSATION) -> None:
        self.conversation = conversation
        self.log: list[ConversationLogEvent] = []
        self.truth = Conversation(conversation=conversation)
        self.log_epoch = "c-epoch-1"
        self.purged = 0
        self.down = False
        self.loads = 0
        self.reads = 0
        self.asked = 0
        self.watches: list[FakeWatch] = []

    # -- writers -----------------------------------------------------------------------------------------------

    def write(
        self, cls: type[ConversationEvent], data: Any, *, by: str = "ada", event_id: str = ""
    ) -> ConversationLogEvent:
        """Store an event, without telling anybody."""
        seq = (self.log[-1].seq if self.log else 0) + 3
        name = event_id or f"e{seq}"
        event = cls.model_validate(
            {"conversation": self.conversation, "id": name, "by": by, "time": TIME, "data": data}
            | ({"type": "shiny"} if "type" in cls.model_fields and cls.model_fields["type"].is_required() else {})
        )
        stored = ConversationLogEvent(event, encode_conversation_event(event), seq)
        self.log.append(stored)
        fold_conversation(self.truth, event, seq)
        return stored

    def begin(self) -> "FakeConversations":
        """Ada's conversation, with Bob."""
        self.write(ConversationCreated, CreatedData(title="Talk", name="Ada"))
        self.member("bob")
        return self

    def member(self, user: str, *, present: bool = True) -> ConversationLogEvent:
        """Somebody is added or removed."""
        return self.write(MemberChanged, MemberData(user=user, name=user.title(), present=present))

    def say(self, text: str, *, message: str = "", **fields: Any) -> ConversationLogEvent:
        """A message."""
        name = message or "m" + str(len(self.log)).translate(_LETTERS)
        data = {"message": name.ljust(26, "z"), "role": "user", "author": "ada", "content": text, **fields}
        return self.write(MessageCreated, MessageData.model_validate(data))

    def delete(self) -> ConversationLogEvent:
        """The end."""
        return self.write(ConversationDeleted, {})

    def publish(self, stored: ConversationLogEvent) -> ConversationLogEvent:
        """Republish what was stored, with the sequence before it."""
        prev = max((e.seq for e in self.log if e.seq < stored.seq and e.seq > self.purged), default=0)
        for watch in self.watches:
            if watch.on:
                watch.listener(stored.raw, stored.seq, prev)
        return stored

    # -- the port ----------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        self.asked += 1
        if self.down:
            raise Unavailable("down")

    async def watch_conversation(self, conversation: str, on_message: OnConversation) -> FakeWatch:
        """See :class:`LiveTail`."""
        self._ask()
        self.watches.append(FakeWatch(on_message))
        return self.watches[-1]

    async def epoch(self) -> str:
        """See :class:`ConversationHistory`."""
        self._ask()
        return self.log_epoch

    async def load(self, conversation: str, *, since: int | None) -> LoadedConversation | None:
        """See :class:`ConversationHistory`."""
        self._ask()
        self.loads += 1
        if conversation != self.conversation or not self.log:
            return None
        return self.loaded(since)

    def loaded(self, since: int | None) -> LoadedConversation:
        """The conversation as it stands, and what the log has since."""
        conversation = Conversation(conversation=self.conversation)
        for stored in self.log:
            fold_conversation(conversation, stored.event, stored.seq)
        recent = [] if since is None else self.after(since - 1)
        after = complete_after(recent, since) if recent and since is not None else conversation.seq
        return LoadedConversation(conversation, self.log_epoch, recent, after)

    async def newest_seq(self, conversation: str) -> int:
        """See :class:`ConversationHistory`."""
        self._ask()
        left = self.after(0)
        return left[-1].seq if left else 0

    def after(self, seq: int) -> list[ConversationLogEvent]:
        """What the log still has after a sequence."""
        return [e for e in self.log if e.seq > max(seq, self.purged)]

    async def events_after(self, conversation: str, seq: int, *, newest: int) -> Sequence[ConversationLogEvent]:
        """See :class:`ConversationHistory`."""
        self._ask()
        self.reads += 1
        return self.after(seq)

    async def message_of(self, conversation: str, post: str) -> str | None:
        """See :class:`ConversationHistory`."""
        self._ask()
        found = [m.message for m in self.truth.messages if m.post == post and conversation == self.conversation]
        return found[0] if found else None


class FakePresence:
    """The bucket and the whispers' subject of one conversation, between the processes of a test."""

    def __init__(self) -> None:
        self.bucket: dict[tuple[str, str], PresentMember] = {}
        self.said: list[tuple[str, str, str]] = []
        self.listeners: list[tuple[FakeWatch, FakeSpeaker | None]] = []
        self.down = False

    def speaker(self) -> "FakeSpeaker":
        """One process's access."""
        return FakeSpeaker(self)


class FakeSpeaker:
    """See :class:`Presence`; what a process says itself is not heard by it, but for whispers."""

    def __init__(self, presence: FakePresence) -> None:
        self.presence = presence

    def _ask(self) -> None:
        if self.presence.down:
            raise Unavailable("down")

    def _others(self) -> list[PresenceListener]:
        return [w.listener for w, whose in self.presence.listeners if w.on and whose is not self]

    async def watch_presence(self, conversation: str, listener: PresenceListener) -> FakeWatch:
        """See :class:`LiveTail`."""
        self._ask()
        watch = FakeWatch(listener)
        self.presence.listeners.append((watch, self))
        return watch

    async def present(self, conversation: str) -> Sequence[tuple[PresentMember, str]]:
        """See :class:`Presence`."""
        self._ask()
        return [(who, connection) for (_, connection), who in self.presence.bucket.items()]

    async def say(self, conversation: str, who: PresentMember, connection: str) -> None:
        """See :class:`Presence`."""
        self._ask()
        self.presence.said.append(("say", who.user, connection))
        self.presence.bucket[who.user, connection] = who
        for listener in self._others():
            listener.heard(who, connection)

    async def take_leave(self, conversation: str, user: str, connection: str) -> None:
        """See :class:`Presence`."""
        self._ask()
        self.presence.said.append(("leave", user, connection))
        self.presence.bucket.pop((user, connection), None)
        for listener in self._others():
            listener.gone(user, connection)

    async def whisper(self, conversation: str, who: PresentMember, connection: str, name: str, data: bytes) -> None:
        """See :class:`Presence`."""
        self._ask()
        self.presence.said.append(("whisper", who.user, connection))
        for watch, _ in self.presence.listeners:
            if watch.on:
                watch.listener.whispered(who, connection, name, {"raw": data.decode()})
