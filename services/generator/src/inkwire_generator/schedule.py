"""Which consumer to ask next: weighted credit over priorities, round robin over pools and buckets. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inkwire_contracts.events import Priority
from inkwire_contracts.subjects import BUCKETS, PRIORITIES

CREDIT: Mapping[Priority, int] = {"urgent": 8, "high": 4, "normal": 2, "low": 1}
"""How many jobs of a priority are taken in one round while the others have work too."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One consumer of JOBS."""

    pool: str
    priority: Priority
    bucket: int


class TakeOrder:
    """Keeps the lanes that may hold a job, in the order in which to ask them.

    A lane leaves when it is handed out by :meth:`next`; it comes back when it gave a job or when its bell rang,
    also while it was being asked. So no ring is lost, and an empty lane costs one question.
    """

    def __init__(self, pools: Iterable[str]) -> None:
        self._lanes = [Lane(pool, p, bucket) for p in PRIORITIES for bucket in range(BUCKETS) for pool in pools]
        self._known = frozenset(self._lanes)
        self._waiting: dict[Priority, deque[Lane]] = {priority: deque() for priority in PRIORITIES}
        self._credit = dict(CREDIT)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All lanes."""
        return tuple(self._lanes)

    def ring(self, lane: Lane) -> None:
        """The lane may hold a job; one that is not ours is ignored."""
        if lane in self._known and lane not in self._waiting[lane.priority]:
            self._waiting[lane.priority].append(lane)

    def ring_all(self) -> None:
        """Any lane may hold a job."""
        for lane in self._lanes:
            self.ring(lane)

    def next(self) -> Lane | None:
        """The lane to ask now, ``None`` if none may hold a job."""
        busy = [priority for priority in PRIORITIES if self._waiting[priority]]
        if not busy:
            return None
        if not any(self._credit[priority] for priority in busy):
            self._credit = dict(CREDIT)
        return self._waiting[next(priority for priority in busy if self._credit[priority])].popleft()

    def took(self, lane: Lane) -> None:
        """The lane gave a job, so it may hold another; its turn comes after its neighbours'."""
        self._credit[lane.priority] = max(0, self._credit[lane.priority] - 1)
        self.ring(lane)
