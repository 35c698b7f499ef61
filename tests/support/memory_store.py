"""A PostStore in memory, held to the same contract as the real ones, and a log in memory for the persister's core."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from inkwire_contracts.fold import ACTIVE, Snapshot
from inkwire_contracts.views import PostSummary, UsageTotals, summary
from inkwire_persister.intake import Delivery, is_key
from inkwire_persister.ports import LogUnavailable
from inkwire_stores.ports import MAX_POST_BYTES, EndedPost, PostTooLarge, StoredPost, StoreUnavailable, check_limit
from inkwire_stores.usage import MAX_SAMPLES, Group, Sample, spending, totals


@dataclass
class MemoryStore:
    """See PostStore. ``outages`` and ``lost_races`` are consumed one a call; ``down``: every call fails."""

    posts: dict[str, StoredPost] = field(default_factory=dict)
    outages: list[bool] = field(default_factory=list)
    lost_races: list[StoredPost] = field(default_factory=list)
    """What somebody else stores just before the next put."""
    puts: int = 0
    down: bool = False

    def _call(self) -> None:
        if self.down or (self.outages and self.outages.pop(0)):
            raise StoreUnavailable("memory: out")

    async def get(self, post: str) -> StoredPost | None:
        self._call()
        found = self.posts.get(post)
        return None if found is None else _copy(found)

    async def put(self, stored: StoredPost, *, expected_seq: int) -> bool:
        self._call()
        size = len(stored.snapshot.model_dump_json().encode()) + len((stored.markdown or "").encode())
        if size > MAX_POST_BYTES:
            raise PostTooLarge("memory: too large")
        if self.lost_races:
            other = self.lost_races.pop(0)
            self.posts[other.snapshot.post] = other
        held = self.posts.get(stored.snapshot.post)
        if (held.snapshot.seq if held else 0) != expected_seq:
            return False
        proven_seq = held.proven_seq if held else 0
        self.posts[stored.snapshot.post] = replace(_copy(stored), proven_seq=proven_seq, purged=False)
        self.puts += 1
        return True

    async def list_posts(
        self,
        owner: str,
        *,
        limit: int,
        before: tuple[str, str] | None = None,
        status: str | None = None,
        replies: bool = False,
    ) -> list[PostSummary]:
        check_limit(limit)
        self._call()
        lines = [summary(stored.snapshot) for stored in self.posts.values() if stored.snapshot.owner == owner]
        lines = [line for line in lines if (line.status == status if status else line.status != "deleted")]
        lines = [line for line in lines if replies or line.conversation is None]
        lines = [line for line in lines if before is None or (line.created_at, line.id) < before]
        return sorted(lines, key=lambda line: (line.created_at, line.id), reverse=True)[:limit]

    async def count_active(self, owner: str) -> int:
        self._call()
        posts = [stored.snapshot for stored in self.posts.values()]
        return sum(1 for snapshot in posts if snapshot.owner == owner and snapshot.status in ACTIVE)

    async def active_posts(self, *, limit: int, after: str = "") -> list[str]:
        check_limit(limit)
        self._call()
        found = [post for post, stored in self.posts.items() if stored.snapshot.status in ACTIVE and post > after]
        return sorted(found)[:limit]

    async def unpurged_posts(
        self, *, epoch: str, before: str, limit: int, after: tuple[str, str] | None = None
    ) -> list[EndedPost]:
        check_limit(limit)
        self._call()
        found = sorted(
            (stored.snapshot.updated_at, stored.snapshot.post)
            for stored in self.posts.values()
            if stored.snapshot.is_final and not (stored.purged or stored.corrupt) and stored.epoch == epoch
        )
        chosen = [
            self.posts[post].snapshot
            for line in found
            if line[0] < before and line > (after or ("", ""))
            for post in line[1:]
        ]
        return [EndedPost(s.post, s.owner, s.status, s.updated_at) for s in chosen[:limit]]

    async def mark_purge(self, post: str, *, seq: int, done: bool) -> bool:
        self._call()
        held = self.posts.get(post)
        if held is None or held.snapshot.seq != seq or held.corrupt:
            return False
        self.posts[post] = replace(held, proven_seq=seq, purged=done)
        return True

    async def usage(self, owner: str | None, *, since: str | None = None, until: str | None = None) -> UsageTotals:
        self._call()
        posts = [stored.snapshot for stored in self.posts.values() if owner is None or stored.snapshot.owner == owner]
        posts = [p for p in posts if (since or "") <= p.created_at and (until is None or p.created_at < until)]
        posts.sort(key=lambda p: (p.created_at, p.post), reverse=True)
        published = [spending(p) for p in posts if p.status == "published"][:MAX_SAMPLES]
        return totals([_alone(p) for p in posts], [Sample(spent.first_text_ms, spent.run_ms) for spent in published])

    async def ping(self) -> None:
        self._call()


def _alone(snapshot: Snapshot) -> Group:
    """A group of one post."""
    spent = spending(snapshot)
    sums = {name: getattr(spent, name) for name in ("tokens_in", "tokens_out", "tokens_wasted", "tokens_estimated")}
    cost_usd = spent.cost_usd or 0.0
    return Group(snapshot.status, spent.model, spent.unpriced, 1, cost_usd=cost_usd, words=spent.words, **sums)


def _copy(stored: StoredPost) -> StoredPost:
    snapshot = stored.snapshot.model_copy(deep=True)
    return replace(stored, snapshot=snapshot)


@dataclass
class MemoryLog:
    """The persister's Log over given deliveries (chunks and progress may be among them)."""

    deliveries: Sequence[Delivery] = ()
    name: str = "epoch-1"
    outages: list[bool] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)

    async def epoch(self) -> str:
        return self.name

    async def key_events(self, owner: str, post: str, *, after: int, at_least: int) -> Sequence[Delivery]:
        if self.outages and self.outages.pop(0):
            raise LogUnavailable("memory: out")
        self.reads.append(after)
        mine = [d for d in self.deliveries if (d.event.owner, d.event.post) == (owner, post) and d.stream_seq > after]
        if not mine or mine[-1].stream_seq < at_least:
            raise LogUnavailable("memory: behind")
        return [d for d in mine if is_key(d.event)]
