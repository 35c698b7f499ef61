"""The log of posts: claims, fenced writes, history. The one adapter through which every service meets EVENTS.

The protocol is in docs/architecture.md; its rules were explored as a model before they were built. In short: a
claim's stream sequence is a token, every event carries it as an expectation that the broker checks, and only the
answer "wrong last sequence" is a verdict. Everything else is asked again under the same Msg-Id.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from nats.errors import Error as NatsError

from inkwire_chassis.jetstream import (
    H_EXPECTED_SUBJECT,
    H_EXPECTED_SUBJECT_SEQ,
    H_MSG_ID,
    BrokerError,
    JetStream,
    StoredMessage,
    StreamFull,
    WrongLastSequence,
)
from inkwire_chassis.logs import get_logger
from inkwire_contracts import subjects
from inkwire_contracts.commands import CancelIntent, Claim, Job
from inkwire_contracts.events import KEY_TYPES, Event, GenerateRequested, encode_event, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_contracts.topology import EVENTS

BATCH_MESSAGES = 20_000
BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCHES = 200
"""Bound on one history read: four million events."""

CLAIM_TRIES = 50
CLAIMS_BATCH = 1_000
"""Claims of one post read at once; READ_TRIES times as many is far beyond the bounds at which a post is given up."""

READ_TRIES = 20
INTENTS_BATCH = 500
"""Posts whose intents are read at once: the broker answers for at most 1,024 subjects."""

INTENTS_TRIES = 4
"""Times that a replica which lags is asked, over 0.3 s, before the leader is asked for one post after the other."""

RETRY_FIRST_S = 0.02
RETRY_MAX_S = 0.5


class Fenced(Exception):
    """Someone else holds the post now: stop silently, write and acknowledge nothing."""


class LogDamaged(Exception):
    """A post's history does not fold, though everything was read. Loud, and never papered over."""


