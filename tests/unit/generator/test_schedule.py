"""Which consumer to ask next."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from inkwire_contracts.subjects import BUCKETS, PRIORITIES
from inkwire_generator.schedule import CREDIT, Lane, TakeOrder


def take(order: TakeOrder, work: Counter[Lane], count: int) -> list[Lane]:
    """Take jobs as the queue does: ask, and say so when a lane gave one."""
    taken: list[Lane] = []
    while len(taken) < count and (lane := order.next()) is not None:
        if work[lane]:
            work[lane] -= 1
            order.took(lane)
            taken.append(lane)
    return taken


def test_priorities_share_by_credit() -> None:
    """While all have work, eight urgent, four high, two normal and one low job are taken in each round."""
    order = TakeOrder(["general"])
    order.ring_all()
    work = Counter({lane: 100 for lane in order.lanes})
    taken = Counter(lane.priority for lane in take(order, work, 300))
    assert taken == {priority: 20 * CREDIT[priority] for priority in PRIORITIES}


def test_the_first_low_job_waits_one_round() -> None:
    """Even under a flood of urgent work a low job comes within fifteen."""
    order = TakeOrder(["general"])
    order.ring_all()
    work = Counter({lane: 100 for lane in order.lanes})
    assert take(order, work, 15)[-1].priority == "low"


def test_a_lone_priority_is_not_held_back() -> None:
    """Low work alone is taken without waiting for credit."""
    order = TakeOrder(["general"])
    order.ring_all()
    work = Counter({Lane("general", "low", 3): 50})
    assert len(take(order, work, 100)) == 50


def test_buckets_take_turns() -> None:
    """One owner's hundred jobs do not stand before another bucket's single one."""
    order = TakeOrder(["general"])
    order.ring_all()
    work = Counter({Lane("general", "normal", 0): 100, Lane("general", "normal", 5): 1})
    assert Lane("general", "normal", 5) in take(order, work, 2)


def test_pools_take_turns() -> None:
    """A worker of two pools serves both."""
    order = TakeOrder(["a", "b"])
    order.ring_all()
    work = Counter({lane: 10 for lane in order.lanes if lane.priority == "normal"})
    assert {lane.pool for lane in take(order, work, 2 * BUCKETS)} == {"a", "b"}


def test_only_the_rung_lane_is_asked() -> None:
    """A bell names its consumer, and no other is asked."""
    order = TakeOrder(["general"])
    lane = Lane("general", "high", 2)
    order.ring(lane)
    order.ring(lane)
    assert [order.next(), order.next()] == [lane, None]


def test_a_ring_while_the_lane_is_asked_is_kept() -> None:
    """A bell during the question makes the lane be asked again, so no ring is lost."""
    order = TakeOrder(["general"])
    lane = Lane("general", "high", 2)
    order.ring(lane)
    assert order.next() == lane
    order.ring(lane)
    assert order.next() == lane


def test_foreign_lanes_are_ignored() -> None:
    """A bell of another pool wakes nothing."""
    order = TakeOrder(["general"])
    order.ring(Lane("other", "high", 2))
    assert order.next() is None


@given(st.dictionaries(st.integers(0, 31), st.integers(1, 5), max_size=10))
def test_every_job_is_taken_once(jobs: dict[int, int]) -> None:
    """Whatever lies where, taking until nothing is left takes all of it."""
    order = TakeOrder(["general"])
    order.ring_all()
    work = Counter({order.lanes[index]: count for index, count in jobs.items()})
    total = sum(jobs.values())
    assert len(take(order, work, 10_000)) == total
