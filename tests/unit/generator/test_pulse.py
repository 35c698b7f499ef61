"""Whether a post's task still comes forward, and when its heartbeats come."""

import pytest

from inkwire_contracts.subjects import BUCKETS
from inkwire_generator.pulse import Beats, Pulse


def test_a_task_that_makes_no_step_is_not_alive() -> None:
    """The lease is kept for the limit after each step and no longer."""
    pulse = Pulse(now_s=0.0, stall_limit_s=5.0)
    assert pulse.alive(4.9) and not pulse.alive(5.0)
    pulse.touch(4.0)
    assert pulse.alive(8.9) and not pulse.alive(9.0)


def test_an_announced_wait_counts() -> None:
    """A step that may take long gets its time and the limit on top, also when older text is stored meanwhile."""
    pulse = Pulse(0.0, 5.0)
    pulse.expect(0.0, within_s=60.0)
    assert pulse.alive(64.9) and not pulse.alive(65.0)
    pulse.touch(10.0)
    assert pulse.alive(64.9) and not pulse.alive(65.0)
    pulse.expect(70.0, within_s=0.0)
    assert not pulse.alive(75.0)


def test_jobs_of_one_consumer_beat_together() -> None:
    """Whenever they were taken: within an interval, then once in each; those of other consumers at other moments."""
    for taken_s in (100.0, 100.3, 100.999, 101.4):
        beats = Beats(1.0, 2, taken_s)
        assert taken_s < beats.next_s <= taken_s + 1.0
        for _ in range(3):
            assert beats.next_s % 1.0 == pytest.approx(2 / BUCKETS)
            before_s = beats.next_s
            beats.passed(before_s + 0.01)
            assert beats.next_s == pytest.approx(before_s + 1.0)
    assert len({Beats(1.0, bucket, 100.0).next_s for bucket in range(BUCKETS)}) == BUCKETS


def test_a_heartbeat_neither_comes_twice_nor_is_made_up_for() -> None:
    """A timer that was a little early brings no second one; after a pause of the process the next comes at its time."""
    beats = Beats(1.0, 0, 100.5)
    beats.passed(100.999)
    assert beats.next_s == pytest.approx(102.0)
    beats.passed(107.25)
    assert beats.next_s == pytest.approx(108.0)
