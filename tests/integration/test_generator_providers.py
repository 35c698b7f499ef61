"""Providers that are down, refuse or slow down, as all posts of one worker meet them."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from inkwire_chassis.event_log import EventLog, StoredEvent
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.events import Progressed, Retrying
from inkwire_contracts.topology import BUDGETS
from inkwire_generator.budget import Budget, budget_key
from inkwire_generator.settings import GeneratorSettings
from tests.support.generator import (
    assert_exact,
    commit_cancel,
    commit_job,
    generator_settings,
    read_folded,
    running_generator,
    until,
    until_final,
)
from tests.support.log import QUICK_LEASE, make_job, open_log
from tests.support.sim import SimServer
from tests.support.wait import eventually

SECOND_MODEL = "gpt-4.1-mini"
SECOND_KEY = "sk-the-second"
WAITING = "waiting_for_provider"


def notices(stored: list[StoredEvent]) -> list[Retrying]:
    """What readers were told of retries."""
    return [one.event for one in stored if isinstance(one.event, Retrying)]


async def assert_published(log: EventLog, job: Job) -> list[Retrying]:
    """The post ends exact; its notices."""
    await until_final(log, job, timeout_s=60.0)
    snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    return notices(stored)


def settings_key(settings: GeneratorSettings) -> str:
    """Name of the first provider's budget."""
    key = settings.openai_api_key.get_secret_value()
    return budget_key(settings.openai_base_url, key, settings.openai_model)


def fallbacks(second: SimServer, folder: Path) -> str:
    """The setting that names a second provider, whose key lies in a file."""
    key = folder / "second.key"
    key.write_text(SECOND_KEY)
    return json.dumps([{"base_url": second.base_url, "model": SECOND_MODEL, "api_key_file": str(key)}])


async def test_posts_wait_out_a_provider_that_is_down(nats_url: str, tmp_path: Path) -> None:
    """With the circuit open one post at a time probes; nobody's run fails, and all are written once it is back."""
    with SimServer() as sim:
        sim.add_fault("500", count=None)
        settings = generator_settings(
            nats_url, sim, tmp_path,
            retries_count=8, circuit_failures_count=3, circuit_first_open_s=0.1, circuit_max_open_s=0.2,
        )  # fmt: skip
        async with open_log(nats_url) as log, running_generator(settings):
            jobs = [make_job(title=f"Why small tests win, part {n}") for n in range(6)]
            for job in jobs:
                await commit_job(log, job)

            async def probed() -> bool:
                return len(sim.requests()) >= 10

            await eventually(probed, what="the provider was probed")
            sim.clear_faults()
            told = [notice for job in jobs for notice in await assert_published(log, job)]
        failed = [request for request in sim.requests() if request["status"] == 500]
    assert {notice.data.code for notice in told} == {"provider_unavailable"}
    assert len(told) > len(failed)  # some waited without having asked


async def test_one_refusal_slows_all_workers(nats_url: str, tmp_path: Path) -> None:
    """A 429 to one post holds those of another worker too: none asks before its time, none counts it as a failure."""
    hold_s = 4
    with SimServer() as sim:
        sim.add_fault("429", retry_after_s=hold_s)
        async with open_log(nats_url) as log, AsyncExitStack() as stack:
            settings = generator_settings(nats_url, sim, tmp_path, posts=1)
            for _ in range(2):
                await stack.enter_async_context(running_generator(settings))
            first = make_job(title="Why small tests win")
            await commit_job(log, first)
            await until(log, first, "the first post waits", lambda post: post.status == "retrying")
            other = make_job(title="Why big tests lose")
            await commit_job(log, other)
            waiting = await until(log, other, "the other post waits", lambda post: post.progress.code == WAITING)
            assert waiting.progress.params["delay_s"] <= hold_s and waiting.progress.params["until"].endswith("Z")
            assert [notice.data.code for notice in await assert_published(log, first)] == ["provider_rate_limited"]
            assert not await assert_published(log, other)
            snapshot, _ = await read_folded(log, other)
        refused, *later = sim.requests()
    assert refused["status"] == 429 and all(request["status"] == 200 for request in later)
    assert min(request["received_at_ms"] for request in later) >= refused["finished_at_ms"] + hold_s * 1_000 - 100
    assert snapshot.metrics is not None and snapshot.metrics.retries == 0


async def test_what_headers_say_is_known_to_all(nats_url: str, tmp_path: Path) -> None:
    """Limits that an answer's headers taught one worker lie where every other reads them, under a name without key."""
    with SimServer() as sim:
        sim.set_limits(requests_per_min=120, tokens_per_min=2_000_000)
        settings = generator_settings(nats_url, sim, tmp_path)
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            assert not await assert_published(log, job)
            stored = await log.jetstream.leader_last(BUDGETS, subjects.budget(settings_key(settings)))
    assert stored is not None
    budget = Budget.model_validate_json(stored.payload)
    assert (budget.requests.limit, budget.requests.period_s, budget.tokens.limit) == (120, 60, 2_000_000)


