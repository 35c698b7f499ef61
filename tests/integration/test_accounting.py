"""The account of a post against what the model's server says it produced, over faults, a kill, a cancel and a retry."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inkwire_chassis.event_log import StoredEvent
from inkwire_contracts.events import Cancelled, GenerateRequested, Retrying, SectionCompleted, Started, Usage
from inkwire_contracts.fold import Snapshot, fold_all
from tests.support.generator import (
    assert_exact,
    commit_cancel,
    commit_job,
    generator_process,
    generator_settings,
    read_folded,
    running_generator,
    until,
    until_final,
    until_idle,
)
from tests.support.log import QUICK_LEASE, make_job, open_log
from tests.support.processes import ManagedProcess
from tests.support.sim import STALLED_AFTER, SimServer

Keep = Callable[[ManagedProcess], ManagedProcess]
TITLE = "Top 5 Laravel tips"


def tokens(records: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """What the server read and produced."""
    return sum(record["prompt_tokens"] for record in records), sum(record["chunks_sent"] for record in records)


def told(stored: Sequence[StoredEvent]) -> list[Usage]:
    """Every usage in the log."""
    usages = [getattr(getattr(one.event, "data", None), "usage", None) for one in stored]
    return [usage for usage in usages if usage is not None]


def assert_estimates(usage: Usage | None, record: dict[str, Any]) -> None:
    """Within the error that docs/accounting.md states for an estimate: a factor of two in each direction."""
    assert usage is not None and usage.source == "estimated"
    for estimated, real in ((usage.tokens_in, record["prompt_tokens"]), (usage.tokens_out, record["chunks_sent"])):
        assert real / 2 <= estimated <= real * 2, (usage, record["prompt_tokens"], record["chunks_sent"])


def assert_adds_up(snapshot: Snapshot, stored: Sequence[StoredEvent], sim: SimServer) -> None:
    """Paid is what was told, kept or wasted; what was reported is what the server counted; key events tell the same."""
    spent, usages = snapshot.spent, told(stored)
    assert (spent.tokens_in, spent.tokens_out) == (sum(u.tokens_in for u in usages), sum(u.tokens_out for u in usages))
    kept = [section.usage for section in snapshot.sections if section.usage is not None]
    assert spent.tokens_in == sum(u.tokens_in for u in kept) + spent.wasted_in
    assert spent.tokens_out == sum(u.tokens_out for u in kept) + spent.wasted_out
    reported = [(u.tokens_in, u.tokens_out) for u in usages if u.source == "reported"]
    whole = [tokens([record]) for record in sim.requests() if record["close_reason"] == "done"]
    assert sorted(reported) == sorted(whole)
    keys = Snapshot(post=snapshot.post)
    assert fold_all(keys, [one.event for one in stored if getattr(one.event, "prev", None) is not None]) == "applied"
    assert (keys.spent, keys.run_spent) == (spent, snapshot.run_spent)


async def test_failed_calls_and_a_killed_worker(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Two answers are cut, the third's worker is killed in mid-section: its successor knows what was paid before."""
    with SimServer() as sim:
        sim.add_fault("cut", match="<section>", count=2, after_chunks=15)
        sim.stall()
        async with open_log(nats_url, QUICK_LEASE) as log:
            first = generator_process(nats_url, sim, tmp_path, "first")
            keep(first)
            first.start()
            await first.ready()
            job = make_job(title=TITLE)
            await commit_job(log, job)
            await sim.until_stalled()
            stalling = await until(log, job, "the stalled text is in the log", _has_answer)
            assert stalling.run_spent.retries == 2
            first.kill9()
            second = generator_process(nats_url, sim, tmp_path, "second")
            keep(second)
            second.start()
            await second.ready()
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
            await until_idle(log)
        assert_exact(snapshot, stored)
        assert_adds_up(snapshot, stored, sim)
        broken = [record for record in sim.requests() if record["close_reason"] != "done"]
    retrying = [one.event.data.usage for one in stored if isinstance(one.event, Retrying)]
    taken_over = [one.event.data.usage for one in stored if isinstance(one.event, Started)]
    assert len(retrying) == 2 and [record["fault"] for record in broken] == ["cut", "cut", "stall"]
    for usage, record in zip([*retrying, taken_over[1]], broken, strict=True):
        assert_estimates(usage, record)
    assert taken_over[0] is None and len(taken_over) == 2
    metrics, spent = snapshot.metrics, snapshot.spent
    assert metrics is not None and (metrics.retries, metrics.usage_source) == (2, "estimated")
    assert (metrics.tokens_in, metrics.tokens_out) == (spent.tokens_in, spent.tokens_out)
    assert metrics.tokens_wasted == spent.tokens_wasted == spent.tokens_estimated > 0
    assert metrics.cost_usd is None, "the simulator has no price"


