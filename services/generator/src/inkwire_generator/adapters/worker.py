"""Takes jobs while a slot is free and keeps each one's lease while its post comes forward. One task per post.

A post's failure ends nothing but its own task. A lease is kept by heartbeats that follow the post's own progress: a
task that hangs loses its job even though the process lives.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from nats.errors import Error as NatsError

from inkwire_chassis.clock import Clock
from inkwire_chassis.jetstream import BrokerError
from inkwire_chassis.lifecycle import spawn
from inkwire_chassis.logs import bound_contextvars, get_logger
from inkwire_contracts.commands import Job
from inkwire_generator.adapters.jobs import JobQueue, TakenJob
from inkwire_generator.ports import Log
from inkwire_generator.pulse import Beats, Pulse
from inkwire_generator.runner import Ending, Runner
from inkwire_stores.ports import StoreUnavailable

LATER_DELAY_S = 1.0
HANDED_BACK_FIRST_S = 1.0
HANDED_BACK_MAX_S = 30.0
AWAY_MAX_S = 3.0
"""Longest wait after broker or store did not answer. A job is delivered again after each death and each release too, so
the count of deliveries says little about how long they are away; readers must not wait for it."""

AWAY = "away"
"""How an attempt ended whose broker or store did not answer."""

MAX_BROKEN_DELIVERIES = 20
"""A job that breaks its task this often goes to the dead letters; waiting for broker or store has no such bound."""

ABANDON_TIMEOUT_S = 1.0
"""How long a task may take to notice that it was cancelled, before it is left behind."""


class LeaseEnd(StrEnum):
    """Why nobody beats for a job any more."""

    DONE = "done"
    """Its work has come to an end, whichever."""
    STOPPED = "released"
    """This process stops."""
    HUNG = "hung"
    """Its post makes no step."""


MakeRunner = Callable[[Job, int, Pulse], Runner]


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """``lease_s`` is JOBS' ack_wait; ``stall_limit_s`` how long a post may make no step at all."""

    posts: int
    lease_s: float
    stall_limit_s: float
    lease_beats_count: int = 5


@dataclass(frozen=True, slots=True)
class _Served:
    """A job under way."""

    job: Job
    runner: Runner


class Worker:
    """The take loop and its posts."""

    def __init__(self, queue: JobQueue, log: Log, make_runner: MakeRunner, clock: Clock, limits: WorkerLimits) -> None:
        self._queue = queue
        self._log = log
        self._make_runner = make_runner
        self._clock = clock
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.posts)
        self._posts: set[asyncio.Task[None]] = set()
        self._served: dict[TakenJob, _Served] = {}
        """Of one post there may be two for a while: an older attempt goes on where the newer one is not to claim."""
        self._stopping = asyncio.Event()
        self._look_for_cancels = asyncio.Event()
        self._loop_over = asyncio.Event()
        self._loop_over.set()
        self._takes = asyncio.Event()
        self._takes.set()
        self.overloaded = False
        """It stops for want of memory: whatever needed so much is not told apart, so these attempts count."""

    @property
    def takes_jobs(self) -> bool:
        """Whether a free slot is filled."""
        return self._takes.is_set()

    def take_jobs(self, yes: bool) -> None:
        """Fill free slots from now on, or leave them empty; what is being written goes on either way."""
        if yes:
            self._takes.set()
        elif not self._stopping.is_set():
            self._takes.clear()

    @property
    def active_count(self) -> int:
        """Posts being written now."""
        return len(self._posts)

    async def take_loop(self) -> None:
        """Until :meth:`stop`: take a job whenever a slot is free."""
        self._loop_over.clear()
        try:
            while not self._stopping.is_set():
                await self._slots.acquire()
                taken = await self._next()
                if taken is None:
                    self._slots.release()
                    return
                task = spawn(f"post {taken.job.post}", self._serve(taken))
                self._posts.add(task)
                task.add_done_callback(self._over)
        finally:
            self._loop_over.set()

    async def _next(self) -> TakenJob | None:
        while True:
            await self._takes.wait()
            if self._stopping.is_set():
                return None
            try:
                taken = await self._queue.take()
            except (NatsError, BrokerError) as error:
                get_logger().warning("cannot take jobs", error=type(error).__name__)
                taken = None
            if taken is not None:
                return taken
            await self._queue.wait()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._posts.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            get_logger().error("a post's task broke", task=task.get_name(), exc_info=error)

    async def stop(self) -> None:
        """Take nothing more and hand every post over at once; returns when all are released."""
        self._stopping.set()
        self._look_for_cancels.set()
        self._takes.set()
        self._queue.wake()
        if self._posts:
            get_logger().info("releasing", posts=len(self._posts))
            await asyncio.wait(set(self._posts))
        await self._loop_over.wait()
        if self._posts:  # taken in the very moment of the stop; its task releases it at its first look
            await asyncio.wait(set(self._posts))

    def cancel_told(self, post: str, run: int | None) -> None:
        """Somebody stored the wish to cancel a post's run, and says so afterwards: that is as good as reading it.

        A log that is busy with many posts' events would keep us waiting for the read. Without ``run`` the log is read
        now.
        """
        for served in self._served.values():
            if served.job.post != post:
                continue
            if run is None:
                self._look_for_cancels.set()
            elif run == served.job.run:
                served.runner.cancel()

    async def watch_cancels(self) -> None:
        """Until :meth:`stop`: read the wishes to cancel of all posts, together, as often as their heartbeats come.

        What :meth:`cancel_told` is told may be lost: with a connection, or with who was about to say it.
        """
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_interval_s):
                    await self._look_for_cancels.wait()
            self._look_for_cancels.clear()
            await self._read_cancels()

    async def _read_cancels(self) -> None:
        # Before a post is claimed there is nothing to read: its attempt reads its wish right after the claim.
        claimed = [served for served in self._served.values() if served.runner.held is not None]
        if not claimed:
            return
        try:
            wanted = await self._log.cancels_wanted([served.job for served in claimed])
        except (BrokerError, NatsError) as error:
            get_logger().warning("wishes to cancel not read", error=str(error) or type(error).__name__)
            return
        for served in claimed:
            if served.job.post in wanted:
                served.runner.cancel()

    @property
    def _beat_interval_s(self) -> float:
        return self._limits.lease_s / self._limits.lease_beats_count

    async def _serve(self, taken: TakenJob) -> None:
        job = taken.job
        with bound_contextvars(post=job.post, run=job.run):
            pulse = Pulse(self._clock.monotonic_s(), self._limits.stall_limit_s)
            runner = self._make_runner(job, taken.deliveries, pulse)
            self._served[taken] = _Served(job, runner)
            work = spawn(f"run {job.post}.{job.run}", runner.run())
            try:
                end = await self._keep_lease(taken, work, pulse)
                if end is LeaseEnd.DONE:
                    outcome = await _settle(taken, work)
                    if outcome == AWAY:
                        await self._give_back(runner)
                else:
                    await _abandon(work)
                    if end is LeaseEnd.STOPPED and not self.overloaded:
                        await self._give_back(runner)
                    await taken.release()
                    outcome = end.value
                get_logger().info("attempt over", outcome=outcome, attempt=runner.held.attempt if runner.held else None)
            finally:
                await _abandon(work)
                del self._served[taken]

    async def _keep_lease(self, taken: TakenJob, work: asyncio.Task[Ending], pulse: Pulse) -> LeaseEnd:
        """Beat until the work is done or must be given up."""
        stop = spawn("stop wish", self._stopping.wait())
        now_s = asyncio.get_running_loop().time
        beats = Beats(self._beat_interval_s, taken.lane.bucket, now_s())
        try:
            while True:
                await asyncio.wait({work, stop}, timeout=beats.next_s - now_s(), return_when=asyncio.FIRST_COMPLETED)
                beats.passed(now_s())
                if work.done():
                    return LeaseEnd.DONE
                if stop.done():
                    return LeaseEnd.STOPPED
                if not pulse.alive(self._clock.monotonic_s()):
                    get_logger().error("post hangs, its job is given up")
                    return LeaseEnd.HUNG
                await _beat(taken)
        finally:
            stop.cancel()

    async def _give_back(self, runner: Runner) -> None:
        """A stop of ours or a broker that is away is no sign of poison. Said once: unsaid, the attempt counts."""
        if runner.held is None:
            return
        try:
            await self._log.release(runner.held)
        except (BrokerError, NatsError) as error:
            get_logger().warning("claim not given back", error=type(error).__name__)