class BeginningGone(LogDamaged):
    """The log holds only a later part of the post: it was purged, or lost, and the store has what stood before."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event, its bytes in the log, and where they are."""

    event: Event
    raw: bytes
    stream_seq: int


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that is ours: every write carries ``token``."""

    post: str
    token: int
    attempt: int


@dataclass(slots=True)
class History:
    """A folded post and the stream sequence it reaches (0: nothing in the log)."""

    snapshot: Snapshot
    stream_seq: int


class EventLog:
    """Reads and writes posts' logs over one JetStream connection."""

    def __init__(self, jetstream: JetStream, new_claim_id: Callable[[], str]) -> None:
        self.jetstream = jetstream
        self._new_claim_id = new_claim_id

    # -- reading -----------------------------------------------------------------------------------------------

    async def epoch(self) -> str:
        """The log's identity: when its stream was created. Another epoch means another log."""
        return str((await self.jetstream.stream_info(EVENTS))["created"])

    async def read(self, owner: str, post: str, *, after_stream_seq: int = 0) -> list[StoredEvent]:
        """All events of a post after a stream sequence, oldest first (from any replica).

        Raises:
            BrokerError: the broker did not answer.
        """
        return await self._read(subjects.post_events(owner, post), after_stream_seq)

    async def read_short(self, owner: str, post: str, *, after_stream_seq: int = 0) -> list[StoredEvent]:
        """What folds like :meth:`read`, at a cost that does not grow with the text: key events, and all that follows.

        Only for the holder of the post's claim, beside whom nobody writes. A hole among key events shows when they are
        folded, by their ``prev``; one among the chunks of a finished section does not.

        Raises:
            BrokerError: the broker did not answer.
        """
        last = await self.last_of_types(owner, post, KEY_TYPES)
        filters = [message.subject for message in last if message.seq > after_stream_seq]
        keys = [_stored_event(message) for message in await self.all_of(filters, after_stream_seq)]
        newest_key = keys[-1].stream_seq if keys else after_stream_seq
        return keys + await self.read(owner, post, after_stream_seq=newest_key)

    async def last_of_types(self, owner: str, post: str, types: Sequence[str]) -> list[StoredMessage]:
        """The last event of each type that a post has, by one read.

        Raises:
            BrokerError: the broker did not answer.
        """
        query = {"multi_last": [subjects.post_event(owner, post, kind) for kind in types], "batch": len(types)}
        return (await self.jetstream.direct_batch(EVENTS, query))[0]

    async def all_of(self, filters: Sequence[str], after_stream_seq: int) -> list[StoredMessage]:
        """What is stored on several subjects, in the stream's order.

        Raises:
            BrokerError: the broker did not answer.
        """
        reads = await asyncio.gather(*(self._messages(subject, after_stream_seq) for subject in filters))
        return sorted((message for found in reads for message in found), key=lambda message: message.seq)

    async def _read(self, subject: str, after_stream_seq: int) -> list[StoredEvent]:
        return [_stored_event(message) for message in await self._messages(subject, after_stream_seq)]

    async def _messages(self, subject: str, after_stream_seq: int) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        start = after_stream_seq + 1
        for _ in range(MAX_BATCHES):
            messages, left, _ = await self.jetstream.direct_batch(EVENTS, batch_query(start, subject))
            found.extend(messages)
            if left == 0 or not messages:
                return found
            start = messages[-1].seq + 1
        raise LogDamaged(f"{subject} has more than {MAX_BATCHES * BATCH_MESSAGES} events")

    async def newest(self, owner: str, post: str, *, at_least: int = 0) -> StoredEvent | None:
        """The newest event of a post, by one cheap read.

        ``at_least`` is a stream sequence (a claim's token) that the answering replica must have reached; one that
        lags is asked again. Without it the answer may be an earlier one, but a post that seems to be missing is
        looked for at the leader.

        Raises:
            BrokerError: no answer, or no replica has caught up.
        """
        events, claim = subjects.post_events(owner, post), subjects.claim(post)
        # Who has reached a claim has that at least. So an empty answer is a replica's that lags, and no proof.
        query = {"multi_last": [events, claim] if at_least else [events], "batch": 64}
        for attempt in range(READ_TRIES):
            messages, _, up_to = await self.jetstream.direct_batch(EVENTS, query)
            if messages and up_to >= at_least:
                found = [_stored_event(message) for message in messages if message.subject != claim]
                return max(found, key=lambda stored: stored.event.seq, default=None)
            if not messages and not at_least and await self._position(owner, post) == 0:
                return None
            await asyncio.sleep(_delay(attempt))
        raise BrokerError("no replica has caught up")

    async def newest_now(self, owner: str, post: str) -> StoredEvent | None:
        """The newest event of a post that the leader has: what anybody was shown before this call is not after it.

        Raises:
            BrokerError: as :meth:`newest`, and where no server leads.
        """
        position = await self._position(owner, post)
        return await self.newest(owner, post, at_least=position) if position else None

    async def latest_request(self, owner: str, post: str) -> GenerateRequested | None:
        """What a post's latest run was asked for, from the leader; ``None`` if the log does not have it (any more).

        Raises:
            BrokerError: no answer.
            ValueError, TypeError: it cannot be decoded.
        """
        last = await self.jetstream.leader_last(EVENTS, subjects.post_event(owner, post, "requested"))
        event = parse_event(last.payload) if last is not None else None
        return event if isinstance(event, GenerateRequested) else None

    async def _position(self, owner: str, post: str) -> int:
        """Stream sequence of a post's last message at the leader; 0 if there is none."""
        last = await self.jetstream.leader_last(EVENTS, subjects.post_events(owner, post))
        return 0 if last is None else last.seq

    async def history(
        self, owner: str, post: str, *, base: History | None = None, at_least: int = 0, short: bool = False
    ) -> History:
        """Fold a post up to its newest event, from ``base`` (changed in place) or from nothing.

        ``short``: by :meth:`read_short`. ``at_least``: as for :meth:`newest`; 0: whatever the leader has now.

        Where the log has nothing after ``base``, that is the answer; the caller knows whether it is one to trust.

        Raises:
            BeginningGone: what follows the base (or nothing) is not in the log, now or any more: it was purged or lost.
            LogDamaged: everything was read and it still does not fold.
        """
        history = base or History(Snapshot(post=post), 0)
        read = self.read_short if short else self.read
        at_least = at_least or await self._position(owner, post)
        start = history.snapshot.seq
        aim = 0
        for attempt in range(READ_TRIES):
            newest = await self.newest(owner, post, at_least=at_least)
            aim = max(aim, newest.event.seq if newest else 0)
            if history.snapshot.seq >= aim:
                return history
            if newest is None:
                raise BeginningGone(f"the log of post {post} was purged while it was read")
            events = await read(owner, post, after_stream_seq=history.stream_seq)
            damage = _advance(history, events)
            if damage is not None and history.snapshot.seq == start:
                raise BeginningGone(f"the log of post {post} does not go on from seq {start}: {damage}")
            if damage is None and history.snapshot.seq >= newest.event.seq:
                return history
            await asyncio.sleep(_delay(attempt))
        raise LogDamaged(f"post {post} does not fold beyond seq {history.snapshot.seq}")

    async def cancel_intent(self, owner: str, post: str, run: int) -> CancelIntent | None:
        """The stored wish to cancel a run, if there is one."""
        stored = await self.jetstream.leader_last(EVENTS, subjects.cancel(owner, post, run))
        return None if stored is None else CancelIntent.model_validate_json(stored.payload)

    async def cancel_intents(self, jobs: Sequence[Job]) -> set[str]:
        """Which of these posts somebody wishes to cancel the run of: all wishes that the leader had before this call.

        The posts have claims. It costs one read, and one more for each ``INTENTS_BATCH`` of them.

        Raises:
            BrokerError: the broker did not answer, or a leader is being elected.
        """
        info = await self.jetstream.stream_info(EVENTS)
        if "leader" not in info.get("cluster", {"leader": ""}):
            raise BrokerError(f"{EVENTS} has no leader")  # any replica answers then, of itself, and it may lag
        last = int(info["state"]["last_seq"])
        found: set[str] = set()
        for start in range(0, len(jobs), INTENTS_BATCH):
            found |= await self._intents(jobs[start : start + INTENTS_BATCH], at_least=last)
        return found

    async def _intents(self, jobs: Sequence[Job], at_least: int) -> set[str]:
        """From a replica that has what the leader had; where none has, from the leader."""
        wishes = {subjects.cancel(job.owner, job.post, job.run): job.post for job in jobs}
        # A claim is asked for too: an answer without any message does not tell how far it was read.
        query = {"multi_last": [*wishes, subjects.claim(jobs[-1].post)], "batch": len(wishes) + 1}
        for attempt in range(INTENTS_TRIES):
            messages, _, up_to = await self.jetstream.direct_batch(EVENTS, query)
            if up_to >= at_least:
                return {wishes[message.subject] for message in messages if message.subject in wishes}
            await asyncio.sleep(_delay(attempt))
        return {job.post for job in jobs if await self.cancel_intent(job.owner, job.post, job.run) is not None}

    # -- writing -----------------------------------------------------------------------------------------------

    async def ensure_requested(self, job: Job) -> None:
        """Write run 1's ``requested`` if it is missing, so that it exists once, whoever died before.

        Later runs' are written by :meth:`append`, under a claim.
        """
        event = requested_event(job, seq=1, prev=0, attempt=0)
        headers = {H_EXPECTED_SUBJECT_SEQ: "0", H_MSG_ID: f"{job.post}.requested.{job.run}"}
        try:
            await self._until_verdict(subjects.post_event(job.owner, job.post, "requested"), event, headers)
        except WrongLastSequence:
            return

    async def store_cancel_intent(self, intent: CancelIntent) -> None:
        """Store the wish to cancel a run, once for each run, and then tell the workers which run it is.

        Raises:
            BrokerError: no verdict; it may or may not be stored.
        """
        subject = subjects.cancel(intent.owner, intent.post, intent.run)
        headers = {H_EXPECTED_SUBJECT_SEQ: "0", H_MSG_ID: f"{intent.post}.cancel.{intent.run}"}
        with contextlib.suppress(WrongLastSequence):  # somebody wished it before
            await self.jetstream.publish(subject, intent.model_dump_json().encode(), headers)
        try:
            await self.jetstream.client.publish(subjects.cancel_signal(intent.post), str(intent.run).encode())
        except NatsError as error:  # the next heartbeat reads the intent
            get_logger().debug("cancel signal not sent", post=intent.post, error=type(error).__name__)

    async def read_claim(self, post: str) -> tuple[Claim | None, int]:
        """The newest claim on a post and its stream sequence (``None``, 0 if there was never one)."""
        stored = await self.jetstream.leader_last(EVENTS, subjects.claim(post))
        return (None, 0) if stored is None else (Claim.model_validate_json(stored.payload), stored.seq)

    async def claim(
        self,
        post: str,
        *,
        run: int,
        deliveries: int,
        holder: str,
        last_attempt: Callable[[], Awaitable[int]] | None = None,
    ) -> Held:
        """Take the right to write a post.

        Args:
            post: which one.
            run: for which of its runs.
            deliveries: how often the run's job was delivered.
            holder: who claims.
            last_attempt: tells the number of the post's newest attempt where it has no claim (any more); ``None``
                where it cannot have had one.

        Raises:
            Fenced: a later delivery of the job, or a later run, has claimed it.
            BrokerError: no verdict could be had.
        """
        claim_id = self._new_claim_id()
        floor = 0
        for attempt in range(CLAIM_TRIES):
            current, seq = await self.read_claim(post)
            if current is not None and current.claim_id == claim_id:
                return Held(post, seq, current.attempt)
            if current is not None and (current.run, current.deliveries) > (run, deliveries):
                raise Fenced
            if current is None and last_attempt is not None:
                floor = await last_attempt()
            number = (current.attempt if current else floor) + 1
            body = Claim(claim_id=claim_id, run=run, attempt=number, deliveries=deliveries, holder=holder)
            headers = {H_EXPECTED_SUBJECT_SEQ: str(seq), H_MSG_ID: claim_id}
            try:
                ack = await self.jetstream.publish(subjects.claim(post), body.model_dump_json().encode(), headers)
            except BrokerError as error:
                get_logger().debug("claim not yet decided", post=post, error=str(error))
                await asyncio.sleep(_delay(attempt))
                continue
            if not ack.duplicate:
                return Held(post, ack.seq, number)
        raise BrokerError("a claim could not be decided")

    async def release(self, held: Held) -> None:
        """Give a claim back: whoever counts attempts leaves this one out, and nothing can be written under it any more.

        Somebody else's claim is left alone.

        Raises:
            BrokerError: no verdict; the claim may or may not count as released.
        """
        current, seq = await self.read_claim(held.post)
        if current is None or seq != held.token:
            return
        claim_id = self._new_claim_id()
        body = current.model_copy(update={"claim_id": claim_id, "released": True})
        headers = {H_EXPECTED_SUBJECT_SEQ: str(seq), H_MSG_ID: claim_id}
        with contextlib.suppress(WrongLastSequence):
            await self.jetstream.publish(subjects.claim(held.post), body.model_dump_json().encode(), headers)

    async def released_attempts(self, post: str, *, up_to: int) -> frozenset[int]:
        """Numbers of a post's attempts that say nothing about it.

        They were given back on purpose, or come before the first claim that the log has: those were purged, or went
        with a log that was lost. ``up_to`` is a claim's token, which the answering replica must have reached.

        Raises:
            BrokerError: the broker did not answer, or no replica has caught up.
        """
        claims: list[Claim] = []
        start = 1
        for attempt in range(READ_TRIES):
            query = {"seq": start, "next_by_subj": subjects.claim(post), "batch": CLAIMS_BATCH}
            messages, _, _ = await self.jetstream.direct_batch(EVENTS, query)
            claims += [Claim.model_validate_json(message.payload) for message in messages]
            if messages and messages[-1].seq >= up_to:
                unknown = range(1, claims[0].attempt)
                return frozenset(unknown).union(claim.attempt for claim in claims if claim.released)
            start = messages[-1].seq + 1 if messages else start
            if len(messages) < CLAIMS_BATCH:
                await asyncio.sleep(_delay(attempt))
        raise BrokerError("no replica has caught up")

    async def append(self, event: Event, held: Held, *, waiting: Callable[[], None] | None = None) -> int:
        """Write one event under a claim; returns its stream sequence. Keeps asking until there is a verdict.

        ``waiting`` is called each time that the log is found full: who waits for room does not hang.

        Raises:
            Fenced: the claim has been taken by someone else; nothing was written.
        """
        headers = {
            H_EXPECTED_SUBJECT_SEQ: str(held.token),
            H_EXPECTED_SUBJECT: subjects.claim(held.post),
            H_MSG_ID: f"{event.post}.{held.token}.{event.seq}",
        }
        try:
            subject = subjects.post_event(event.owner, event.post, event.type)
            return await self._until_verdict(subject, event, headers, waiting)
        except WrongLastSequence:
            raise Fenced from None

    # -- purging -----------------------------------------------------------------------------------------------

    async def purge(self, subject: str, *, up_to: int) -> int:
        """Take what is stored on a subject (or filter) up to a stream sequence out of the log; returns how many.

        What comes later is never touched, and a claim that is gone fences its holder.

        Raises:
            BrokerError: no answer; asking again is harmless.
        """
        query = {"filter": subject, "seq": up_to + 1}
        return int((await self.jetstream.api(f"STREAM.PURGE.{EVENTS}", query)).get("purged", 0))

    async def _until_verdict(
        self, subject: str, event: Event, headers: dict[str, str], waiting: Callable[[], None] | None = None
    ) -> int:
        """Without bound on purpose: the caller's lease ends it, and a full log only makes writers wait."""
        payload = encode_event(event)
        attempt = 0
        while True:
            try:
                return (await self.jetstream.publish(subject, payload, headers)).seq
            except BrokerError as error:
                if not error.transient:
                    raise
                if waiting is not None and isinstance(error, StreamFull):
                    waiting()
                if attempt == 0:
                    get_logger().warning("write not yet decided", subject=subject, error=str(error))
                await asyncio.sleep(_delay(attempt))
                attempt += 1


