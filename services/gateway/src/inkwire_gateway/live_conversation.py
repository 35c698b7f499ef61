"""A conversation that is followed here: its fold, its recent events, and how log and live messages become one sequence.

How they stay whole: live_log.py. What differs from a post: sequences are the stream's, so they rise with holes, and
each live message says which one was before it; and who is a member decides about readers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from inkwire_contracts.conversations import (
    UNREADABLE,
    Conversation,
    ConversationCreated,
    ConversationEvent,
    MessageCreated,
    UnknownConversationEvent,
    decode_conversation_event,
    encode_conversation_event,
    fold_conversation,
)
from inkwire_contracts.fold import Outcome
from inkwire_gateway.live_log import LiveLog, Phase, Verdict
from inkwire_gateway.ring import Entry, Ring

NEWEST_MESSAGES = 50
NEWEST_BYTES = 48 * 1024
"""Messages that a reader gets at first: so many, and so much JSON; the newest one in any case.

With title and members that makes a frame of catch-up's size (``MAX_TEXT_FRAME_BYTES``) of all but the oddest ones.
"""


@dataclass(frozen=True, slots=True)
class ConversationLogEvent:
    """An event with its bytes and its sequence in the stream."""

    event: ConversationEvent
    raw: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class LoadedConversation:
    """A conversation to start from, and the newest events of its log: all after ``recent_after``."""

    conversation: Conversation
    epoch: str
    recent: Sequence[ConversationLogEvent] = ()
    recent_after: int = 0

    @property
    def source(self) -> str:
        """Whether the log had anything of it."""
        return "log" if self.recent else "store"


@dataclass(frozen=True, slots=True)
class ConversationCapture:
    """The conversation at ``seq`` as JSON, with its newest standing messages. ``older``: there are more."""

    epoch: str
    seq: int
    conversation: dict[str, Any]
    older: bool


class LiveConversation(LiveLog[int, int]):
    """See :class:`LiveLog`. A message is its bytes, its sequence, and that of the one before it.

    Args:
        conversation: the conversation's id; what one may hold is bounded.
    """

    def __init__(self, conversation: str, ring: Ring, *, max_buffer: int) -> None:
        super().__init__(ring, max_buffer=max_buffer)
        self.conversation = Conversation(conversation=conversation)
        self.roster: frozenset[str] = frozenset()
        """Who may follow: the members, while there is a conversation."""

    @property
    def seq(self) -> int:
        """How far the conversation is folded."""
        return self.conversation.seq

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted."""
        return self.conversation.status == "deleted"

    def start(self, loaded: LoadedConversation) -> Verdict:
        """Begin at a loaded state and add what was buffered meanwhile."""
        self.conversation = loaded.conversation
        self.epoch = loaded.epoch
        self.ring.clear(self.seq)
        self._seed(loaded.recent, loaded.recent_after)
        self._call_roll()
        return self._drain()

    def offer(self, raw: bytes, seq: int, prev: int) -> Verdict:
        """A live message, and the sequence of the one before it."""
        if self.phase is Phase.LIVE:
            return self._take(raw, seq, prev)
        return self._keep(raw, seq, prev) if self.phase is Phase.BUFFERING else Verdict.OK

    def refill(self, events: Sequence[ConversationLogEvent]) -> Verdict:
        """Events read from the log after :attr:`seq`, complete as far as they go; then the buffer again."""
        for stored in events:
            self._fold(stored, None)
        return self._drain()

    def deepen(self, events: Sequence[ConversationLogEvent], after: int) -> None:
        """Older events, for readers who resume from before the ring: all after ``after`` that the log has."""
        older = [e for e in events if e.seq <= self.ring.floor]
        self._seed(older, after)

    def capture(self) -> ConversationCapture:
        """The conversation as it stands."""
        standing = self.conversation.standing
        newest: list[dict[str, Any]] = []
        size_bytes = 0
        for message in reversed(standing[-NEWEST_MESSAGES:]):
            told = message.model_dump(mode="json")
            size_bytes += len(orjson.dumps(told))
            if newest and size_bytes > NEWEST_BYTES:
                break
            newest.append(told)
        head = self.conversation.model_dump(mode="json", exclude={"messages"})
        head["messages"] = newest[::-1]
        return ConversationCapture(self.epoch, self.seq, head, len(newest) < len(standing))

    def _take(self, raw: bytes, seq: int, prev: int) -> Verdict:
        if seq <= self.seq:
            return Verdict.OK
        event = decode_conversation_event(raw, self.conversation.conversation)
        forgotten = prev == 0 and self.seq > 0  # the log forgot what was before it, perhaps more than was seen here
        if forgotten or self._fold(ConversationLogEvent(event, raw, seq), prev) is Outcome.GAP:
            self.phase = Phase.BUFFERING
            self._keep(raw, seq, prev)
            return Verdict.GAP
        return Verdict.OK

    def _fold(self, stored: ConversationLogEvent, prev: int | None) -> Outcome:
        outcome = fold_conversation(self.conversation, stored.event, stored.seq, prev=prev)
        if outcome is Outcome.APPLIED:
            event, known = stored.event, None
            if isinstance(event, MessageCreated):
                known = self.conversation.message(event.data.message)
            self.ring.append(_entry(stored, again=known is not None and known.seq != stored.seq))
            self._call_roll()
        return outcome

    def _seed(self, events: Sequence[ConversationLogEvent], after: int) -> None:
        """Fill the ring downwards with events that are all there are after ``after``."""
        said = {m.message: m.seq for m in self.conversation.messages}
        entries: list[Entry] = []
        for stored in events:
            event = stored.event
            again = isinstance(event, MessageCreated) and said.get(event.data.message, stored.seq) != stored.seq
            if stored.seq > after:
                entries.append(_entry(stored, again=again))
        self.ring.prepend(entries, after)

    def _call_roll(self) -> None:
        active = self.conversation.status == "active"
        self.roster = frozenset(m.user for m in self.conversation.members) if active else frozenset()


def complete_after(events: Sequence[ConversationLogEvent], since: int) -> int:
    """After which sequence nothing is missing in events that were read from ``since`` on; the log forgets old ones.

    It forgets from the beginning: where the event at ``since`` is still there, all after it are.
    """
    if not events or events[0].seq <= since:
        return since
    return 0 if isinstance(events[0].event, ConversationCreated) else events[0].seq


def _entry(stored: ConversationLogEvent, *, again: bool) -> Entry:
    """What readers are sent. ``again``: a message stored twice, which who has the newest ones alone could not tell."""
    if not again and stored.event.type != UNREADABLE:
        return Entry(stored.seq, type(stored.event).name, stored.raw)
    nothing = UnknownConversationEvent(
        type=UNREADABLE, conversation=stored.event.conversation, id=UNREADABLE, by=UNREADABLE, time=stored.event.time
    )
    return Entry(stored.seq, nothing.name, encode_conversation_event(nothing))
