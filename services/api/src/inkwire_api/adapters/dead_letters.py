"""The DLQ stream, read backwards: the broker only knows how to find the next message, not the one before."""

from inkwire_api.adapters.log import asking
from inkwire_api.ports import Letter
from inkwire_chassis.jetstream import JetStream, StoredMessage
from inkwire_contracts.dead_letters import ANY_FILTER, KIND_FILTERS, LetterKind
from inkwire_contracts.topology import DLQ


class JetStreamDeadLetters:
    """See :class:`inkwire_api.ports.DeadLetterBox`. Read at the leader, so that what was taken away is gone."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream

    async def get(self, stream_seq: int) -> Letter | None:
        with asking():
            found = await self._jetstream.leader_get(DLQ, stream_seq)
        return None if found is None else _letter(found)

    async def remove(self, stream_seq: int) -> bool:
        with asking():
            return await self._jetstream.delete_message(DLQ, stream_seq)

    async def newest_before(self, before: int | None, kind: LetterKind | None) -> Letter | None:
        with asking():
            state = (await self._jetstream.stream_info(DLQ))["state"]
            end = int(state["last_seq"]) + 1
            end = end if before is None else min(before, end)
            return await self._last_in(int(state["first_seq"]), end, ANY_FILTER if kind is None else KIND_FILTERS[kind])

    async def _last_in(self, first: int, end: int, subject: str) -> Letter | None:
        """The last message from ``first`` to before ``end``.

        Wider and wider steps back until there is one, then halves of what is left: one question where letters lie
        side by side, else about twice as many as the gap has bits.
        """
        step, found, empty_from = 1, None, end
        while found is None and empty_from > first:
            start = max(first, end - step)
            found = await self._first_in(start, empty_from, subject)
            if found is None:
                empty_from = start
            step *= 2
        while found is not None and found.seq + 1 < empty_from:
            middle = (found.seq + 1 + empty_from) // 2
            later = await self._first_in(middle, empty_from, subject)
            if later is None:
                empty_from = middle
            else:
                found = later
        return None if found is None else _letter(found)

    async def _first_in(self, start: int, end: int, subject: str) -> StoredMessage | None:
        message = await self._jetstream.leader_next(DLQ, subject, start)
        return message if message is not None and message.seq < end else None


def _letter(message: StoredMessage) -> Letter:
    return Letter(message.seq, message.subject, message.payload, message.headers, message.time)