def requested_event(job: Job, *, seq: int, prev: int, attempt: int) -> GenerateRequested:
    """The ``requested`` event of a job."""
    return GenerateRequested(
        post=job.post,
        owner=job.owner,
        run=job.run,
        attempt=attempt,
        seq=seq,
        prev=prev,
        time=job.time,
        traceparent=job.traceparent,
        data=job.request,
    )


def _advance(history: History, events: list[StoredEvent]) -> str | None:
    for stored in events:
        outcome = fold(history.snapshot, stored.event)
        if outcome in (Outcome.GAP, Outcome.INVALID):
            return f"{outcome} at seq {stored.event.seq}"
        history.stream_seq = max(history.stream_seq, stored.stream_seq)
    return None


def _stored_event(message: StoredMessage) -> StoredEvent:
    return StoredEvent(parse_event(message.payload), message.payload, message.seq)


def batch_query(seq: int, subject: str) -> dict[str, object]:
    """What asks for a batch of what is stored on a subject from a stream sequence on."""
    return {"seq": seq, "next_by_subj": subject, "batch": BATCH_MESSAGES, "max_bytes": BATCH_BYTES}


def _delay(attempt: int) -> float:
    return float(min(RETRY_FIRST_S * 2 ** min(attempt, 10), RETRY_MAX_S))
