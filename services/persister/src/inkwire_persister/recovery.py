"""Which unfinished posts nobody works on any more, and what makes a worker go on with them: pure."""

from collections.abc import Set

from inkwire_contracts.commands import Job
from inkwire_contracts.events import ENDS, Event, RequestedData
from inkwire_contracts.fold import Snapshot, digest


def open_run(snapshot: Snapshot, newest: Event | None) -> int | None:
    """The run that still has to end; None if there is none, or only the store has not heard of its end yet.

    Args:
        snapshot: what the store has.
        newest: the newest event in the log; None if the log has nothing of the post.
    """
    if snapshot.is_final:
        return None
    if newest is None:
        return snapshot.run
    return None if newest.type in ENDS else newest.run


Waiting = Set[tuple[str, int]]
"""Posts and runs that a job stands for."""


def has_job(snapshot: Snapshot, run: int, waiting: Waiting) -> bool:
    """Whether a job for this very run is there: one of a later run waits for the end of this one."""
    return (snapshot.post, run) in waiting


def job_of(snapshot: Snapshot, run: int, deliveries: int) -> Job:
    """The job of a run again, as it was accepted.

    Args:
        snapshot: a post of which at least ``requested`` is known.
        run: which run.
        deliveries: those that the run's last claim counted; the new job's go on from there.
    """
    request = RequestedData.model_validate({name: getattr(snapshot, name) for name in RequestedData.model_fields})
    return Job(
        post=snapshot.post,
        owner=snapshot.owner,
        run=run,
        time=snapshot.updated_at,
        request=request,
        delivered=deliveries,
    )


def msg_id(post: str, run: int, identity: str) -> str:
    """The same for everybody who takes up this run after the same loss.

    Not the id of the first job: where the queue was not lost, it still knows that one and would drop this.
    """
    return f"{post}.{run}.{digest(identity)[:16]}"
