"""The api's ports in memory: a broker that forgets, refuses or stays silent on command."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from inkwire_api.mentioning import Mentions
from inkwire_api.ports import BrokerUnavailable, Compose, Damaged, Folded, Known, Letter, NoRoom, Receipt
from inkwire_api.posts import Limits, Posts
from inkwire_api.rate_limit import RateLimiter
from inkwire_chassis.clock import Clock
from inkwire_contracts.commands import CancelIntent, Job
from inkwire_contracts.dead_letters import LetterKind
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_recipes.registry import load_recipes
from inkwire_stores.document_ports import DocumentStore
from inkwire_stores.ports import PostStore, StoredPost

EPOCH = "2026-01-01T00:00:00Z"


@dataclass
class FakeBroker:
    """JOBS with its duplicate window, and ``requested`` of each post in the log; both ports of the api at once."""

    jobs: dict[int, Job] = field(default_factory=dict)
    window: dict[str, int] = field(default_factory=dict)
    requested: dict[tuple[str, str], Job] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    folded: dict[str, Snapshot] = field(default_factory=dict)
    fill: float = 0.0
    full: bool = False
    silent_publishes: int = 0
    """So many publishes get no verdict, though each is stored (the answer is lost)."""
    down: bool = False
    sequence: int = 0
    asked: list[str] = field(default_factory=list)

    async def publish(self, job: Job, *, msg_id: str | None = None) -> Receipt:
        self._check("publish")
        if self.full:
            raise NoRoom("maximum messages per subject exceeded")
        receipt = self.store_job(job, msg_id)
        if self.silent_publishes > 0:
            self.silent_publishes -= 1
            raise BrokerUnavailable("no answer")
        return receipt

    def store_job(self, job: Job, msg_id: str | None = None) -> Receipt:
        """What JOBS does with a publish."""
        msg_id = msg_id or job.msg_id
        if msg_id in self.window:
            return Receipt(self.window[msg_id], duplicate=True)
        self.sequence += 1
        self.jobs[self.sequence] = job
        self.window[msg_id] = self.sequence
        return Receipt(self.sequence, duplicate=False)

    def finish(self, post: str) -> None:
        """A worker has done the job: ``requested`` is in the log, the job is gone."""
        for sequence, job in list(self.jobs.items()):
            if job.post == post:
                self.requested.setdefault((job.owner, post), job)
                del self.jobs[sequence]

    async def ensure_requested(self, job: Job) -> None:
        self._check("ensure_requested")
        self.requested.setdefault((job.owner, job.post), job)

    async def stored_job(self, stream_seq: int) -> Job | None:
        self._check("stored_job")
        return self.jobs.get(stream_seq)

    async def look_up(self, owner: str, post: str) -> Known | None:
        self._check("look_up")
        if post in self.deleted:
            return Known("", deleted=True)
        job = self.requested.get((owner, post))
        return None if job is None else Known(job.request.fingerprint, deleted=False)

    async def fold(self, owner: str, post: str, stored: StoredPost | None, *, at_least: int = 0) -> Folded | None:
        self._check("fold")
        if post in self.damaged:
            raise Damaged("does not fold")
        snapshot = self.folded.get(post)
        if snapshot is not None and snapshot.owner == owner:
            return Folded(snapshot, EPOCH)
        return None if stored is None else Folded(stored.snapshot, stored.epoch, stored.corrupt)

    async def fill_ratio(self) -> float:
        self._check("fill_ratio")
        return self.fill

    def _check(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise BrokerUnavailable("down")


@dataclass
class FakeRuns:
    """One post's log; ``held_by_worker`` stands for a claim that counts more than the api's."""

    snapshot: Snapshot | None
    held_by_worker: bool = False
    intents: list[CancelIntent] = field(default_factory=list)
    trouble: dict[str, Exception] = field(default_factory=dict)
    silent: bool = False
    queue: FakeBroker = field(default_factory=FakeBroker)
    admitted: list[str] = field(default_factory=list)
    refused: str | None = None
    delivered: dict[int, int] = field(default_factory=dict)

    async def admit(self, owner: str) -> None:
        if self.refused is not None:
            raise InkwireError(self.refused)
        self.admitted.append(owner)

    async def current(self, owner: str, post: str) -> Snapshot | None:
        await self._meet("current")
        known = self.snapshot
        return known.model_copy(deep=True) if known is not None and (known.owner, known.post) == (owner, post) else None

    async def running(self, owner: str, post: str) -> int | None:
        await self._meet("running")
        found = self.snapshot
        known = found is not None and (owner, post) == (found.owner, found.post)
        return found.run if found is not None and known and not found.is_final else None

    async def wish_cancel(self, intent: CancelIntent) -> None:
        await self._meet("wish_cancel")
        self.intents.append(intent)

    async def write(self, owner: str, post: str, run: int, compose: Compose) -> Snapshot | None:
        await self._meet("write")
        assert self.snapshot is not None
        if self.held_by_worker:
            return None
        event = compose(self.snapshot, self.snapshot.attempt + 1)
        if event is not None:
            assert fold(self.snapshot, event) is Outcome.APPLIED
        return self.snapshot

    async def deliveries(self, post: str, run: int) -> int:
        await self._meet("deliveries")
        return self.delivered.get(run, 0)

    async def _meet(self, what: str) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if what in self.trouble:
            raise self.trouble[what]


@dataclass
class FakeLetters:
    """The DLQ. ``asked`` keeps the order in which it was used, together with the queue's if they share the list."""

    letters: dict[int, Letter] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def add(self, stream_seq: int, subject: str, payload: bytes = b"{}", **headers: str) -> Letter:
        """Put a message there, its headers named without their prefix."""
        named = {f"Inkwire-{name.title()}": value for name, value in headers.items()}
        letter = Letter(stream_seq, subject, payload, named, "2026-01-02T03:04:05.678901234Z")
        self.letters[stream_seq] = letter
        return letter

    async def newest_before(self, before: int | None, kind: LetterKind | None) -> Letter | None:
        self._check("newest_before")
        fitting = [
            seq
            for seq, letter in self.letters.items()
            if (before is None or seq < before) and (kind is None or letter.subject.startswith(f"dlq.{kind}s."))
        ]
        return self.letters[max(fitting)] if fitting else None

    async def get(self, stream_seq: int) -> Letter | None:
        self._check("get")
        return self.letters.get(stream_seq)

    async def remove(self, stream_seq: int) -> bool:
        self._check("remove")
        return self.letters.pop(stream_seq, None) is not None

    def _check(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise BrokerUnavailable("down")


def posts_over(
    broker: FakeBroker, store: PostStore, documents: DocumentStore, clock: Clock, ids: Iterator[str], **changes: Any
) -> Posts:
    """A new api process' part that accepts posts."""
    parts: dict[str, Any] = {
        "jobs": broker,
        "log": broker,
        "store": store,
        "recipes": load_recipes(),
        "mentions": Mentions(documents),
        "limiter": RateLimiter(per_s=1.0, burst=1_000),
        "limits": Limits(max_open_posts=3, commit_timeout_s=5.0),
        "clock": clock,
        "new_id": lambda: next(ids),
    }
    return Posts(**{**parts, **changes})
