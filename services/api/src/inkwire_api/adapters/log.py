"""The log, as the api reads and writes it: the chassis' EventLog behind the port."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from inkwire_api.ports import BrokerUnavailable, Damaged, Folded, Known
from inkwire_chassis.clock import Clock
from inkwire_chassis.event_log import BeginningGone, EventLog, History, LogDamaged
from inkwire_chassis.jetstream import BrokerError, StoredMessage, fill_ratio
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.events import Deleted, Event, GenerateRequested, parse_event
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.topology import EVENTS, JOBS
from inkwire_stores.ports import StoredPost

INFO_MAX_AGE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Info:
    epoch: str
    fill_ratio: float
    read_at_s: float


class JetStreamLog:
    """EVENTS, and JOBS by sequence."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._info: _Info | None = None

    async def ensure_requested(self, job: Job) -> None:
        with asking():
            await self._log.ensure_requested(job)

    async def stored_job(self, stream_seq: int) -> Job | None:
        with asking():
            stored = await self._log.jetstream.leader_get(JOBS, stream_seq)
        return None if stored is None else Job.model_validate_json(stored.payload)

    async def look_up(self, owner: str, post: str) -> Known | None:
        newest = await self._last(subjects.post_events(owner, post))
        if newest is None:
            return None
        if isinstance(_event(newest), Deleted):
            return Known("", deleted=True)
        # Of the latest run; a later run carries the request, and so the fingerprint, of the first.
        requested = await self._last(subjects.post_event(owner, post, "requested"))
        event = None if requested is None else _event(requested)
        return Known(event.data.fingerprint, deleted=False) if isinstance(event, GenerateRequested) else None

    async def fold(self, owner: str, post: str, stored: StoredPost | None, *, at_least: int = 0) -> Folded | None:
        """``at_least``: a stream sequence that the answering replica must have reached; 0: what the leader has."""
        with asking(), folding():
            epoch = (await self._stream_info()).epoch
            if at_least:
                newest = await self._log.newest(owner, post, at_least=at_least)
            else:  # what an answer before this one told must not be undone by a replica that lags
                newest = await self._log.newest_now(owner, post)
            if newest is None:
                return None if stored is None else Folded(stored.snapshot, stored.epoch, stored.corrupt)
            if isinstance(newest.event, Deleted):
                return Folded(Snapshot(post=post, owner=owner, status="deleted", seq=newest.event.seq), epoch)
            base = None
            if stored is not None and stored.epoch == epoch:
                if stored.corrupt or stored.snapshot.seq >= newest.event.seq:
                    return Folded(stored.snapshot, epoch, stored.corrupt)
                if stored.stream_seq < newest.stream_seq:  # else its place is not one in this log
                    base = History(stored.snapshot, stored.stream_seq)
            try:
                history = await self._log.history(owner, post, base=base, at_least=max(at_least, newest.stream_seq))
            except BeginningGone:
                if stored is None:
                    raise
                # Purged, or lost with the broker's volume: the log goes on from what the store has.
                base = History(stored.snapshot.model_copy(deep=True), 0)
                history = await self._log.history(owner, post, base=base, at_least=at_least)
            if history.snapshot.seq < newest.event.seq:
                raise BeginningGone(f"the log of post {post} was purged while it was read")
            return Folded(history.snapshot, epoch)

    async def fill_ratio(self) -> float:
        with asking():
            return (await self._stream_info()).fill_ratio

    async def _last(self, subject: str) -> StoredMessage | None:
        with asking():
            return await self._log.jetstream.leader_last(EVENTS, subject)

    async def _stream_info(self) -> _Info:
        now_s = self._clock.monotonic_s()
        if self._info is None or now_s - self._info.read_at_s >= INFO_MAX_AGE_S:
            info = await self._log.jetstream.stream_info(EVENTS)
            self._info = _Info(str(info["created"]), fill_ratio(info), now_s)
        return self._info


def _event(message: StoredMessage) -> Event:
    return parse_event(message.payload)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """The broker's errors, as the port's."""
    try:
        yield
    except BrokerError as error:
        raise BrokerUnavailable(str(error)) from None


@contextlib.contextmanager
def folding() -> Iterator[None]:
    """What makes no sense, as the port's error."""
    try:
        yield
    except (LogDamaged, ValueError, TypeError) as error:  # the latter two: an event that cannot be decoded
        raise Damaged(type(error).__name__) from None
