"""One provider key's budget, shared by many workers through a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import combinations

import pytest

from inkwire_chassis.clock import SystemClock, new_id
from inkwire_chassis.provisioning import provision
from inkwire_contracts.topology import BUDGETS
from inkwire_generator.adapters import budgets as budgets_module
from inkwire_generator.adapters.budgets import MAX_ROUNDS, SharedBudget
from inkwire_generator.adapters.gate import Gate
from inkwire_generator.budget import BURST_S, Budget, RateLimits, observe, reserve
from inkwire_generator.rate_headers import Reading
from tests.support.clock import ManualClock
from tests.support.log import SMALL, open_log
from tests.support.wait import eventually

WORKERS = 20
CALLS = 10
TEN_A_SECOND = RateLimits(requests_per_minute=600)


@asynccontextmanager
async def budgets(url: str, key: str, count: int) -> AsyncIterator[list[SharedBudget]]:
    """As many workers' views of one budget, each over a connection of its own."""
    async with AsyncExitStack() as stack:
        views = []
        for _ in range(count):
            log = await stack.enter_async_context(open_log(url))
            views.append(SharedBudget(key, SystemClock(), log.jetstream))
            await views[-1].start()
        yield views


async def take(budget: SharedBudget, limits: RateLimits = TEN_A_SECOND) -> float:
    """One place, without any slice; when it begins."""
    found: list[float] = []

    def step(before: Budget, now_s: float) -> Budget:
        after, place = reserve(before, 1, now_s, limits)
        found[:] = [place.start_s]
        return after

    await budget.change(step)
    return found[0]


async def test_twenty_workers_share_one_budget_in_few_rounds(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No place is given twice, however many ask in the same moment, and on average no change takes the rounds it may.

    Here each may take more: on a busy machine one or the other would go on alone, and give a place a second time.
    """
    monkeypatch.setattr(budgets_module, "MAX_ROUNDS", WORKERS * CALLS)

    async def ask(budget: SharedBudget) -> list[float]:
        return [await take(budget) for _ in range(CALLS)]

    async with budgets(nats_url, new_id(), WORKERS) as views:
        given = sorted(start_s for starts in await asyncio.gather(*map(ask, views)) for start_s in starts)
        changes, rounds = sum(view.changes for view in views), sum(view.rounds for view in views)
    print(f"{changes} changes took {rounds} rounds")
    assert len(given) == WORKERS * CALLS == changes
    assert rounds <= changes * MAX_ROUNDS
    # Between any two places there are as many as the rate allows in their time, and the burst: not one more.
    most = max(n - m - (later - start) * 10 for (m, start), (n, later) in combinations(enumerate(given), 2))
    assert most < BURST_S * 10 - 0.5


async def test_callers_of_one_moment_are_served_by_one_change(nats_url: str) -> None:
    """A worker whose posts ask together asks the broker once, and takes some places ahead for the next ones."""

    async def told(_wait_s: float) -> None:
        return None

    async with budgets(nats_url, new_id(), 1) as (budget,):
        gate = Gate(budget, RateLimits(requests_per_minute=60_000), asyncio.sleep)
        for _ in range(3):
            await asyncio.gather(*(gate.admit(100, told) for _ in range(10)))
        await gate.close()
    assert budget.changes <= 7


async def test_what_is_given_back_is_free_again(nats_url: str) -> None:
    """A worker that stops leaves the places of those who waited to others, and the tokens that were not used."""
    limits = RateLimits(requests_per_minute=60, tokens_per_minute=60_000)

    async def told(_wait_s: float) -> None:
        return None

    async with budgets(nats_url, new_id(), 2) as (one, other):
        gate = Gate(one, limits, asyncio.sleep)
        for _ in range(int(BURST_S)):
            gate.settle(await gate.admit(500, told), 100)
        waiting = [asyncio.create_task(gate.admit(500, told)) for _ in range(20)]

        async def all_placed() -> bool:
            return one.newest.requests.full_at_s - one.now_s() > 22

        await eventually(all_placed, what="all wait for their places")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await gate.close()

        async def heard() -> bool:
            return other.newest == one.newest

        await eventually(heard, what="the other worker heard of it")
        assert other.newest.requests.full_at_s - other.now_s() <= BURST_S + 0.01
        assert reserve(other.newest, 500, other.now_s(), limits)[1].start_s - other.now_s() <= 1.01


async def test_workers_clocks_do_not_matter(nats_url: str) -> None:
    """A worker whose machine is an hour wrong counts in the broker's time."""
    wrong = ManualClock(SystemClock().now() + timedelta(hours=1))
    async with open_log(nats_url) as log, budgets(nats_url, new_id(), 1) as (right,):
        late = SharedBudget(new_id(), wrong, log.jetstream)
        await late.start()
        await take(late)
        await take(right)
        assert abs(late.now_s() - right.now_s()) < 30


async def test_a_broker_that_forgets_is_told_what_workers_know(nats_url: str) -> None:
    """A bucket that was lost gets what the first worker to change it knew, and the others follow."""
    async with budgets(nats_url, new_id(), 2) as (one, other):
        await one.change(lambda budget, now_s: observe(budget, Reading(60, 10, 50.0), None, now_s))
        await take(one)
        async with open_log(nats_url) as log:
            await log.jetstream.api(f"STREAM.DELETE.{BUDGETS}")
            await take(one)  # alone
            await provision(log.jetstream, SMALL)

        async def shared_again() -> bool:
            await take(one)
            return other.newest.requests.full_at_s == one.newest.requests.full_at_s

        await eventually(shared_again, what="both know the same", timeout_s=30.0, interval_s=0.5)
        assert (other.newest.requests.limit, other.newest.requests.period_s) == (60, 60)
