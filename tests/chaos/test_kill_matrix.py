"""The kill matrix as a test: a short run keeps every promise, and a rule that is broken on purpose is caught."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.broken import BROKEN_IN
from tests.chaos.matrix import Options, Report, run
from tests.chaos.report import table, write_evidence
from tests.support.nats_server import nats_server_binary
from tests.support.report import RunReport, Unavailable

pytestmark = [pytest.mark.nats, pytest.mark.slow]

SHORT = Options(kills=50, posts=12, seed=4, open_posts=5, gap_s=0.7, tokens_per_s=150)
AIMED = Options(kills=2, posts=4, seed=2, open_posts=4, gap_s=1.0, tokens_per_s=120, settle_s=8)

MAX_DRAWS = 4
"""What is broken shows only where a fault meets it, and when exactly a fault strikes is up to the machine."""

CAUGHT_BY = {
    "fence": {"one_writer", "log_contiguous"},
    "tail-check": {"readers_reach_the_end"},
    "prev-check": {"store_shows_the_log"},
}
"""The rules of the oracle that must report what is broken; it may break others too."""


def matrix(options: Options, folder: Path, run_report: RunReport) -> Report:
    """One run. The evidence of a failure stays in the test's folder."""
    try:
        nats_server_binary()
    except Unavailable as error:
        run_report.missing("nats", str(error))
    report = asyncio.run(run(options, folder / "data", print))
    print(table(report))
    if report.violations:
        write_evidence(report, folder / "evidence")
        print(f"evidence: {folder / 'evidence'}")
    return report


def test_nothing_is_lost_or_doubled_whatever_is_killed(tmp_path: Path, run_report: RunReport) -> None:
    """Fifty kills and what goes wrong beside them: page = store = log for every post, at every position shown."""
    report = matrix(SHORT, tmp_path, run_report)
    assert report.kills == SHORT.kills
    assert len(report.evidence.posts) >= SHORT.posts
    assert not report.violations, table(report)


@pytest.mark.parametrize("rule", sorted(BROKEN_IN))
def test_a_broken_rule_is_caught(rule: str, tmp_path: Path, run_report: RunReport) -> None:
    """A service that breaks one rule on purpose does not get through the matrix."""
    for draw in range(MAX_DRAWS):
        report = matrix(replace(AIMED, broken=rule, seed=AIMED.seed + draw), tmp_path / str(draw), run_report)
        if {violation.rule for violation in report.violations} >= CAUGHT_BY[rule]:
            return
    pytest.fail(f"{rule} was broken, and {MAX_DRAWS} runs did not show it; the last:\n{table(report)}")
