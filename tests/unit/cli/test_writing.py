"""What the end of a run is told of."""

from typing import Any

import pytest

from inkwire.writing import objection
from inkwire_contracts.fold import Snapshot

BLOCKER = {"rule": "No promises", "quote": "works always", "severity": "blocker"}
WARNING = {"rule": "Not too long", "quote": "", "severity": "warning"}


def published(compliance: Any, status: str = "published") -> Snapshot:
    return Snapshot.model_validate({"post": "p", "status": status, "metadata": {"compliance": compliance}})


def test_a_failed_check_is_told_with_what_must_change() -> None:
    """A social post that is published with a draft that did not pass is not called finished without a word."""
    told = objection(published({"status": "failed", "findings": [WARNING, BLOCKER], "disclaimers": []}))
    assert told == "The compliance check was not passed: No promises."


def test_a_models_words_steer_no_terminal() -> None:
    """A finding is the model's text."""
    told = objection(published({"status": "failed", "findings": [{**BLOCKER, "rule": "\x1b[2JNo"}]}))
    assert "\x1b" not in told and told.endswith("No.")


@pytest.mark.parametrize(
    "compliance",
    [{"status": "passed", "findings": [WARNING]}, None, "failed", {"findings": [BLOCKER]}],
)
def test_nothing_else_is_an_objection(compliance: Any) -> None:
    """A check that passed, none at all, and what a recipe of somebody's else calls so."""
    assert objection(published(compliance)) == ""


@pytest.mark.parametrize("findings", [None, "x", [], ["x", 5]])
def test_a_failed_check_without_findings_is_told(findings: Any) -> None:
    """Metadata is a recipe's own: whatever it holds, the end is told."""
    told = objection(published({"status": "failed", "findings": findings}))
    assert told == "The compliance check was not passed: it does not say why."


def test_a_run_that_did_not_end_well_has_words_of_its_own() -> None:
    """Only a published text has passed or not."""
    assert objection(published({"status": "failed", "findings": [BLOCKER]}, status="cancelled")) == ""