async def test_a_dead_workers_run_is_cancelled(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Who finds a wish instead of work to do writes down what the dead worker's text had cost, and keeps both."""
    with SimServer() as sim:
        sim.stall()
        async with open_log(nats_url, QUICK_LEASE) as log:
            first = generator_process(nats_url, sim, tmp_path, "first")
            keep(first)
            first.start()
            await first.ready()
            job = make_job(title=TITLE)
            await commit_job(log, job)
            await sim.until_stalled()
            left = await until(log, job, "the stalled text is in the log", _has_answer)
            first.kill9()
            await commit_cancel(log, job)
            async with running_generator(generator_settings(nats_url, sim, tmp_path)):
                await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
        assert_adds_up(snapshot, stored, sim)
        (stalled,) = [record for record in sim.requests() if record["close_reason"] != "done"]
    last = stored[-1].event
    assert isinstance(last, Cancelled)
    assert_estimates(last.data.usage, stalled)
    assert [one.event.data.usage for one in stored if isinstance(one.event, Started)] == [None]
    open_section = snapshot.section(snapshot.open_section or "")
    assert open_section is not None and open_section.usage == last.data.usage
    before = left.section(left.open_section or "")
    assert before is not None and open_section.text.startswith(before.text)
    assert snapshot.spent.tokens_wasted == 0 == last.data.metrics.tokens_wasted


async def test_a_cancelled_run_and_the_one_after_it(nats_url: str, tmp_path: Path) -> None:
    """A cancelled run keeps its cost with its text; once the next run begins that text anew, its cost is waste."""
    with SimServer() as sim:
        sim.stall()
        settings = generator_settings(nats_url, sim, tmp_path, simulated=False)
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job(title=TITLE)
            await commit_job(log, job)
            await sim.until_stalled()
            await until(log, job, "the stalled text is in the log", _has_answer)
            await commit_cancel(log, job)
            await until_final(log, job)
            cancelled, before = await read_folded(log, job)
            again = job.model_copy(update={"run": 2})
            await commit_job(log, again)
            await until_final(log, again)
            snapshot, stored = await read_folded(log, again)
        assert_adds_up(snapshot, stored, sim)
        (stalled,) = [record for record in sim.requests() if record["close_reason"] != "done"]
    last = before[-1].event
    assert isinstance(last, Cancelled) and last.data.text
    assert_estimates(last.data.usage, stalled)
    assert cancelled.spent == cancelled.run_spent
    assert cancelled.spent.tokens_wasted == last.data.metrics.tokens_wasted == 0
    assert cancelled.metrics is not None and cancelled.metrics.cost_usd == cancelled.spent.cost_usd
    assert cancelled.spent.cost_usd is not None and cancelled.spent.cost_usd > 0
    assert snapshot.status == "published" and snapshot.run_spent.tokens_wasted == 0
    usage = last.data.usage
    assert usage is not None and snapshot.spent.tokens_wasted == usage.tokens_in + usage.tokens_out
    assert snapshot.spent.tokens == cancelled.spent.tokens + snapshot.run_spent.tokens
    second = [one for one in stored if one.event.run == 2]
    assert isinstance(second[0].event, GenerateRequested)
    metrics = snapshot.metrics
    assert metrics is not None and metrics.tokens_in == snapshot.run_spent.tokens_in < snapshot.spent.tokens_in
    assert all(one.event.data.model for one in stored if isinstance(one.event, SectionCompleted))


def _has_answer(post: Snapshot) -> bool:
    """Text of the stalled answer has been folded, not the heading alone."""
    section = post.section(post.open_section or "")
    return section is not None and len(section.text) > 2 * STALLED_AFTER
