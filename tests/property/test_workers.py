"""A group of workers through whatever happens to them."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inkwire_gateway.workers import (
    BACKOFF_FAILED_MAX_S,
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    MAX_FAILED_STARTS,
    GiveUp,
    Group,
    Start,
    State,
)

WRONG_SETTINGS = 78
COUNT = 3
WORKERS = st.integers(1, COUNT)


class Workers(RuleBasedStateMachine):
    """Nothing that happens to one worker ends a group that serves; nothing is tried for ever where nobody does.

    Workers start, serve, fail and are killed at any time, under a parent that does as it is told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begin(complete=True)

    def begin(self, *, complete: bool) -> None:
        """A group begins; perhaps all become ready."""
        self.group = Group(COUNT, hopeless_codes={WRONG_SETTINGS})
        self.due = {start.worker for start in self.group.begin()}
        self.now_s = 0.0
        self.was_complete = self.given_up = False
        self.row = dict.fromkeys(range(1, COUNT + 1), 0)
        """Failed starts of each worker since it was ready, or ended while another one served."""
        for worker in range(1, COUNT + 1) if complete else ():
            self.start(worker, 0.0)
            self.ready(worker)

    @precondition(lambda self: self.given_up)
    @rule(complete=st.booleans())
    def begin_again(self, complete: bool) -> None:
        """Whoever runs the group starts it again."""
        self.begin(complete=complete)

    def others_serve(self, worker: int) -> bool:
        """Whether readers have somewhere to go."""
        return any(self.group.state(n) is State.READY for n in range(1, COUNT + 1) if n != worker)

    @precondition(lambda self: not self.given_up)
    @rule(worker=WORKERS, pause_s=st.floats(0, 100))
    def start(self, worker: int, pause_s: float) -> None:
        """The parent starts who is due."""
        self.now_s += pause_s
        if worker in self.due:
            self.due.discard(worker)
            self.group.born(worker, self.now_s)

    @precondition(lambda self: not self.given_up)
    @rule(worker=WORKERS)
    def ready(self, worker: int) -> None:
        """A worker says so; in the pipe its word may be older than its end."""
        self.group.ready(worker)
        if self.group.state(worker) is State.READY:
            self.row[worker] = 0
        self.was_complete = self.was_complete or self.group.complete

    @precondition(lambda self: not self.given_up)
    @rule(worker=WORKERS, code=st.sampled_from([-9, -1, 0, 1, 69, WRONG_SETTINGS]), life_s=st.floats(0, 100))
    def end(self, worker: int, code: int, life_s: float) -> None:
        """A process ends, and what is to be done is held against what may be done."""
        if worker in self.due:
            return
        self.now_s += life_s
        failed = code > 0 and self.group.state(worker) is State.STARTING
        serving = self.was_complete and self.others_serve(worker)
        self.row[worker] = 0 if serving else self.row[worker] + failed
        step = self.group.ended(worker, code, self.now_s)
        if isinstance(step, GiveUp):
            assert not serving, "readers of the others are not to pay for it"
            assert code > 0 and step.code == code
            assert not self.was_complete or code == WRONG_SETTINGS or self.row[worker] >= MAX_FAILED_STARTS
            self.given_up = True
            return
        assert isinstance(step, Start) and step.worker == worker and step.failed is failed
        assert BACKOFF_FIRST_S <= step.after_s <= (BACKOFF_FAILED_MAX_S if failed and serving else BACKOFF_MAX_S)
        assert serving or code <= 0 or self.was_complete, "half a group is none"
        assert self.row[worker] < MAX_FAILED_STARTS, "tried for ever where nobody serves"
        self.due.add(worker)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """Who neither starts nor serves is due to be started."""
        for worker in range(1, COUNT + 1):
            assert self.given_up or (self.group.state(worker) is State.WAITING) == (worker in self.due)


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(deadline=None, max_examples=100, stateful_step_count=50)
