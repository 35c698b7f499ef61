"""Places that a worker has taken ahead."""

from inkwire_generator.budget import Budget, Place, refuse
from inkwire_generator.slices import KEPT_S, MAX_AHEAD, Slice


def place(start_s: float = 0.0, tokens: float = 100.0) -> Place:
    """A place without holds before it."""
    return Place(start_s, tokens, 0.0)


def test_a_place_is_used_once_and_only_where_it_fits() -> None:
    """A call larger than what was taken, or before its time, or while all are held, finds none."""
    kept = Slice()
    kept.put([place(start_s=1.0)])
    assert kept.take(50, Budget(), 0.0) is None
    assert kept.take(500, Budget(), 2.0) is None
    assert kept.take(50, refuse(Budget(), 30.0, 0.0, 1.0), 2.0) is None
    assert kept.take(50, Budget(), 2.0) == place(start_s=1.0)
    assert kept.take(50, Budget(), 2.0) is None


def test_as_many_are_wanted_ahead_as_were_asked_for() -> None:
    """A worker that asks seldom takes nothing ahead; one that asks often takes a second's worth, up to a bound."""
    kept = Slice()
    kept.take(1, Budget(), 0.0)
    assert kept.wanted_ahead(0.0) == 0
    for _ in range(9):
        kept.take(1, Budget(), 0.5)
    assert kept.wanted_ahead(0.5) == 9
    kept.put([place()] * 4)
    assert kept.wanted_ahead(0.5) == 5
    assert kept.wanted_ahead(10.0) == 0
    for _ in range(10 * MAX_AHEAD):
        kept.take(1_000, Budget(), 20.0)
    assert kept.wanted_ahead(20.0) <= MAX_AHEAD


def test_what_nobody_wants_goes_back() -> None:
    """A place that lies about is handed over for return, once."""
    kept = Slice()
    kept.put([place(start_s=0.0), place(start_s=5.0)])
    assert kept.unwanted(KEPT_S + 1.0) == [place(start_s=0.0)]
    assert kept.unwanted(KEPT_S + 1.0) == []
    assert kept.unwanted(float("inf")) == [place(start_s=5.0)]
