"""Whether a post's task still comes forward."""

from inkwire_generator.pulse import Pulse


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
