"""Totals of what posts have cost, over every adapter of PostStore: the other half of test_stores.py."""

from dataclasses import replace
from typing import Any

import pytest

from inkwire_contracts.events import Metrics, Usage
from inkwire_stores import PostStore, StoredPost
from inkwire_stores.usage import MAX_SAMPLES
from tests.contract.test_stores import backend, store, stored, with_status

__all__ = ["backend", "store"]  # the fixtures


def cost(
    number: int,
    *usages: tuple[Usage, bool],
    model: str = "m-1",
    first_ms: int | None = None,
    run_ms: int = 0,
    status: str = "published",
    **where: Any,
) -> StoredPost:
    """A stored post that paid these usages (wasted or not)."""
    post = with_status(stored(number, **where), status)
    snapshot = post.snapshot.model_copy(deep=True)
    for usage, wasted in usages:
        snapshot.spent.pay(usage, wasted=wasted)
    spent = snapshot.spent
    snapshot.metrics = Metrics(
        model=model,
        words=100,
        time_to_first_token_ms=first_ms,
        duration_ms=run_ms,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        cost_usd=spent.cost_usd,
    )
    return replace(post, snapshot=snapshot)


def paid(tokens_in: int, tokens_out: int, cost_usd: float | None, source: Any = "reported") -> Usage:
    return Usage(tokens_in=tokens_in, tokens_out=tokens_out, cost_usd=cost_usd, source=source)


async def put(store: PostStore, *posts: StoredPost) -> None:
    for post in posts:
        assert await store.put(post, expected_seq=0)


async def test_an_empty_store_has_spent_nothing(store: PostStore) -> None:
    """No post, no token, no ratio, no time; nothing paid is a cost of 0."""
    found = await store.usage("ana")
    assert (found.posts, found.by_status, found.tokens_in, found.words) == (0, {}, 0, 0)
    assert (found.waste_ratio, found.cost_usd, found.posts_without_price, found.by_model) == (None, 0.0, 0, [])
    assert (found.sampled_posts, found.duration_ms.p50, found.time_to_first_token_ms.p95) == (0, None, None)


async def test_totals_of_an_owner(store: PostStore) -> None:
    """Tokens, waste, estimates, words and money are those of all the owner's posts, whatever became of them."""
    await put(
        store,
        cost(1, (paid(100, 50, 0.5), False), (paid(10, 40, 0.25, "estimated"), True)),
        cost(2, (paid(100, 100, 1.0), False), status="cancelled"),
        cost(3, status="queued", model=""),
        cost(4, (paid(0, 100, 2.0), True), status="deleted"),
        cost(5, (paid(1_000, 1_000, 9.0), True), owner="ben"),
    )
    found = await store.usage("ana")
    assert (found.posts, found.words) == (4, 400)
    assert found.by_status == {"cancelled": 1, "deleted": 1, "published": 1, "queued": 1}
    assert (found.tokens_in, found.tokens_out, found.tokens_wasted, found.tokens_estimated) == (210, 290, 150, 50)
    assert (found.waste_ratio, found.cost_usd, found.posts_without_price) == (0.3, 3.75, 0)
    everybody = await store.usage(None)
    assert (everybody.posts, everybody.tokens_wasted, everybody.cost_usd) == (5, 2_150, 12.75)


async def test_posts_without_a_price_are_counted_and_never_free(store: PostStore) -> None:
    """A sum leaves them out and says how many; where no price is known at all there is no sum."""
    unknown = cost(1, (paid(10, 10, None), False), model="nobody-knows")
    await put(store, unknown)
    alone = await store.usage("ana")
    assert (alone.cost_usd, alone.posts_without_price, alone.tokens_in) == (None, 1, 10)
    await put(store, cost(2, status="queued", model=""))
    assert (await store.usage("ana")).cost_usd is None, "a post that cost nothing yet is no price"
    await put(store, cost(3, (paid(1, 1, 0.125), False)))
    both = await store.usage("ana")
    assert (both.cost_usd, both.posts_without_price) == (0.125, 1)


