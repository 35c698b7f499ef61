"""What one run may cost: it ends before a call that goes beyond it, and the next run goes on."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from inkwire_contracts.events import Retrying
from tests.support.generator import commit_job, generator_settings, read_folded, running_generator, until_final
from tests.support.log import make_job, open_log
from tests.support.sim import SimServer

LEAST: list[dict[str, Any]] = [{"run_max_tokens": 1}, {"run_max_cost_usd": 1e-9, "simulated": False}]
"""Used up by any answer."""


@pytest.mark.parametrize("limit", LEAST, ids=["tokens", "money"])
async def test_a_run_without_failures_is_bounded(nats_url: str, tmp_path: Path, limit: dict[str, Any]) -> None:
    """Each run asks once, fails with a word of what to do, keeps what it finished, and the next one goes on from it."""
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path, **limit)):
            job = make_job(title="Why small tests win")
            for run in (1, 2, 3):
                job = job.model_copy(update={"run": run})
                await commit_job(log, job)
                ended = await until_final(log, job)
                assert ended.status == "failed" and ended.error is not None
                assert ended.error.code == "budget_exceeded" and "Try again" in ended.error.message
                assert len([one for one in ended.sections if one.status == "done"]) == len(sim.requests()) == run
                assert ended.run_spent.tokens > 0 and ended.run_spent.tokens_wasted == 0


@pytest.mark.parametrize("kind", ["cut", "length"])
@pytest.mark.parametrize("limit", LEAST, ids=["tokens", "money"])
async def test_part_of_an_answer_is_paid_for(nats_url: str, tmp_path: Path, limit: dict[str, Any], kind: str) -> None:
    """An answer cut off, or stopped at its length limit, used up the limit: no retry is told, nothing more is asked."""
    with SimServer() as sim:
        sim.add_fault(kind, after_chunks=20)
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path, **limit)):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            ended = await until_final(log, job)
            _, stored = await read_folded(log, job)
        assert len(sim.requests()) == 1
    assert ended.error is not None and ended.error.code == "budget_exceeded"
    assert ended.run_spent.tokens > 0
    assert not [one for one in stored if isinstance(one.event, Retrying)]


async def test_a_post_below_its_limit_is_written(nats_url: str, tmp_path: Path) -> None:
    """A limit that is met by the last answer alone takes nothing from the post."""
    with SimServer() as sim:
        async with open_log(nats_url) as log:
            async with running_generator(generator_settings(nats_url, sim, tmp_path)):
                job = make_job(title="Why small tests win")
                await commit_job(log, job)
                spent = (await until_final(log, job)).run_spent
            async with running_generator(generator_settings(nats_url, sim, tmp_path, run_max_tokens=spent.tokens)):
                other = make_job(title="Why small tests win")
                await commit_job(log, other)
                assert (await until_final(log, other)).status == "published"


@pytest.mark.parametrize(
    ("limits", "warned"),
    [({"run_max_cost_usd": 1.0}, True), ({"run_max_cost_usd": 1.0, "run_max_tokens": 9}, False), ({}, False)],
    ids=["dollars", "both", "none"],
)
async def test_a_limit_that_cannot_hold_is_told_at_the_start(
    nats_url: str, tmp_path: Path, limits: dict[str, Any], warned: bool
) -> None:
    """Dollars bound no model without a price; who limits tokens, too, or nothing, hears nothing."""
    with SimServer() as sim, capture_logs() as told:
        settings = generator_settings(nats_url, sim, tmp_path, **limits)
        async with open_log(nats_url), running_generator(settings):
            pass
    models = [line["models"] for line in told if "no limit in dollars" in line["event"]]
    assert models == ([[settings.openai_model]] if warned else [])
