"""The purge against everything that may happen beside it, in orders drawn from seeds, with the services' own code."""

import asyncio
import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from inkwire_api import run_events
from inkwire_api.adapters.log import JetStreamLog
from inkwire_api.adapters.run_log import JetStreamRuns
from inkwire_api.joining import joined
from inkwire_api.ports import BrokerUnavailable
from inkwire_chassis import event_log
from inkwire_chassis.clock import SystemClock
from inkwire_chassis.event_log import Fenced
from inkwire_chassis.jetstream import BrokerError, WrongLastSequence
from inkwire_chassis.lifecycle import spawn
from inkwire_contracts import events
from inkwire_contracts.events import TERMINAL_TYPES, Event, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold
from inkwire_gateway.adapters.history import LogHistory
from inkwire_generator.adapters import log as generator_log
from inkwire_generator.claim import Verdict, verdict
from inkwire_persister.adapters.log import EventsLog
from inkwire_persister.adapters.purge import EventsPurge
from inkwire_persister.counters import Counters
from inkwire_persister.intake import Delivery, is_key
from inkwire_persister.janitor import Janitor, Limits
from inkwire_persister.keeper import Keeper
from inkwire_stores.ports import StoredPost
from tests.support.log import TIME, ScriptedWriter, make_job
from tests.support.memory_store import MemoryStore
from tests.support.memory_stream import EPOCH, MemoryStream, Turns

OWNER = "ana"
SEEDS = int(os.environ.get("INKWIRE_TEST_RETENTION_SEEDS", "16"))
ENOUGH = 100
STEPS = 14
"""Things that begin in one run, each beside those before it."""


@dataclass
class SlowStore(MemoryStore):
    """Every call is two turns."""

    turns: Turns = field(default_factory=lambda: Turns(random.Random(0)))

    async def get(self, post: str) -> StoredPost | None:
        await self.turns.turn()
        found = await super().get(post)
        await self.turns.turn()
        return found

    async def put(self, stored: StoredPost, *, expected_seq: int) -> bool:
        await self.turns.turn()
        done = await super().put(stored, expected_seq=expected_seq)
        await self.turns.turn()
        return done

    async def mark_purge(self, post: str, *, seq: int, done: bool) -> bool:
        await self.turns.turn()
        marked = await super().mark_purge(post, seq=seq, done=done)
        await self.turns.turn()
        return marked


