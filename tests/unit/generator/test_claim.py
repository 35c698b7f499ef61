"""What to do with a job once its post is claimed and read."""

import pytest

from inkwire_contracts.fold import ACTIVE, FINAL, RESTARTABLE, Snapshot
from inkwire_generator.claim import Limits, Standing, Verdict, is_poison, verdict
from tests.support.lives import POST


def decided(status: str, run: int, job_run: int, *, cancel: bool = False, poison: bool = False) -> Verdict:
    """The verdict on a post in a state."""
    snapshot = Snapshot.model_validate({"post": POST, "run": run, "status": status, "seq": 9})
    return verdict(snapshot, job_run, cancel_wanted=cancel, poison=poison)


@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_an_open_run_is_written(status: str) -> None:
    """A run without its end goes on, whoever began it."""
    assert decided(status, 1, 1) is Verdict.WRITE


@pytest.mark.parametrize("status", sorted(FINAL))
def test_an_ended_run_is_acknowledged(status: str) -> None:
    """A run with its end needs nothing, not even the cancel that came too late."""
    assert decided(status, 2, 2, cancel=True, poison=True) is Verdict.DONE


def test_an_older_runs_job_is_acknowledged() -> None:
    """A job of a run that a later one has followed is a leftover."""
    assert decided("generating", 3, 2, cancel=True) is Verdict.DONE


@pytest.mark.parametrize("run", [1, 2, 9])
def test_nothing_follows_a_deletion(run: int) -> None:
    """A deleted post stays deleted, whatever job turns up."""
    assert decided("deleted", 1, run) is Verdict.DONE


def test_a_cancel_wish_goes_before_writing() -> None:
    """A run that somebody wants to stop is cancelled before a word is written, poison or not."""
    assert decided("queued", 1, 1, cancel=True, poison=True) is Verdict.CANCEL
    assert decided("generating", 1, 1, poison=True) is Verdict.POISON


@pytest.mark.parametrize("status", sorted(RESTARTABLE))
def test_the_next_run_is_requested_first(status: str) -> None:
    """A retry whose `requested` the api did not write is begun by the worker."""
    assert decided(status, 1, 2) is Verdict.REQUEST


def test_a_run_too_early_waits() -> None:
    """A job for run 2 waits while run 1 is being written."""
    assert decided("generating", 1, 2) is Verdict.WAIT


@pytest.mark.parametrize(("status", "run"), [("published", 2), ("failed", 3)])
def test_a_run_that_cannot_follow_is_set_aside(status: str, run: int) -> None:
    """Nothing follows a published run, and no run is skipped."""
    assert decided(status, 1, run) is Verdict.REJECT


def test_attempts_that_write_nothing_are_poison_soon() -> None:
    """Five claims in a row without a single chunk give a post up; one chunk begins the count anew."""
    limits = Limits(silent_attempts=5, unfinished_attempts=20)
    assert not is_poison(Standing(attempt=5, wrote=0, finished=0), limits)
    assert is_poison(Standing(attempt=6, wrote=0, finished=0), limits)
    assert not is_poison(Standing(attempt=6, wrote=3, finished=0), limits)
    assert is_poison(Standing(attempt=9, wrote=3, finished=0), limits)


def test_attempts_that_finish_nothing_are_poison_late() -> None:
    """Chunks alone do not keep a post alive for ever: a section must be finished some time."""
    limits = Limits(silent_attempts=5, unfinished_attempts=20)
    assert not is_poison(Standing(attempt=20, wrote=19, finished=0), limits)
    assert is_poison(Standing(attempt=21, wrote=20, finished=0), limits)
    assert not is_poison(Standing(attempt=21, wrote=20, finished=12), limits)


def test_released_attempts_are_no_sign_of_poison() -> None:
    """Twenty rolling restarts during one section do not give a post up; deaths among them count still."""
    limits = Limits(silent_attempts=5, unfinished_attempts=20)
    released = frozenset(range(1, 31))
    assert not is_poison(Standing(attempt=31, wrote=0, finished=0, released=released), limits)
    assert not is_poison(Standing(attempt=35, wrote=0, finished=0, released=released), limits)
    assert is_poison(Standing(attempt=36, wrote=0, finished=0, released=released), limits)
