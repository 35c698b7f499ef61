"""How a dead letter's job is replayed, by the post alone."""

import pytest

from inkwire_api.replay import Step, step
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import PostStatus, Snapshot
from tests.support.log import make_job


def a_post(status: PostStatus, run: int) -> Snapshot:
    return Snapshot(post="p", owner="ana", seq=9, run=run, status=status)


@pytest.mark.parametrize(
    ("status", "run", "job_run", "way"),
    [
        ("failed", 1, 1, Step.RETRY),
        ("cancelled", 2, 2, Step.RETRY),
        ("generating", 2, 1, Step.RETRY),  # answered with the later run
        ("published", 2, 1, Step.RETRY),
        ("queued", 1, 1, Step.CONTINUE),
        ("generating", 1, 1, Step.CONTINUE),
        ("failed", 1, 2, Step.FOLLOW),
        ("paused", 1, 2, Step.FOLLOW),
        ("generating", 1, 2, Step.FOLLOW),
    ],
)
def test_a_run_that_can_go_on(status: PostStatus, run: int, job_run: int, way: Step) -> None:
    """A run that ended badly is followed by the next, one that never ended goes on."""
    assert step(make_job("ana", post=None, run=job_run), a_post(status, run)) is way


@pytest.mark.parametrize(
    ("status", "run", "job_run", "word"),
    [
        ("published", 1, 1, "published"),
        ("paused", 1, 1, "paused"),
        ("published", 1, 2, "run 2"),
        ("failed", 1, 3, "run 3"),
        ("deleted", 1, 1, "deleted"),
        ("deleted", 2, 1, "deleted"),
    ],
)
def test_a_run_that_cannot(status: PostStatus, run: int, job_run: int, word: str) -> None:
    """It says why, and what to do with the letter."""
    with pytest.raises(InkwireError) as caught:
        step(make_job("ana", run=job_run), a_post(status, run))
    assert caught.value.code == "not_replayable"
    assert word in str(caught.value) and "Discard" in str(caught.value)


def test_a_post_that_nobody_knows() -> None:
    """Its first run can begin; a later one has nothing to follow on."""
    assert step(make_job("ana"), None) is Step.BEGIN
    with pytest.raises(InkwireError) as caught:
        step(make_job("ana", run=2), None)
    assert caught.value.code == "not_replayable"
