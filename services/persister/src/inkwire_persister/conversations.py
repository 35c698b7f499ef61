"""What becomes of a stored conversation when its log has more: pure decisions, so that every order can be tried.

Deliveries only ring the bell. What is folded is always read from the log, after the stored place, so that neither an
order nor a gap of deliveries can matter. The event at the stored place is read once more: the janitor leaves it there,
so where it is missing the log is not the one that was stored (set back to a backup), and all that it holds comes after
what is stored, as with a log that was lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inkwire_contracts.conversations import Conversation, ConversationEvent, fold_conversation, parse_conversation_event
from inkwire_contracts.subjects import conversation as subject_of
from inkwire_persister.intake import Undecodable
from inkwire_stores.conversation_ports import Cut, StoredConversation


@dataclass(frozen=True, slots=True)
class Placed:
    """An event and its sequence in the CONVERSATIONS stream."""

    event: ConversationEvent
    seq: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Store this, which holds so many ``events`` more, if the store is still where ``expected`` says."""

    stored: StoredConversation
    expected: tuple[str, int] | None
    events: int


@dataclass(frozen=True, slots=True)
class Held:
    """The store has it all."""


@dataclass(frozen=True, slots=True)
class SetBack:
    """The log does not hold the event that was stored last: read it from its beginning and call :func:`join`."""


@dataclass(frozen=True, slots=True)
class Headless:
    """Nothing is stored, and the log does not hold the conversation's beginning: its history is gone."""


def decode(subject: str, payload: bytes, seq: int) -> Placed:
    """The event that a message carries.

    Raises:
        Undecodable: it carries none, or one of another conversation than its subject says.
    """
    try:
        event = parse_conversation_event(payload)
    except (ValueError, TypeError) as error:
        raise Undecodable(type(error).__name__) from None
    if subject_of(event.conversation) != subject:
        raise Undecodable("the event belongs to another subject")
    return Placed(event, seq)


def read_after(stored: StoredConversation | None, epoch: str) -> int:
    """After which sequence to read the log: so that the event that was stored last comes first."""
    return stored.conversation.seq - 1 if stored is not None and stored.epoch == epoch else 0


def carry_on(
    stored: StoredConversation | None, events: Sequence[Placed], epoch: str, now: str
) -> Keep | Held | SetBack | Headless:
    """Decide from what the log has after :func:`read_after`.

    Args:
        stored: what the store has; ``None`` for nothing.
        events: oldest first.
        epoch: the log that they were read from.
        now: the time, for the janitor.
    """
    if stored is None or stored.epoch != epoch:
        return join(stored, events, epoch, now)
    if not events or events[0].seq != stored.conversation.seq:
        return SetBack()
    if len(events) == 1:
        return Held()
    folded = _folded(stored.conversation.model_copy(deep=True), events[1:])
    cut_seq, cut_at = (stored.cut_seq, stored.cut_at) if stored.cut_at else (folded.seq, now)
    return Keep(StoredConversation(folded, epoch, cut_seq, cut_at), stored.place, len(events) - 1)


def join(stored: StoredConversation | None, events: Sequence[Placed], epoch: str, now: str) -> Keep | Held | Headless:
    """Decide from all that a log has which is not the one that was stored: it comes after what is stored."""
    if not events:
        return Headless() if stored is None else Held()
    if stored is None:
        base = Conversation(conversation=events[0].event.conversation)
    else:
        base = stored.conversation.model_copy(deep=True)
        base.begin_anew()
    folded = _folded(base, events)
    if folded.status == "unknown":
        return Headless()
    place = None if stored is None else stored.place
    return Keep(StoredConversation(folded, epoch, folded.seq, now), place, len(events))


@dataclass(frozen=True, slots=True)
class Trim:
    """Purge the log up to ``up_to`` (0: nothing yet), then note the next cut; an empty ``cut_at``: none is needed."""

    up_to: int
    cut_seq: int
    cut_at: str


def trim(cut: Cut, now: str) -> Trim:
    """What may leave the log of a conversation whose cut is due.

    Never what is newer than the cut, which is stored and old enough, and never the last event that is stored: it tells
    this log from another, lets readers go on from there, and keeps ``created`` from being stored a second time. What
    came since the cut may go when as much time has passed again: so nothing stays for more than twice as long, and
    nothing of the log has to be read to know its age.
    """
    up_to = max(min(cut.cut_seq, cut.seq - 1), 0)
    return Trim(up_to, cut.seq, "" if cut.cut_seq >= cut.seq else now)


def _folded(conversation: Conversation, events: Sequence[Placed]) -> Conversation:
    for placed in events:
        fold_conversation(conversation, placed.event, placed.seq)
    return conversation
