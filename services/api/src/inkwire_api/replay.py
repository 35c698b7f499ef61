"""What to do when an operator wants a dead letter's job to be worked on again: decided by the post alone. Pure."""

from enum import StrEnum

from inkwire_contracts.commands import Job
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import RESTARTABLE, PostStatus, Snapshot

RETRYABLE: frozenset[PostStatus] = frozenset({"failed", "cancelled"})


class Step(StrEnum):
    """The way to a run that is worked on."""

    RETRY = "retry"
    """The run has ended, or a later one has begun: as a retry of the post after that run."""
    BEGIN = "begin"
    """Nothing is known of the post yet: the same job again, and its beginning."""
    FOLLOW = "follow"
    """The run has not begun, and can: the same job again, and its beginning under a claim."""
    CONTINUE = "continue"
    """The run is in the log and nobody works on it: the same job again."""


def step(job: Job, snapshot: Snapshot | None) -> Step:
    """How the job is replayed.

    Raises:
        InkwireError: ``not_replayable``, with a word on what to do instead.
    """
    if snapshot is None:
        if job.run == 1:
            return Step.BEGIN
        raise _refused("Nothing is known of the post that this run should follow on.")
    if snapshot.status == "deleted":
        raise _refused("The post was deleted.")
    if snapshot.run > job.run:
        return Step.RETRY
    if snapshot.run == job.run:
        return _same_run(snapshot)
    if snapshot.run + 1 == job.run and (snapshot.status in RESTARTABLE or not snapshot.is_final):
        return Step.FOLLOW
    raise _refused(f"The post is {snapshot.status} in run {snapshot.run}, and run {job.run} cannot follow on that.")


def _same_run(snapshot: Snapshot) -> Step:
    if not snapshot.is_final:
        return Step.CONTINUE
    if snapshot.status in RETRYABLE:
        return Step.RETRY
    raise _refused(f"The post is {snapshot.status}; there is nothing to do again.")


def _refused(why: str) -> InkwireError:
    return InkwireError("not_replayable", detail=f"{why} Discard the letter.")
