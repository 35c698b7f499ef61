"""EVENTS, as the janitor reads and purges it."""

from collections.abc import Sequence

from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import fill_ratio
from inkwire_contracts import subjects
from inkwire_contracts.topology import EVENTS
from inkwire_persister.adapters.broker import reading
from inkwire_persister.intake import Delivery
from inkwire_persister.ports import Fill
from inkwire_persister.purging import LastClaim


class EventsPurge:
    """See :class:`inkwire_persister.janitor.PurgeLog`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def fill(self) -> Fill:
        with reading():
            info = await self._log.jetstream.stream_info(EVENTS)
        return Fill(str(info["created"]), fill_ratio(info))

    async def last_claim(self, post: str) -> LastClaim | None:
        with reading():
            claim, stream_seq = await self._log.read_claim(post)
        return None if claim is None else LastClaim(stream_seq, claim.run)

    async def events(self, owner: str, post: str) -> Sequence[Delivery]:
        with reading():
            return [Delivery(stored.event, stored.stream_seq) for stored in await self._log.read(owner, post)]

    async def purge_events(self, owner: str, post: str, *, up_to: int) -> int:
        return await self._purge(subjects.post_events(owner, post), up_to)

    async def purge_type(self, owner: str, post: str, event_type: str, *, up_to: int) -> int:
        return await self._purge(subjects.post_event(owner, post, event_type), up_to)

    async def purge_wishes(self, owner: str, post: str, *, run: int, up_to: int) -> int:
        """The run has ended: a wish for it that came after its end stands for nothing."""
        with reading():
            late = await self._log.jetstream.leader_last(EVENTS, subjects.cancel(owner, post, run))
        messages = await self._purge(subjects.cancels(owner, post), up_to)
        if late is not None and late.seq > up_to:
            messages += await self._purge(subjects.cancel(owner, post, run), late.seq)
        return messages

    async def purge_claims(self, post: str, *, up_to: int) -> int:
        return await self._purge(subjects.claim(post), up_to)

    async def _purge(self, subject: str, up_to: int) -> int:
        if up_to <= 0:
            return 0
        with reading():
            return await self._log.purge(subject, up_to=up_to)
