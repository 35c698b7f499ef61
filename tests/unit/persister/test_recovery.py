"""What is lost, and what makes a worker go on with it."""

import pytest

from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.events import Turn
from inkwire_contracts.fold import Snapshot, fold_all
from inkwire_persister.recovery import has_job, job_of, msg_id, open_run
from tests.support.post_logs import PostLog, post_id, whole_post


def unfinished() -> PostLog:
    """A post in the middle of its first run."""
    log = PostLog()
    log.request("A title")
    log.start()
    log.plan()
    return log


def folded(log: PostLog) -> Snapshot:
    snapshot = Snapshot(post=log.post)
    fold_all(snapshot, log.key_events)
    return snapshot


def test_the_stored_run_is_open_where_the_log_has_nothing() -> None:
    """The store alone knows of the promise."""
    assert open_run(folded(unfinished()), None) == 1


def test_the_log_names_the_run_where_it_has_the_post() -> None:
    """A later run that the store has not heard of is the one that is open."""
    log = unfinished()
    newest = log.events[-1].model_copy(update={"run": 3})
    assert open_run(folded(log), newest) == 3


@pytest.mark.parametrize("end", ["published", "failed", "cancelled"])
def test_a_run_that_has_ended_anywhere_is_not_open(end: str) -> None:
    """In the store, or in the log while the store is behind."""
    log = whole_post(end=end)  # type: ignore[arg-type]
    assert open_run(folded(log), None) is None
    assert open_run(folded(unfinished()), log.events[-1]) is None
    log.delete()
    assert open_run(folded(unfinished()), log.events[-1]) is None


@pytest.mark.parametrize(("runs", "answer"), [((), False), ((1,), False), ((2,), True), ((3,), False), ((2, 3), True)])
def test_a_job_of_the_very_run_counts(runs: tuple[int, ...], answer: bool) -> None:
    """A leftover of an earlier run makes nobody work on this one, and a later one waits for its end."""
    snapshot = folded(unfinished())
    assert has_job(snapshot, 2, {("other", 2), *((snapshot.post, run) for run in runs)}) is answer


def test_the_job_is_what_was_accepted() -> None:
    """Everything of the request, the run that is open, and the deliveries counted so far."""
    log = unfinished()
    job = job_of(folded(log), 2, 7)
    assert job.request == log.events[0].data  # type: ignore[attr-defined]
    assert (job.post, job.owner, job.run, job.delivered) == (log.post, log.owner, 2, 7)


def test_a_replys_job_knows_its_conversation_and_documents() -> None:
    """What was lost with the job and stands in the post comes back with it."""
    snapshot = folded(unfinished())
    snapshot.turn = Turn(conversation=post_id(1), message=post_id(2), reply=post_id(3))
    snapshot.documents = [DocumentRef(document=post_id(4), owner="ana", number=3, name="Policy.pdf")]
    request = job_of(snapshot, 1, 0).request
    assert (request.turn, request.documents) == (snapshot.turn, snapshot.documents)


def test_everybody_names_the_same_recovery_alike() -> None:
    """Two persisters after one loss publish one job; after the next loss it is another."""
    assert msg_id("p", 1, "a b") == msg_id("p", 1, "a b")
    assert len({msg_id("p", 1, "a b"), msg_id("p", 2, "a b"), msg_id("p", 1, "a c"), "p.1"}) == 4