class World:
    """One post and everybody who has to do with it."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.turns = Turns(self.draw)
        self.stream = MemoryStream(self.turns)
        self.store = SlowStore(turns=self.turns)
        self.log = self.stream.log(self.draw)
        self.clock = SystemClock()
        self.job = make_job(OWNER)
        self.post = self.job.post
        self.counters = Counters()
        self.keeper = Keeper(self.store, EventsLog(self.log), self.counters)
        self.worker_log = generator_log.PostLog(self.log, self.store, self.clock, "worker")
        self.reads = JetStreamLog(self.log, self.clock)
        self.runs = JetStreamRuns(self.log, self.reads, self.store)
        self.gateway = LogHistory(self.log, self.store, recent_events=50)
        self.deliveries = 0
        self.delivered = 0
        self._events: dict[int, Event] = {}
        self._parsed = 0

    # -- the truth ---------------------------------------------------------------------------------------------

    @property
    def events(self) -> dict[int, Event]:
        """The first event of each seq that was ever stored; a second one of a seq is a copy of it."""
        for message in self.stream.stored[self._parsed :]:
            if message.subject.startswith("posts."):
                event = parse_event(message.payload)
                assert self._events.setdefault(event.seq, event) == event, "two events of one seq"
        self._parsed = len(self.stream.stored)
        return self._events

    def truth(self, seq: int) -> Snapshot:
        snapshot = Snapshot(post=self.post)
        for number in range(1, seq + 1):
            assert fold(snapshot, self.events[number]) is Outcome.APPLIED, (number, self.events[number])
        return snapshot

    @property
    def newest(self) -> Snapshot:
        return self.truth(max(self.events, default=0))

    # -- who is there ------------------------------------------------------------------------------------------

    async def work(self, run: int) -> None:
        """A worker with the job of a run: everything up to the run's end, unless somebody takes over."""
        job = make_job(OWNER, post=self.post, run=run)
        self.deliveries += 1
        deliveries = self.deliveries
        if await self.worker_log.open(job) is not None:
            return
        try:
            held = await self.worker_log.claim(job, deliveries)
            writer = ScriptedWriter(self.log, job, held)
            writer.snapshot = await self.worker_log.snapshot(job, held)
            await self._write(writer, run)
        except (Fenced, BrokerError):  # its claim was purged under it: the job comes back, and finds the run ended
            return

    async def _write(self, writer: ScriptedWriter, run: int) -> None:
        what = verdict(writer.snapshot, run, cancel_wanted=False, poison=False)
        if what is Verdict.REQUEST:
            await writer.write(events.GenerateRequested, **writer.job.request.model_dump())
        elif what is not Verdict.WRITE:
            return
        await writer.write(events.Started)
        for name in ("s1", "s2"):
            section = writer.snapshot.section(name)
            if section is None or section.status != "done":
                await writer.section(name, f"{name} of run {run}, ", f"attempt {writer.held.attempt}. ")
        if run >= 3 or self.draw.random() < 0.2:
            await writer.publish()
        else:
            await writer.write(events.Failed, code="provider_auth")

    async def retry(self, run: int) -> None:
        """The api begins a run."""
        job = make_job(OWNER, post=self.post, run=run)
        try:
            await self.runs.write(OWNER, self.post, run, lambda now, n: run_events.requested(now, job, n))
        except BrokerUnavailable:
            return

    async def delete(self, run: int) -> None:
        """The api deletes a post whose run has ended."""
        await self.runs.write(OWNER, self.post, run + 1, lambda now, n: run_events.deleted(now, run + 1, n, TIME))

    async def late_copy(self) -> None:
        """A publish of before comes once more, from a client that was cut off."""
        if self.stream.sent:
            subject, payload, headers = self.draw.choice([self.stream.sent[0], self.draw.choice(self.stream.sent)])
            await self.turns.turn()
            if self.stream.last(subject) is None or subject.startswith("posts."):
                try:
                    self.stream.store(subject, payload, headers)
                except WrongLastSequence:
                    return

    @property
    def keys(self) -> list[Delivery]:
        """All key events that the persister's consumer delivers, late copies included."""
        stored = [self._delivery(m) for m in self.stream.stored if m.subject.startswith("posts.")]
        return [delivery for delivery in stored if is_key(delivery.event)]

    async def persist(self) -> None:
        """Deliver the next key events, some of them twice, in batches."""
        keys = self.keys
        start = max(0, self.delivered - self.draw.randrange(3))
        batch = keys[start : self.delivered + self.draw.randrange(1, 6)]
        if batch:
            await self.keeper.keep(batch, EPOCH)
            self.delivered = max(self.delivered, start + len(batch))

    @staticmethod
    def _delivery(message: Any) -> Delivery:
        return Delivery(parse_event(message.payload), message.seq)

    def janitor(self) -> Janitor:
        """A process of its own: it remembers nothing of the one before."""
        return Janitor(self.store, EventsPurge(self.log), self.counters, self.clock, Limits(0, 0, 0.9))

    async def purge(self) -> None:
        """A janitor that may be killed at any step."""
        await self.janitor().round()

    async def read(self) -> None:
        """The api and the gateway show the post as it stands or stood since; never less, never a part of it."""
        for show in (self._by_api, self._by_gateway):
            before = max(self.events, default=0)
            shown = await show()
            if before == 0:
                continue
            assert shown is not None, "a post that is there was not found"
            if shown.status == "deleted":
                assert any(event.type == "deleted" for event in self.events.values())
                continue
            assert shown.seq >= before or show == self._by_gateway
            true = self.truth(shown.seq)
            assert (document(shown), shown.status, shown.run) == (document(true), true.status, true.run)

    async def _by_api(self) -> Snapshot | None:
        folded = await joined(self.reads, self.store, OWNER, self.post)
        return None if folded is None else folded.snapshot

    async def _by_gateway(self) -> Snapshot | None:
        loaded = await self.gateway.load(OWNER, self.post)
        return None if loaded is None else loaded.snapshot


