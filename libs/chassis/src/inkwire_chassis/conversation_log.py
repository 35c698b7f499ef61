"""The log of conversations: many writers, each event stored once by its id. The one adapter that meets CONVERSATIONS.

A position in it is the stream's sequence. There are no claims: what an event changes is decided by the fold alone, in
the order in which the broker has stored them.
"""

import asyncio
from dataclasses import dataclass

from inkwire_chassis.jetstream import H_EXPECTED_SUBJECT_SEQ, H_MSG_ID, BrokerError, JetStream, fill_ratio
from inkwire_contracts import subjects
from inkwire_contracts.conversations import (
    Conversation,
    ConversationCreated,
    ConversationEvent,
    decode_conversation_event,
    encode_conversation_event,
    fold_conversation,
)
from inkwire_contracts.topology import CONVERSATIONS

BATCH_MESSAGES = 1_000
BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCHES = 100
"""Bound on one read: a hundred thousand events, far beyond what one conversation may hold."""

READ_TRIES = 20
RETRY_FIRST_S = 0.02
RETRY_MAX_S = 0.5


@dataclass(frozen=True, slots=True)
class StoredConversationEvent:
    """An event, its bytes in the log, and its sequence there."""

    event: ConversationEvent
    raw: bytes
    seq: int


class ConversationLog:
    """Reads and writes conversations' logs over one JetStream connection."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream

    async def epoch(self) -> str:
        """The log's identity: when its stream was created. Sequences mean nothing in another."""
        return str((await self._jetstream.stream_info(CONVERSATIONS))["created"])

    async def fill_ratio(self) -> float:
        """How full the log is, 0 to 1."""
        return fill_ratio(await self._jetstream.stream_info(CONVERSATIONS))

    async def publish(self, event: ConversationEvent, *, after: int | None = None) -> int:
        """Store an event, once for its id within the broker's duplicate window; returns its sequence.

        After the window the same event may be stored a second time, which the fold gives no meaning to. ``created``
        is stored only where the conversation has no event yet.

        Args:
            event: what to store.
            after: only if this is the conversation's newest sequence in the log (0: it has none there).

        Raises:
            WrongLastSequence: ``created``, and the conversation exists; or there is something newer than ``after``.
            StreamFull: no room; nothing was stored.
            BrokerError: no verdict; it may or may not be stored, and sending it again is right.
        """
        headers = {H_MSG_ID: f"{event.conversation}.{event.id}"}
        if isinstance(event, ConversationCreated):
            after = 0
        if after is not None:
            headers[H_EXPECTED_SUBJECT_SEQ] = str(after)
        subject = subjects.conversation(event.conversation)
        return (await self._jetstream.publish(subject, encode_conversation_event(event), headers)).seq

    async def newest_seq(self, conversation: str) -> int:
        """Sequence of a conversation's newest event at the leader; 0 if the log has none (any more)."""
        last = await self._jetstream.leader_last(CONVERSATIONS, subjects.conversation(conversation))
        return 0 if last is None else last.seq

    async def read(self, conversation: str, *, after: int = 0) -> list[StoredConversationEvent]:
        """A conversation's events after a sequence, oldest first (from any replica).

        What cannot be decoded is an event that means nothing (``decode_conversation_event``).

        Raises:
            BrokerError: the broker did not answer, or the log holds more than anybody may have written.
        """
        found: list[StoredConversationEvent] = []
        start = after + 1
        for _ in range(MAX_BATCHES):
            query = {
                "seq": start,
                "next_by_subj": subjects.conversation(conversation),
                "batch": BATCH_MESSAGES,
                "max_bytes": BATCH_BYTES,
            }
            messages, left, _ = await self._jetstream.direct_batch(CONVERSATIONS, query)
            found += [
                StoredConversationEvent(decode_conversation_event(m.payload, conversation), m.payload, m.seq)
                for m in messages
            ]
            if left == 0 or not messages:
                return found
            start = messages[-1].seq + 1
        raise BrokerError(f"conversation {conversation} has more events than can be read")

    async def read_up_to(self, conversation: str, *, after: int, newest: int) -> list[StoredConversationEvent]:
        """As :meth:`read`, and certain to reach ``newest``, which the leader has: a replica that lags is asked again.

        Raises:
            BrokerError: as :meth:`read`, or no replica has caught up.
        """
        for attempt in range(READ_TRIES):
            events = await self.read(conversation, after=after)
            if events and events[-1].seq >= newest:
                return events
            if await self.newest_seq(conversation) < newest:
                return events  # purged meanwhile
            await asyncio.sleep(min(RETRY_FIRST_S * 2**attempt, RETRY_MAX_S))
        raise BrokerError("no replica has caught up")

    async def purge(self, conversation: str, *, up_to: int) -> int:
        """Take a conversation's events up to a sequence out of the log; returns how many.

        Raises:
            BrokerError: no answer; asking again is harmless.
        """
        query = {"filter": subjects.conversation(conversation), "seq": up_to + 1}
        return int((await self._jetstream.api(f"STREAM.PURGE.{CONVERSATIONS}", query)).get("purged", 0))


def fold_stored(conversation: Conversation, events: list[StoredConversationEvent]) -> Conversation:
    """The conversation with what was read from the log, changed in place."""
    for stored in events:
        fold_conversation(conversation, stored.event, stored.seq)
    return conversation