async def test_workers_keep_to_one_limit_together(nats_url: str, tmp_path: Path) -> None:
    """Two workers on a key that may be used fifteen times a second are refused never, and every post is whole."""
    with SimServer() as sim:
        sim.set_limits(requests_per_min=900, tokens_per_min=2_000_000, window_s=1, enforce=True)
        settings = generator_settings(nats_url, sim, tmp_path, requests_per_minute=540)
        async with open_log(nats_url) as log, running_generator(settings), running_generator(settings):
            jobs = [make_job(title=f"Why small tests win, part {n}") for n in range(5)]
            for job in jobs:
                await commit_job(log, job)
            for job in jobs:
                assert not await assert_published(log, job)
        assert all(request["status"] == 200 for request in sim.requests())


async def test_a_limit_of_tokens_is_kept_to(nats_url: str, tmp_path: Path) -> None:
    """Calls wait for the tokens that they are likely to cost, and the post is exact."""
    with SimServer() as sim:
        settings = generator_settings(nats_url, sim, tmp_path, tokens_per_minute=90_000)
        async with open_log(nats_url) as log, running_generator(settings):
            jobs = [make_job(title=f"Why small tests win, part {n}") for n in range(2)]
            for job in jobs:
                await commit_job(log, job)
            for job in jobs:
                assert not await assert_published(log, job)
            told = [one.event for job in jobs for one in (await read_folded(log, job))[1]]
    assert WAITING in {event.data.code for event in told if isinstance(event, Progressed)}


async def test_a_post_that_waits_for_its_turn_is_cancelled_at_once(nats_url: str, tmp_path: Path) -> None:
    """Nobody waits out a turn of a run that is not wanted any more; its place is free again."""
    with SimServer() as sim:
        settings = generator_settings(nats_url, sim, tmp_path, requests_per_minute=1)
        async with open_log(nats_url) as log, running_generator(settings):
            jobs = [make_job(title=f"Why small tests win, part {n}") for n in range(2)]
            for job in jobs:
                await commit_job(log, job)
            for job in jobs:
                await until(log, job, "the post waits", lambda post: post.progress.code == WAITING)
                await commit_cancel(log, job)
                assert (await until_final(log, job)).status == "cancelled"
        assert len(sim.requests()) == 1


async def test_a_post_that_waits_for_its_turn_keeps_its_job(nats_url: str, tmp_path: Path) -> None:
    """Waiting longer than the lease and the limit on silence is no hang: the same attempt goes on, and says why."""
    with SimServer() as sim:
        sim.add_fault("429", retry_after_s=5)
        settings = generator_settings(nats_url, sim, tmp_path, stall_timeout_s=2.5, first_token_timeout_s=2.5)
        async with open_log(nats_url, QUICK_LEASE) as log, running_generator(settings):
            first, other = make_job(title="Why small tests win"), make_job(title="Why big tests lose")
            await commit_job(log, first)
            await until(log, first, "the first post waits", lambda post: post.status == "retrying")
            await commit_job(log, other)
            assert not await assert_published(log, other)
            snapshot, stored = await read_folded(log, other)
            assert len(await assert_published(log, first)) == 1
    codes = [one.event.data.code for one in stored if isinstance(one.event, Progressed)]
    assert codes[:3] == ["planning", WAITING, "planning"]
    assert snapshot.attempt == 1


async def test_without_its_bucket_a_worker_goes_on_alone(nats_url: str, tmp_path: Path) -> None:
    """A budget that cannot be shared stops nobody's writing, and is shared again once the bucket is back."""
    with SimServer() as sim:
        settings = generator_settings(nats_url, sim, tmp_path, requests_per_minute=6_000)
        async with open_log(nats_url) as log, running_generator(settings):
            await log.jetstream.api(f"STREAM.DELETE.{BUDGETS}")
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            assert not await assert_published(log, job)


async def test_the_provider_s_own_figures_are_kept_to(nats_url: str, tmp_path: Path) -> None:
    """A worker that reads how many requests are left spaces them, and is refused hardly ever."""
    with SimServer() as sim:
        sim.set_limits(requests_per_min=600, tokens_per_min=2_000_000, enforce=True)
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            jobs = [make_job(title=f"Top 10 Laravel tips, part {n}") for n in range(3)]
            for job in jobs:
                await commit_job(log, job)
            for job in jobs:
                assert not await assert_published(log, job)
        assert all(request["status"] == 200 for request in sim.requests())


async def test_the_next_provider_is_used_while_the_first_is_down(nats_url: str, tmp_path: Path) -> None:
    """An open circuit sends posts to the fallback, with its own key, and the metrics name its model."""
    with SimServer() as sim, SimServer(api_key=SECOND_KEY) as second:
        sim.add_fault("500", count=None)
        settings = generator_settings(
            nats_url, sim, tmp_path, fallbacks=fallbacks(second, tmp_path), circuit_failures_count=2
        )
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            told = await assert_published(log, job)
            snapshot, _ = await read_folded(log, job)
        assert len(sim.requests()) == 2 and second.requests()
    assert [notice.data.code for notice in told] == ["provider_unavailable"] * 2
    assert snapshot.metrics is not None and snapshot.metrics.model == SECOND_MODEL


