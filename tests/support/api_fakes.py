"""The api's ports in memory: a broker that forgets, refuses or stays silent on command, and a store."""

from dataclasses import dataclass, field

from inkwire_api.ports import BrokerUnavailable, Damaged, Folded, Known, NoRoom, Receipt
from inkwire_contracts.commands import Job
from inkwire_contracts.fold import ACTIVE, Snapshot
from inkwire_contracts.views import PostSummary, summary
from inkwire_stores.ports import StoredPost, StoreUnavailable

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

    async def publish(self, job: Job) -> Receipt:
        self._check("publish")
        if self.full:
            raise NoRoom("maximum messages per subject exceeded")
        receipt = self.store_job(job)
        if self.silent_publishes > 0:
            self.silent_publishes -= 1
            raise BrokerUnavailable("no answer")
        return receipt

    def store_job(self, job: Job) -> Receipt:
        """What JOBS does with a publish."""
        if job.msg_id in self.window:
            return Receipt(self.window[job.msg_id], duplicate=True)
        self.sequence += 1
        self.jobs[self.sequence] = job
        self.window[job.msg_id] = self.sequence
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

    async def fold(self, owner: str, post: str, stored: StoredPost | None) -> Folded | None:
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
class FakeStore:
    """A store of posts in a dict."""

    posts: dict[str, StoredPost] = field(default_factory=dict)
    down: bool = False

    async def get(self, post: str) -> StoredPost | None:
        self._check()
        return self.posts.get(post)

    async def put(self, stored: StoredPost, *, expected_seq: int) -> bool:
        self._check()
        there = self.posts.get(stored.snapshot.post)
        if (there.snapshot.seq if there else 0) != expected_seq:
            return False
        self.posts[stored.snapshot.post] = stored
        return True

    async def list_posts(
        self, owner: str, *, limit: int, before: tuple[str, str] | None = None, status: str | None = None
    ) -> list[PostSummary]:
        self._check()
        mine = [summary(s.snapshot) for s in self.posts.values() if s.snapshot.owner == owner]
        mine.sort(key=lambda s: (s.created_at, s.id), reverse=True)
        chosen = [
            s
            for s in mine
            if (before is None or (s.created_at, s.id) < before) and (status is None or s.status == status)
        ]
        return chosen[:limit]

    async def count_active(self, owner: str) -> int:
        self._check()
        return sum(s.snapshot.owner == owner and s.snapshot.status in ACTIVE for s in self.posts.values())

    async def ping(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("down")