async def test_by_model(store: PostStore) -> None:
    """Each model that answered, the one with most tokens first, with a cost only where its price is known."""
    await put(
        store,
        cost(1, (paid(10, 10, 0.5), False), model="org/small model"),
        cost(2, (paid(10, 30, 0.5), True), model="org/small model", status="failed"),
        cost(3, (paid(100, 900, None), False), model="big"),
        cost(4, status="queued", model=""),
    )
    found = [line.model_dump() for line in (await store.usage("ana")).by_model]
    big = {"model": "big", "posts": 1, "tokens_in": 100, "tokens_out": 900, "tokens_wasted": 0}
    small = {"model": "org/small model", "posts": 2, "tokens_in": 20, "tokens_out": 40, "tokens_wasted": 40}
    assert found == [
        {**big, "cost_usd": None, "posts_without_price": 1},
        {**small, "cost_usd": 1.0, "posts_without_price": 0},
    ]


async def test_a_period(store: PostStore) -> None:
    """From its first moment, without its last, by the time a post was created; open at either side."""
    times = ["2026-11-21T09:00:00.000Z", "2026-11-21T10:00:00.000Z", "2026-11-21T11:00:00.000Z"]
    for number, created_at in enumerate(times):
        await put(store, cost(number, (paid(10**number, 0, 0.0), False), created_at=created_at))

    async def tokens(owner: str | None, since: str | None, until: str | None) -> int:
        return (await store.usage(owner, since=since, until=until)).tokens_in

    for owner in ("ana", None):
        assert await tokens(owner, times[0], times[2]) == 11
        assert await tokens(owner, times[1], None) == 110
        assert await tokens(owner, None, times[1]) == 1
        assert await tokens(owner, times[1], times[1]) == 0


async def test_percentiles_of_published_posts(store: PostStore) -> None:
    """Nearest rank over published posts; a time that was not measured is left out, a failed post too."""
    for number in range(1, 21):
        first_ms = number * 10 if number % 2 else None
        await put(store, cost(number, first_ms=first_ms, run_ms=number * 100))
    await put(store, cost(30, first_ms=1, run_ms=1, status="failed"))
    found = await store.usage("ana")
    assert found.sampled_posts == 20
    assert (found.duration_ms.p50, found.duration_ms.p95) == (1_000, 1_900)
    assert (found.time_to_first_token_ms.p50, found.time_to_first_token_ms.p95) == (90, 190)


async def test_a_post_that_goes_on_is_counted_as_it_is_now(store: PostStore) -> None:
    """A later version of a post takes the place of the earlier one in all sums."""
    before = cost(1, (paid(10, 10, 0.5), False), status="generating")
    await put(store, before)
    after = cost(1, (paid(10, 10, 0.5), True), (paid(30, 30, 0.5), False))
    after.snapshot.seq = before.snapshot.seq + 1
    assert await store.put(after, expected_seq=before.snapshot.seq)
    found = await store.usage("ana")
    assert (found.posts, found.by_status) == (1, {"published": 1})
    assert (found.tokens_in, found.tokens_wasted, found.cost_usd) == (40, 20, 1.0)


@pytest.mark.slow
async def test_percentiles_are_those_of_the_newest_posts(store: PostStore) -> None:
    """Beyond the bound the oldest posts are left out of the times, and of nothing else."""
    for number in range(MAX_SAMPLES + 10):
        second = f"2026-11-21T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
        await put(store, cost(number, run_ms=1_000_000 if number < 10 else number, created_at=second))
    found = await store.usage("ana")
    assert (found.posts, found.sampled_posts) == (MAX_SAMPLES + 10, MAX_SAMPLES)
    assert found.duration_ms.p95 == 10 + 950 - 1