async def test_the_next_provider_is_used_when_the_quota_is_up(nats_url: str, tmp_path: Path) -> None:
    """What ends a run without a fallback costs it one retry with one; later posts do not ask in vain."""
    with SimServer() as sim, SimServer(api_key=SECOND_KEY) as second:
        sim.add_fault("429", count=None, code="insufficient_quota")
        settings = generator_settings(nats_url, sim, tmp_path, fallbacks=fallbacks(second, tmp_path))
        async with open_log(nats_url) as log, running_generator(settings):
            for title, codes in (("Why small tests win", ["provider_quota"]), ("Why big tests lose", [])):
                job = make_job(title=title)
                await commit_job(log, job)
                assert [notice.data.code for notice in await assert_published(log, job)] == codes
        assert len(sim.requests()) == 1


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [("429", {}, "provider_rate_limited"), ("500", {"status": 503}, "provider_unavailable")],
    ids=["429", "503"],
)
async def test_the_next_provider_is_used_when_the_first_asks_for_too_long_a_wait(
    nats_url: str, tmp_path: Path, kind: str, params: dict[str, Any], code: str
) -> None:
    """Nobody waits ten minutes, and no run fails, while another provider is idle; later posts do not ask in vain."""
    with SimServer() as sim, SimServer(api_key=SECOND_KEY) as second:
        sim.add_fault(kind, count=None, retry_after_s=600, **params)
        settings = generator_settings(nats_url, sim, tmp_path, fallbacks=fallbacks(second, tmp_path), retries_count=0)
        async with open_log(nats_url) as log, running_generator(settings):
            for title, codes in (("Why small tests win", [code]), ("Why big tests lose", [])):
                job = make_job(title=title)
                await commit_job(log, job)
                assert [notice.data.code for notice in await assert_published(log, job)] == codes
                snapshot, _ = await read_folded(log, job)
                assert snapshot.metrics is not None and snapshot.metrics.retries == 0
        assert len(sim.requests()) == 1


async def test_when_every_provider_asks_for_too_long_a_wait_the_run_ends(nats_url: str, tmp_path: Path) -> None:
    """Each is asked once; then the run fails with what the last one said, instead of asking the first again."""
    with SimServer() as sim, SimServer(api_key=SECOND_KEY) as second:
        for server in (sim, second):
            server.add_fault("429", count=None, retry_after_s=600)
        settings = generator_settings(nats_url, sim, tmp_path, fallbacks=fallbacks(second, tmp_path))
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job()
            await commit_job(log, job)
            snapshot = await until_final(log, job)
        assert (len(sim.requests()), len(second.requests())) == (1, 1)
    assert snapshot.error is not None and snapshot.error.code == "provider_rate_limited"


async def test_when_every_key_is_refused_the_run_ends(nats_url: str, tmp_path: Path) -> None:
    """The last provider's refusal stands, and says so."""
    with SimServer() as sim, SimServer(api_key="sk-another") as second:
        sim.add_fault("500", count=None, status=401)
        settings = generator_settings(nats_url, sim, tmp_path, fallbacks=fallbacks(second, tmp_path))
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job()
            await commit_job(log, job)
            snapshot = await until_final(log, job)
        assert (len(sim.requests()), len(second.requests())) == (1, 1)
    assert snapshot.status == "failed"
    assert snapshot.error is not None and snapshot.error.code == "provider_auth"


async def test_a_post_that_waits_keeps_its_job(nats_url: str, tmp_path: Path) -> None:
    """Waiting longer than the lease and the limit on silence is no hang: the same attempt goes on."""
    with SimServer() as sim:
        sim.add_fault("429", retry_after_s=5)
        settings = generator_settings(nats_url, sim, tmp_path, stall_timeout_s=2.5)
        async with open_log(nats_url, QUICK_LEASE) as log, running_generator(settings):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            assert len(await assert_published(log, job)) == 1
            snapshot, _ = await read_folded(log, job)
    assert snapshot.attempt == 1


async def test_waiting_for_a_provider_is_bounded_by_age(nats_url: str, tmp_path: Path) -> None:
    """Behind an open circuit no retry is used up, but a run that grew too old ends."""
    with SimServer() as sim:
        sim.add_fault("500", count=None)
        settings = generator_settings(
            nats_url,
            sim,
            tmp_path,
            retries_count=100,
            retry_max_age_s=60.0,
            circuit_failures_count=2,
            circuit_first_open_s=60.0,
        )
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job()
            await commit_job(log, job)
            snapshot = await until_final(log, job)
        assert len(sim.requests()) == 2
    assert snapshot.error is not None and snapshot.error.code == "deadline_exceeded"
