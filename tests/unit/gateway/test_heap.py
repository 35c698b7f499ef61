"""When the garbage collector looks at what."""

from inkwire_gateway.heap import FREEZE_COLLECTIONS, THAW_INTERVAL_S, HeapPolicy, Step


def test_nothing_is_due_while_little_is_new() -> None:
    """An idle process is left alone."""
    policy = HeapPolicy(40, 0.0)
    assert {policy.step(40 + n, float(n)) for n in range(FREEZE_COLLECTIONS)} == {Step.NOTHING}


def test_what_is_new_is_frozen_before_it_is_much() -> None:
    """Each time so much has come together, counted from the last time."""
    policy = HeapPolicy(40, 0.0)
    steps = [policy.step(count, 1.0) for count in range(40, 40 + 3 * FREEZE_COLLECTIONS + 1)]
    assert steps.count(Step.FREEZE) == 3 and Step.THAW not in steps
    assert steps[FREEZE_COLLECTIONS] is Step.FREEZE


def test_all_is_looked_at_once_in_a_long_while() -> None:
    """Also in a process where little is new, and not twice."""
    policy = HeapPolicy(0, 100.0)
    assert policy.step(1, 100.0 + THAW_INTERVAL_S - 1) is Step.NOTHING
    assert policy.step(1, 100.0 + THAW_INTERVAL_S) is Step.THAW
    assert policy.step(1, 101.0 + THAW_INTERVAL_S) is Step.NOTHING
    assert policy.step(FREEZE_COLLECTIONS, 102.0 + THAW_INTERVAL_S) is Step.NOTHING, "a thaw freezes as well"
    assert policy.step(1 + FREEZE_COLLECTIONS, 103.0 + THAW_INTERVAL_S) is Step.FREEZE
