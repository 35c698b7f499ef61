"""The recoverer over a store and a queue in memory."""

from dataclasses import dataclass, field

import pytest

from inkwire_contracts.commands import Job
from inkwire_contracts.events import Event
from inkwire_contracts.fold import Snapshot, fold_all
from inkwire_persister.counters import Counters
from inkwire_persister.ports import LogUnavailable, LogUnreadable
from inkwire_persister.recoverer import MAX_REMEMBERED, PAGE_POSTS, Recoverer
from inkwire_persister.recovery import Waiting
from inkwire_stores.ports import StoredPost
from tests.support.clock import ManualClock
from tests.support.memory_store import MemoryStore
from tests.support.post_logs import PostLog, post_id, whole_post

INTERVAL_S = 300.0


@dataclass
class MemoryQueue:
    """Jobs and newest events in memory; ``between`` is done after the first look at a post's log."""

    name: str = "events-1 jobs-1"
    jobs: dict[str, int] = field(default_factory=dict)
    log: dict[str, Event] = field(default_factory=dict)
    published: list[tuple[Job, str]] = field(default_factory=list)
    down: bool = False
    unreadable: set[str] = field(default_factory=set)
    between: dict[str, Event] = field(default_factory=dict)
    scans: int = 0

    def _ask(self) -> None:
        if self.down:
            raise LogUnavailable("down")

    async def identity(self) -> str:
        self._ask()
        return self.name

    async def newest(self, owner: str, post: str) -> Event | None:
        self._ask()
        if post in self.unreadable:
            raise LogUnreadable("not an event")
        found = self.log.get(post)
        self.log.update({p: e for p, e in self.between.items() if p == post})
        return found

    async def waiting_runs(self, pool: str, priority: str, owner: str) -> Waiting:
        self._ask()
        self.scans += 1
        return set(self.jobs.items())

    async def claimed_deliveries(self, post: str, run: int) -> int:
        return 4

    async def publish(self, job: Job, msg_id: str) -> None:
        self._ask()
        if msg_id not in [known for _, known in self.published]:
            self.published.append((job, msg_id))
            self.jobs[job.post] = job.run


class World:
    """A recoverer, and posts in its store."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.queue = MemoryQueue()
        self.counters = Counters()
        self.clock = ManualClock()
        self.settled = 0
        self.recoverer = Recoverer(
            self.store, self.queue, self.counters, self.clock, settled=self._settled, interval_s=INTERVAL_S
        )

    async def _settled(self) -> None:
        self.settled += 1

    def put(self, log: PostLog) -> PostLog:
        snapshot = Snapshot(post=log.post)
        fold_all(snapshot, log.key_events)
        self.store.posts[log.post] = StoredPost(snapshot, 9, "epoch-1")
        return log

    def unfinished(self, number: int = 1) -> PostLog:
        log = PostLog(post=post_id(number))
        log.request()
        log.start()
        return self.put(log)

    @property
    def taken_up(self) -> list[str]:
        return [job.post for job, _ in self.queue.published]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_post_whose_log_and_job_are_lost_is_taken_up_once(world: World) -> None:
    """At the first look, and not again at later ones."""
    log = world.unfinished()
    for _ in range(3):
        await world.recoverer.look()
        world.clock.advance(INTERVAL_S)
    assert world.taken_up == [log.post]
    assert world.queue.published[0][0].delivered == 4
    assert world.counters.taken_up_runs == 1 and world.settled == 3


async def test_a_post_that_a_worker_has_is_left_alone(world: World) -> None:
    """Its job is in the queue until its end is in the log."""
    log = world.unfinished()
    world.queue.log[log.post] = log.events[-1]
    world.queue.jobs[log.post] = 1
    await world.recoverer.look()
    assert world.taken_up == []


async def test_a_post_whose_job_alone_is_lost_is_taken_up(world: World) -> None:
    """The log goes on where it was."""
    log = world.unfinished()
    world.queue.log[log.post] = log.events[-1]
    await world.recoverer.look()
    assert world.taken_up == [log.post]


async def test_an_end_that_comes_while_we_look_counts(world: World) -> None:
    """A job that is gone because its run has just ended is not lost."""
    log = world.unfinished()
    world.queue.log[log.post] = log.events[-1]
    world.queue.between[log.post] = whole_post(1).events[-1]
    await world.recoverer.look()
    assert world.taken_up == []


async def test_a_later_run_that_begins_while_we_look_is_left_for_the_next_look(world: World) -> None:
    """Its own job may just be on its way."""
    log = world.unfinished()
    world.queue.log[log.post] = log.events[-1]
    world.queue.between[log.post] = log.events[-1].model_copy(update={"run": 2})
    await world.recoverer.look()
    assert world.taken_up == []


async def test_another_broker_is_looked_at_at_once(world: World) -> None:
    """What was taken up before the loss is taken up again after it; between losses only at the interval."""
    log = world.unfinished()
    await world.recoverer.look()
    world.queue.jobs.clear()
    await world.recoverer.look()
    assert world.taken_up == [log.post]
    world.queue.name = "events-2 jobs-1"
    await world.recoverer.look()
    assert world.taken_up == [log.post, log.post]


async def test_a_job_that_is_put_aside_again_is_not_taken_up_for_ever(world: World) -> None:
    """Once for each loss and process: who knows why it is gone, a person must."""
    log = world.unfinished()
    await world.recoverer.look()
    world.queue.jobs.clear()
    world.clock.advance(INTERVAL_S)
    await world.recoverer.look()
    assert world.taken_up == [log.post]


async def test_an_outage_is_told_once_and_the_look_repeated(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Broker or store away: nothing is forgotten, and the log is not filled."""
    log = world.unfinished()
    world.queue.down = True
    for _ in range(5):
        await world.recoverer.look()
    world.queue.down = False
    world.store.outages = [True]
    await world.recoverer.look()
    await world.recoverer.look()
    assert world.taken_up == [log.post]
    assert capsys.readouterr().out.count("cannot look for unfinished posts yet") == 1


async def test_one_that_cannot_be_read_keeps_nobody_waiting(world: World) -> None:
    """The others are taken up."""
    first, second = world.unfinished(1), world.unfinished(2)
    world.queue.unreadable = {first.post}
    await world.recoverer.look()
    assert world.taken_up == [second.post]


async def test_every_page_is_read_and_ended_posts_are_not(world: World) -> None:
    """More posts than a page holds; those that have ended stay as they are."""
    count = PAGE_POSTS * 2 + 3
    wanted = {world.unfinished(number).post for number in range(count)}
    world.put(whole_post(count + 1))
    world.put(whole_post(count + 2, end="cancelled"))
    await world.recoverer.look()
    assert set(world.taken_up) == wanted and len(world.taken_up) == count


async def test_what_is_remembered_is_bounded(world: World) -> None:
    """At the bound it is forgotten; the queue itself still says what it has."""
    world.unfinished()
    world.recoverer._taken_up = {str(number) for number in range(MAX_REMEMBERED)}
    world.recoverer._identity = world.queue.name
    await world.recoverer.look()
    assert len(world.recoverer._taken_up) == 1
