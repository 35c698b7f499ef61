"""The events that the api itself writes: decided by the folded post alone."""

import pytest

from inkwire_api.run_events import cancelled, deleted, next_job, paid_metrics, requested
from inkwire_contracts.events import Usage
from inkwire_contracts.fold import Outcome, PostStatus, Section, Snapshot, document, fold
from inkwire_contracts.ids import idempotent_post_id

POST = idempotent_post_id("ana", "post")
TIME = "2026-01-02T03:04:05.678Z"


def queued(**fields: object) -> Snapshot:
    defaults = {"post": POST, "owner": "ana", "run": 2, "attempt": 3, "seq": 9, "key_seq": 7, "status": "queued"}
    return Snapshot.model_validate({**defaults, **fields})


def test_the_end_of_an_unclaimed_run_follows_the_log() -> None:
    """It is the next event in both counts, of the attempt that claimed, and it folds."""
    snapshot = queued(sections=[Section(section="s1", text="kept text", length=9, status="done")])
    event = cancelled(snapshot, 2, 4, TIME)
    assert event is not None and (event.seq, event.prev, event.run, event.attempt) == (10, 7, 2, 4)
    assert fold(snapshot, event) is Outcome.APPLIED
    assert (snapshot.status, document(snapshot)) == ("cancelled", "kept text")


def test_open_text_is_kept_where_there_is_some() -> None:
    """The event names the open section and its text, so that key events alone fold to the same."""
    section = Section(section="s1", text="half", length=4, status="writing")
    event = cancelled(queued(status="generating", sections=[section], open_section="s1"), 2, 4, TIME)
    assert event is not None and (event.data.section, event.data.text) == ("s1", "half")


@pytest.mark.parametrize("status", ["published", "failed", "cancelled", "paused", "deleted"])
def test_a_run_that_has_ended_gets_no_second_end(status: PostStatus) -> None:
    """Each run has exactly one terminal event."""
    assert cancelled(queued(status=status), 2, 4, TIME) is None


def test_another_run_is_left_alone() -> None:
    """The wish was for run 2; run 3 is somebody else's wish."""
    assert cancelled(queued(run=3), 2, 4, TIME) is None


def test_the_cost_is_that_of_the_run_alone() -> None:
    """A run that nobody began has cost nothing, however much stands there that earlier runs paid for."""
    usage = Usage(tokens_in=10, tokens_out=5, source="reported", cost_usd=0.5)
    kept = Section(section="s1", text="two words", model="m", usage=usage, status="done")
    snapshot = queued(sections=[kept])
    metrics = paid_metrics(snapshot)
    assert (metrics.tokens_in, metrics.tokens_out, metrics.cost_usd, metrics.words, metrics.model) == (0, 0, 0, 2, "m")
    assert metrics.usage_source == "estimated"
    snapshot.run_spent.pay(usage, wasted=True)
    metrics = paid_metrics(snapshot)
    assert (metrics.tokens_in, metrics.tokens_wasted, metrics.cost_usd) == (10, 15, 0.5)
    assert metrics.usage_source == "reported"


def test_the_next_run_is_the_same_request_again() -> None:
    """The job repeats title, options, priority, pool and fingerprint, and its beginning folds."""
    snapshot = queued(
        status="failed", title="Ten tips", recipe="blog", options={"tone": "dry"}, priority="high", fingerprint="f" * 64
    )
    job = next_job(snapshot, TIME, None)
    assert (job.run, job.priority, job.request.options, job.request.fingerprint) == (
        3,
        "high",
        {"tone": "dry"},
        "f" * 64,
    )
    event = requested(snapshot, job, 5)
    assert event is not None and (event.seq, event.prev, event.attempt) == (10, 7, 5)
    assert fold(snapshot, event) is Outcome.APPLIED
    assert (snapshot.status, snapshot.run, snapshot.title) == ("queued", 3, "Ten tips")
    assert requested(snapshot, job, 6) is None, "it has begun"


@pytest.mark.parametrize("status", ["queued", "generating", "published", "deleted"])
def test_no_run_follows_there(status: PostStatus) -> None:
    """Only failed, cancelled and paused posts have a next run."""
    assert requested(queued(status=status), next_job(queued(), TIME, None), 5) is None


@pytest.mark.parametrize("status", ["published", "failed", "cancelled", "paused"])
def test_a_post_that_has_ended_can_be_deleted(status: PostStatus) -> None:
    """The event follows the log and leaves nothing to read."""
    snapshot = queued(status=status, title="Ten tips", sections=[Section(section="s1", text="text", length=4)])
    event = deleted(snapshot, 3, 4, TIME)
    assert event is not None and (event.seq, event.prev, event.run, event.attempt) == (10, 7, 2, 4)
    assert fold(snapshot, event) is Outcome.APPLIED
    assert (snapshot.status, snapshot.title, document(snapshot)) == ("deleted", "", "")


def test_what_may_not_be_deleted_now() -> None:
    """A run that goes on, a post that is deleted, and one whose next run began after the claim's number was chosen."""
    assert deleted(queued(status="generating"), 3, 4, TIME) is None
    assert deleted(queued(status="deleted"), 3, 4, TIME) is None
    assert deleted(queued(status="failed", run=3), 3, 4, TIME) is None
