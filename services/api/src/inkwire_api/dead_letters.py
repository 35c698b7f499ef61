"""Dead letters for operators: list, show, replay, discard. Over ports.

A letter is taken away only after its job is durably stored again. Whoever dies in between leaves the letter where it
was, and replaying it again ends in the same run.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inkwire_api import pagination
from inkwire_api.asking import answered, in_time
from inkwire_api.pagination import Page
from inkwire_api.ports import DeadLetterBox, Letter, PostLog, RunLog
from inkwire_api.replay import Step, step
from inkwire_api.steering import Steered, Steering
from inkwire_chassis.logs import get_logger
from inkwire_contracts.commands import Job
from inkwire_contracts.dead_letters import DeadLetter, LetterKind, dead_letter, job_of
from inkwire_contracts.errors import InkwireError

REPLAY_LEAP = 1_000_000
"""A replayed job's deliveries begin so far beyond those of every earlier copy that none of these can claim the run
again: copies that took turns would fence each other for ever."""

MAX_SCANNED = 500
"""Letters looked at for one page. Where a filter leaves out more, the page is short, and its cursor goes on."""


class DeadLetters:
    """The DLQ. Who may see it is asked before; letters are of all owners."""

    def __init__(
        self,
        *,
        box: DeadLetterBox,
        runs: RunLog,
        log: PostLog,
        steering: Steering,
        timeout_s: float,
    ) -> None:
        self._box = box
        self._runs = runs
        self._log = log
        self._steering = steering
        self._timeout_s = timeout_s

    async def page(
        self, *, limit: int, cursor: str | None, kind: LetterKind | None, reason: str | None
    ) -> Page[DeadLetter]:
        """Letters of that kind and reason.

        Raises:
            InkwireError: ``invalid_cursor``, or nobody answers.
        """
        before = None if cursor is None else pagination.decode_letter_cursor(cursor, kind, reason)
        items: list[DeadLetter] = []
        async with self._bounded():
            for _ in range(MAX_SCANNED):
                place = before
                letter = await answered(lambda place=place: self._box.newest_before(place, kind))  # type: ignore[misc]
                if letter is None:
                    return Page(items, None)
                before = letter.stream_seq
                view = view_of(letter)
                if reason in (None, view.reason):
                    items.append(view)
                if len(items) == limit:
                    break
        return Page(items, None if before is None else pagination.encode_letter_cursor(before, kind, reason))

    async def get(self, letter: str) -> DeadLetter:
        """One letter.

        Raises:
            InkwireError: ``not_found``, or nobody answers.
        """
        async with self._bounded():
            return view_of(await self._find(letter))

    async def discard(self, letter: str) -> None:
        """Take a letter away.

        Raises:
            InkwireError: as :meth:`get`.
        """
        async with self._bounded():
            if not await answered(lambda: self._box.remove(_seq(letter))):
                raise InkwireError("not_found")

    async def replay(self, letter: str, *, traceparent: str | None = None) -> Steered:
        """Have a letter's job worked on again, and take the letter away.

        Raises:
            InkwireError: ``not_found``, ``not_replayable``, what a retry may raise, or nobody answers; the letter
                is still there.
            StoreUnavailable: the log has nothing of the post, and the store does not answer.
        """
        async with self._bounded():
            found = await self._find(letter)
            job = job_of(found.subject, found.payload)
            if job is None:
                raise InkwireError("not_replayable", detail=view_of(found).advice)
            steered = await self._again(job, found, traceparent)
            get_logger().info("dead letter replayed", letter=letter, post=job.post, run=steered.run)
            await answered(lambda: self._box.remove(found.stream_seq))
            return steered

    async def _again(self, job: Job, letter: Letter, traceparent: str | None) -> Steered:
        owner, post = job.owner, job.post
        snapshot = await self._steering.sound(post, lambda: self._runs.current(owner, post))
        way = step(job, snapshot)
        if way is Step.RETRY:
            return await self._steering.retry(owner, post, after_run=job.run, traceparent=traceparent)
        delivered = REPLAY_LEAP + await answered(lambda: self._runs.deliveries(post, job.run))
        # Not the job's own Msg-Id: the broker may still remember it, and would store nothing.
        copy = job.model_copy(update={"delivered": delivered})
        await self._steering.publish(copy, msg_id=f"{job.msg_id}.replay.{letter.stream_seq}")
        if way is Step.BEGIN:
            await answered(lambda: self._log.ensure_requested(job))
        if way is Step.FOLLOW:
            snapshot = await self._steering.begun(job)
        return Steered(post, job.run, "queued" if snapshot is None else snapshot.status, accepted=True)

    async def _find(self, letter: str) -> Letter:
        found = await answered(lambda: self._box.get(_seq(letter)))
        if found is None:
            raise InkwireError("not_found")
        return found

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        async with in_time(self._timeout_s):
            yield


def view_of(letter: Letter) -> DeadLetter:
    """What an operator sees."""
    return dead_letter(letter.stream_seq, letter.subject, letter.payload, letter.headers, stored_at=letter.stored_at)


def _seq(letter: str) -> int:
    if not pagination.is_letter_id(letter):
        raise InkwireError("not_found")
    return int(letter)
