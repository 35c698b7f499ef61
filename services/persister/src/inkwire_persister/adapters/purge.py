"""EVENTS, as the janitor reads and purges it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from inkwire_chassis.event_log import EventLog, LogDamaged
from inkwire_chassis.jetstream import BrokerError
from inkwire_contracts import subjects
from inkwire_contracts.topology import EVENTS
from inkwire_persister.intake import Delivery
from inkwire_persister.ports import Fill, LogUnavailable, LogUnreadable
from inkwire_persister.purging import LastClaim


class EventsPurge:
    """See :class:`inkwire_persister.janitor.PurgeLog`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def fill(self) -> Fill:
        with _asking():
            info = await self._log.jetstream.stream_info(EVENTS)
        max_bytes = int(info["config"].get("max_bytes", -1))
        ratio = int(info["state"]["bytes"]) / max_bytes if max_bytes > 0 else 0.0
        return Fill(str(info["created"]), ratio)

    async def last_claim(self, post: str) -> LastClaim | None:
        with _asking():
            claim, stream_seq = await self._log.read_claim(post)
        return None if claim is None else LastClaim(stream_seq, claim.run)

    async def events(self, owner: str, post: str) -> Sequence[Delivery]:
        with _asking():
            return [Delivery(stored.event, stored.stream_seq) for stored in await self._log.read(owner, post)]

    async def purge_events(self, owner: str, post: str, *, up_to: int) -> int:
        return await self._purge(subjects.post_events(owner, post), up_to)

    async def purge_type(self, owner: str, post: str, event_type: str, *, up_to: int) -> int:
        return await self._purge(subjects.post_event(owner, post, event_type), up_to)

    async def purge_wishes(self, owner: str, post: str, *, run: int, up_to: int) -> int:
        """The run has ended: a wish for it that came after its end stands for nothing."""
        with _asking():
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
        with _asking():
            return await self._log.purge(subject, up_to=up_to)


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except BrokerError as error:
        raise LogUnavailable(str(error)) from None
    except (LogDamaged, ValueError, TypeError) as error:
        raise LogUnreadable(type(error).__name__) from None