async def _beat(taken: TakenJob) -> None:
    try:
        await taken.beat()
    except NatsError as error:
        get_logger().warning("heartbeat failed", error=str(error) or type(error).__name__)


async def _settle(taken: TakenJob, work: asyncio.Task[Ending]) -> str:
    """Say what becomes of the job; the word for it is the one of docs/lifecycle.md."""
    try:
        ending = work.result()
        if ending in (Ending.POISON, Ending.REJECT):
            await taken.copy_to_dead_letters(ending.value)
    except (BrokerError, NatsError, StoreUnavailable) as error:
        if not getattr(error, "transient", True):
            await _broken(taken, error)
            return "broken"
        get_logger().warning("job handed back", error=f"{type(error).__name__}: {error}")
        await taken.later(min(AWAY_MAX_S, _delay_s(taken.deliveries)))
        return AWAY
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends this post's task alone
        await _broken(taken, error)
        return "broken"
    if ending is Ending.LATER:
        await taken.later(LATER_DELAY_S)
    elif ending is not Ending.SILENT:
        await taken.ack()
    return ending.value


async def _broken(taken: TakenJob, error: Exception) -> None:
    """The task raised what nobody expects, a damaged log for example: try again, but not for ever."""
    get_logger().error("post's task broke", deliveries=taken.deliveries, exc_info=error)
    if taken.deliveries < MAX_BROKEN_DELIVERIES:
        await taken.later(_delay_s(taken.deliveries))
        return
    try:
        await taken.copy_to_dead_letters(f"broken: {type(error).__name__}")
    except BrokerError as refused:
        get_logger().warning("dead letter not stored", error=str(refused))
        await taken.later(HANDED_BACK_MAX_S)
    else:
        await taken.ack()


def _delay_s(deliveries: int) -> float:
    return float(min(HANDED_BACK_MAX_S, HANDED_BACK_FIRST_S * 2 ** min(deliveries - 1, 10)))


async def _abandon(work: asyncio.Task[Ending]) -> None:
    """Cancel the work and wait a moment; one that does not even notice is left behind, fenced by the next claim."""
    if work.done():
        return
    work.cancel()
    _, late = await asyncio.wait({work}, timeout=ABANDON_TIMEOUT_S)
    if late:
        get_logger().error("a post's task cannot be cancelled", task=work.get_name())
