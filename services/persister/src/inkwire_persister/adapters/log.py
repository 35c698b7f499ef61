"""The EVENTS stream as the persister needs it, and the place for what is no event."""

from collections.abc import Sequence

from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import H_MSG_ID, JetStream
from inkwire_contracts import subjects
from inkwire_contracts.dead_letters import header_fields
from inkwire_persister.adapters.broker import asking, reading
from inkwire_persister.intake import Delivery, is_key
from inkwire_persister.ports import LogUnavailable


class EventsLog:
    """See :class:`inkwire_persister.ports.Log`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def epoch(self) -> str:
        """See :class:`inkwire_persister.ports.Log`."""
        with asking():
            return await self._log.epoch()

    async def key_events(self, owner: str, post: str, *, after: int, at_least: int) -> Sequence[Delivery]:
        """See :class:`inkwire_persister.ports.Log`."""
        with reading():
            events = await self._log.read(owner, post, after_stream_seq=after)
        if not events or events[-1].stream_seq < at_least:
            raise LogUnavailable("the log's replica has not caught up")
        return [Delivery(stored.event, stored.stream_seq) for stored in events if is_key(stored.event)]


class DeadLetters:
    """Where messages go that can never be stored, for an operator to find (``inkwire dlq``)."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream

    async def put(self, subject: str, payload: bytes, *, place: str, reason: str, detail: str, deliveries: int) -> None:
        """Put a message aside, once however often this is called. ``place`` names it in all streams.

        Raises:
            LogUnavailable: the broker has not confirmed it.
        """
        headers = {**header_fields(reason, detail=detail, deliveries=deliveries), H_MSG_ID: place}
        with asking():
            await self._jetstream.publish(subjects.dead_event(subject), payload, headers)
