"""Bodies of jobs, claims and cancel intents."""

import pytest
from pydantic import ValidationError

from inkwire_contracts.commands import CancelIntent, Claim, Job
from inkwire_contracts.events import RequestedData

POST = "aaaabbbbccccddddeeeeffff22"


def test_job_carries_the_request() -> None:
    """A job read back from its JSON is the same, names its own message id and knows its priority."""
    request = RequestedData(title="Tips", recipe="blog", priority="high", fingerprint="f")
    job = Job(post=POST, owner="ada", run=2, time="2026-03-01T10:00:00.000Z", request=request)
    assert Job.model_validate_json(job.model_dump_json()) == job
    assert (job.msg_id, job.priority) == (f"{POST}.2", "high")


@pytest.mark.parametrize("change", [{"post": "x"}, {"owner": "a.b"}, {"run": 0}, {"request": {"title": "x"}}], ids=str)
def test_wrong_jobs_are_refused(change: dict[str, object]) -> None:
    """A job with a wrong field is refused."""
    body = {"post": POST, "owner": "ada", "run": 1, "time": "t", "request": {"title": "T", "recipe": "blog"}}
    assert Job.model_validate(body).run == 1
    with pytest.raises(ValidationError):
        Job.model_validate({**body, **change})


def test_bodies_ignore_what_newer_writers_add() -> None:
    """Unknown fields of a claim or an intent are ignored."""
    claim = {"claim_id": "c", "run": 1, "attempt": 2, "deliveries": 0, "holder": "w", "novel": 1}
    assert Claim.model_validate(claim).attempt == 2
    intent = {"post": POST, "owner": "ada", "run": 1, "time": "t", "novel": 1}
    assert CancelIntent.model_validate(intent).run == 1
