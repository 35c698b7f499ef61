"""A group of worker processes that serve one gateway: who is started when, and when the group gives up."""

from collections.abc import Container
from dataclasses import dataclass
from enum import Enum

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0
BACKOFF_FORGIVEN_S = 30.0
"""A worker that lived this long is started with the first back-off again."""

BACKOFF_FAILED_MAX_S = 30.0
"""One that cannot start is in no hurry while others serve: each try costs them some processor time."""

MAX_FAILED_STARTS = 5
"""A worker that ends by itself so often in a row before it is ready, while nobody serves, will not do better."""


class State(Enum):
    """Of one worker."""

    WAITING = "waiting"  # for its first start, or for the end of its back-off
    STARTING = "starting"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Start:
    """Start this worker, after a pause."""

    worker: int
    after_s: float = 0.0
    failed: bool = False
    """Whether it ended with an error before it was ready, so that this is one try more."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the whole group with this exit code."""

    code: int
    reason: str


@dataclass(slots=True)
class _Worker:
    state: State = State.WAITING
    born_s: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S
    failed_starts: int = 0


class Group:
    """Workers are numbered from 1. A negative exit code is the signal that killed a worker; being killed is no fault.

    Until all were ready once, an end with an error is the group's end, as it would be a single gateway's. From then on
    a dead worker is started again. If it cannot, for as long as another one serves it is tried again and again: what
    is in its way (streams that are lost, say) may be mended, and readers of the others are not to pay for it.
    """

    def __init__(self, count: int, *, hopeless_codes: Container[int]) -> None:
        self._workers = {number: _Worker() for number in range(1, count + 1)}
        self._hopeless_codes = hopeless_codes
        self._was_complete = False
        self._stopping = False

    def begin(self) -> list[Start]:
        """All are started at once: who comes first would be given all readers that wait at the door."""
        return [Start(number) for number in self._workers]

    def state(self, worker: int) -> State:
        """Where this worker is."""
        return self._workers[worker].state

    @property
    def complete(self) -> bool:
        """Whether all are ready."""
        return all(one.state is State.READY for one in self._workers.values())

    def born(self, worker: int, now_s: float) -> None:
        """Its process was started."""
        one = self._workers[worker]
        one.state, one.born_s = State.STARTING, now_s

    def ready(self, worker: int) -> None:
        """It serves. Said by a process that has ended since, it means nothing."""
        one = self._workers[worker]
        if one.state is State.STARTING:
            one.state, one.failed_starts = State.READY, 0
            self._was_complete = self._was_complete or self.complete

    def stop(self) -> None:
        """The group is asked to end: nobody is started any more."""
        self._stopping = True

    def ended(self, worker: int, code: int, now_s: float) -> Start | GiveUp | None:
        """Its process has ended, or could not be started at all (then the code is negative); None: nothing to do."""
        one = self._workers[worker]
        was_ready, one.state = one.state is State.READY, State.WAITING
        if self._stopping:
            return None
        failed = code > 0 and not was_ready
        if self._was_complete and self._serving:
            one.failed_starts = 0
            return Start(worker, self._pause_s(one, now_s, BACKOFF_FAILED_MAX_S if failed else BACKOFF_MAX_S), failed)
        if code in self._hopeless_codes:
            return GiveUp(code, f"worker {worker} cannot work with its settings, or with the broker as it is")
        if code > 0 and not self._was_complete:
            return GiveUp(code, f"worker {worker} cannot start")
        one.failed_starts += failed
        if one.failed_starts >= MAX_FAILED_STARTS:
            return GiveUp(code, f"worker {worker} ended {one.failed_starts} times before it was ready")
        return Start(worker, self._pause_s(one, now_s, BACKOFF_MAX_S), failed)

    @property
    def _serving(self) -> bool:
        return any(one.state is State.READY for one in self._workers.values())

    @staticmethod
    def _pause_s(one: _Worker, now_s: float, most_s: float) -> float:
        if now_s - one.born_s > BACKOFF_FORGIVEN_S:
            one.backoff_s = BACKOFF_FIRST_S
        pause_s = min(one.backoff_s, most_s)
        one.backoff_s = min(pause_s * 2, BACKOFF_FAILED_MAX_S)
        return pause_s