def begin(world: World, step: int) -> list[asyncio.Task[None]]:
    """Something that begins now, beside what is under way."""
    now = world.newest
    run = max(1, now.run)
    choices = [world.purge, world.purge, world.persist, world.persist, world.read, world.late_copy]
    tasks = [spawn("beside", world.draw.choice(choices)()) for _ in range(2)]
    tasks += [spawn("read", world.read()) for _ in range(2)]
    if not now.is_final:
        tasks.append(spawn("work", world.work(run)))
    elif now.status == "deleted":
        tasks.append(spawn("old work", world.work(run)))
    elif step == STEPS - 2 and world.draw.random() < 0.4:
        tasks.append(spawn("delete", world.delete(run)))
    elif now.status == "failed" and world.draw.random() < 0.7:
        tasks += [spawn("retry", world.retry(run + 1)), spawn("next", world.work(run + 1))]
    else:
        tasks.append(spawn("old work", world.work(world.draw.randint(1, run))))
    return tasks


async def until_still(world: World) -> None:
    """The run under way ends; everything is stored and purged."""
    for _ in range(10):
        if world.newest.is_final:
            break
        await world.turns.play(spawn("work", world.work(max(1, world.newest.run))))
    for _ in range(ENOUGH):
        stored = world.store.posts.get(world.post)
        is_whole = stored is not None and stored.purged and stored.snapshot.seq == world.newest.seq
        if is_whole and world.delivered == len(world.keys):
            break
        await world.turns.play(spawn("persist", world.persist()))
        await world.turns.play(spawn("purge", world.purge()))
    await world.turns.play(spawn("purge", world.purge()))


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_beside_a_purge(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries, deletions, take-overs, zombies, late copies, killed janitors: one history, exact for every reader."""
    monkeypatch.setattr(event_log, "_delay", lambda _attempt: 0.0)
    monkeypatch.setattr(generator_log, "READ_WAIT_S", 0.0)
    monkeypatch.setattr("inkwire_gateway.adapters.history.RETRY_S", 0.0)
    world = World(seed)
    await world.turns.play(spawn("requested", world.log.ensure_requested(world.job)))
    under_way: list[asyncio.Task[None]] = []
    for step in range(STEPS):
        begun = begin(world, step)
        janitors = [task for task in begun if world.draw.random() < 0.2 and task.get_name() == "beside"]
        under_way += begun
        wait_for = world.draw.sample(under_way, k=world.draw.randint(1, len(under_way)))
        for task in janitors:
            await asyncio.sleep(0)
            task.cancel()  # killed, at whatever it is at
        await world.turns.play(*wait_for)
        under_way = [task for task in under_way if not task.done() or (not task.cancelled() and task.result())]
    await world.turns.play(*under_way)
    await until_still(world)
    end = world.newest
    stored = world.store.posts[world.post]
    assert (document(stored.snapshot), stored.snapshot.status) == (document(end), end.status)
    assert end.status != "published" or digest(document(end)) == end.sha256
    ends = [event.run for event in world.events.values() if event.type in TERMINAL_TYPES]
    assert ends == list(range(1, end.run + 1)), "each run has one end"
    attempts = [event.attempt for seq, event in sorted(world.events.items())]
    assert attempts == sorted(attempts), "attempts never go back"
    assert stored.purged
    left = {message.subject.split(".")[-1] for message in world.stream.messages if message.subject.startswith("posts.")}
    assert left <= {"deleted"} and world.counters.corrupt_posts == 0
    await world.turns.play(spawn("read", world.read()))
