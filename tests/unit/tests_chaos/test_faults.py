"""What the kill matrix draws from its seed."""

from collections import Counter

import pytest

from tests.chaos.broken import BREAKS, BROKEN_IN
from tests.chaos.faults import (
    AIMS,
    KILLS,
    NATS,
    OTHERS,
    THREE_NODES_KILLS,
    THREE_NODES_OTHERS,
    draw,
)

LEASE_S = 1.5


def test_a_seed_draws_the_same_faults_again() -> None:
    """The same seed gives the same plan, another seed another."""
    first, again, other = (draw(seed, 50, gap_s=0.7, lease_s=LEASE_S) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_plan_has_as_many_kills_as_asked_for_and_hits_everything() -> None:
    """SIGKILLs are counted apart from what else happens, and in a long plan each target is hit in each way."""
    plan = draw(1, 500, gap_s=0.7, lease_s=LEASE_S)
    hit = Counter((fault.kind, fault.target) for fault in plan)
    assert sum(count for (kind, _), count in hit.items() if kind == "kill") == 500
    assert set(hit) == {*KILLS, *OTHERS}


def test_three_nodes_are_hit_in_place_of_one() -> None:
    """With three servers each of them, their leader and two at once are hit, and the one of before is not."""
    plan = draw(1, 1_000, gap_s=0.7, lease_s=LEASE_S, nodes=3)
    hit = {(fault.kind, fault.target) for fault in plan}
    assert hit == {*KILLS, *OTHERS, *THREE_NODES_KILLS, *THREE_NODES_OTHERS} - {("kill", NATS)}


def test_a_frozen_worker_sleeps_through_its_lease() -> None:
    """A freeze that ends before the lease does would show nothing."""
    plan = draw(3, 200, gap_s=0.7, lease_s=LEASE_S)
    assert all(fault.hold_s > LEASE_S for fault in plan if str(fault).startswith("freeze generator"))
    assert all(fault.gap_s > 0 for fault in plan)


@pytest.mark.parametrize("rule", sorted(AIMS))
def test_an_aimed_plan_has_the_faults_that_the_rule_is_there_for(rule: str) -> None:
    """Each rule that can be broken has its own faults beside the kills; a take-over has none."""
    plan = draw(1, 20, gap_s=0.7, lease_s=LEASE_S, aim=rule)
    assert {(fault.kind, fault.target) for fault in plan if fault.kind != "kill"} == set(AIMS[rule].others)


def test_every_rule_that_can_be_broken_is_aimed_at() -> None:
    """Each rule has its service and its faults."""
    assert set(BREAKS) == set(BROKEN_IN) <= set(AIMS)
