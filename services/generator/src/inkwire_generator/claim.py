"""What to do with a job once its post is claimed and read: a pure verdict."""

from dataclasses import dataclass
from enum import StrEnum

from inkwire_contracts.fold import RESTARTABLE, Snapshot


class Verdict(StrEnum):
    """What becomes of a job."""

    WRITE = "write"
    """Go on with the run."""
    REQUEST = "request"
    """Write the run's ``requested`` first, then go on."""
    CANCEL = "cancel"
    """Write ``cancelled``."""
    POISON = "poison"
    """Write ``failed``: too many workers tried in vain."""
    DONE = "done"
    """The run has ended, or the post is gone: acknowledge, write nothing."""
    WAIT = "wait"
    """The run before is still being written: give the job back for a while."""
    REJECT = "reject"
    """No run can follow here: set the job aside where an operator sees it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """After how many attempts in a row a post is given up."""

    silent_attempts: int = 5
    """Attempts that wrote no text at all: they die at once."""
    unfinished_attempts: int = 20
    """Attempts that wrote text but finished no section: they die in the same place."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Attempt numbers: ours, the newest ones that wrote a chunk and that finished something, and the released ones."""

    attempt: int
    wrote: int
    finished: int
    released: frozenset[int] = frozenset()
    """Given back on purpose by a worker that stopped, or not known any more: they say nothing about the post."""

    def in_vain_since(self, attempt: int) -> int:
        """How many attempts between that one and ours ended by themselves."""
        return sum(number not in self.released for number in range(attempt + 1, self.attempt))


def is_poison(standing: Standing, limits: Limits) -> bool:
    """Whether the attempts before ours went on for too long without coming forward.

    Claims count, not deliveries: a delivery that never got as far as a claim says nothing about the post.
    """
    silent = standing.in_vain_since(max(standing.wrote, standing.finished))
    unfinished = standing.in_vain_since(standing.finished)
    return silent >= limits.silent_attempts or unfinished >= limits.unfinished_attempts


def verdict(snapshot: Snapshot, run: int, *, cancel_wanted: bool, poison: bool) -> Verdict:
    """Decide by the log alone; the job says only which run it stands for."""
    if snapshot.status == "deleted" or snapshot.run > run:
        return Verdict.DONE
    if snapshot.run < run:
        return _new_run(snapshot, run)
    if snapshot.is_final:
        return Verdict.DONE
    if cancel_wanted:
        return Verdict.CANCEL
    return Verdict.POISON if poison else Verdict.WRITE


def _new_run(snapshot: Snapshot, run: int) -> Verdict:
    if snapshot.run + 1 == run and snapshot.status in RESTARTABLE:
        return Verdict.REQUEST
    return Verdict.REJECT if snapshot.is_final else Verdict.WAIT
