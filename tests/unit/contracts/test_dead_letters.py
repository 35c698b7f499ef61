"""Dead letters: what a message of the DLQ tells operators, and what it keeps to itself."""

import pytest

from inkwire_contracts.commands import Job
from inkwire_contracts.dead_letters import REASONS, dead_letter, header_fields, job_of
from inkwire_contracts.events import RequestedData
from inkwire_contracts.ids import idempotent_post_id

POST = idempotent_post_id("ana", "post")
STORED = "2026-01-02T03:04:05.678901234Z"
JOB = Job(
    post=POST,
    owner="ana",
    run=2,
    time="2026-01-02T03:04:05.000Z",
    request=RequestedData(
        title="Ten tips", recipe="blog", options={"audience": "a secret"}, priority="high", fingerprint="f" * 64
    ),
)
SUBJECT = "dlq.jobs.general.high.3.ana"


def test_a_job_tells_all_that_is_known_but_the_request() -> None:
    """Post, run, owner and title, why it failed and who had it; the options stay with the owner."""
    headers = header_fields("broken", detail="KeyError\n 'x'", deliveries=20, worker="w1")
    letter = dead_letter(17, SUBJECT, JOB.model_dump_json().encode(), headers, stored_at=STORED)
    assert (letter.id, letter.kind, letter.reason, letter.replayable) == ("17", "job", "broken", True)
    assert letter.message == REASONS["broken"] and letter.detail == "KeyError 'x'"
    assert (letter.post, letter.run, letter.owner, letter.title) == (POST, 2, "ana", "Ten tips")
    assert (letter.recipe, letter.priority, letter.pool) == ("blog", "high", "general")
    assert (letter.deliveries, letter.worker) == (20, "w1")
    assert letter.subject == "jobs.general.high.3.ana"
    assert letter.time == "2026-01-02T03:04:05.678Z"
    assert "secret" not in letter.model_dump_json()


def test_a_job_nobody_can_read_is_known_by_its_subject() -> None:
    """It cannot be replayed, and says what to do instead; nothing of its body is shown."""
    letter = dead_letter(1, SUBJECT, b'{"title": "a secret"', header_fields("unreadable"), stored_at=STORED)
    assert (letter.kind, letter.replayable, letter.post, letter.run) == ("job", False, None, None)
    assert (letter.pool, letter.priority, letter.owner) == ("general", "high", "ana")
    assert "discard" in letter.advice
    assert "secret" not in letter.model_dump_json()


def test_an_event_names_the_post_of_its_subject() -> None:
    """It is never replayed, even where its body would pass for a job."""
    subject = f"dlq.events.posts.ana.{POST}.planned"
    letter = dead_letter(1, subject, JOB.model_dump_json().encode(), header_fields("not_an_event"), stored_at=STORED)
    assert (letter.kind, letter.replayable, letter.post, letter.owner) == ("event", False, POST, "ana")
    assert letter.subject == f"posts.ana.{POST}.planned"
    assert letter.title is None
    assert job_of(subject, JOB.model_dump_json().encode()) is None


@pytest.mark.parametrize(
    ("told", "reason", "detail"),
    [
        ("poison", "poison", ""),
        ("broken: KeyError", "broken", "KeyError"),
        ("not a job: Field required", "unknown", "not a job: Field required"),
        ("", "unknown", ""),
    ],
)
def test_letters_of_an_earlier_version_are_read(told: str, reason: str, detail: str) -> None:
    """Code and detail stood in one header then, or words alone."""
    letter = dead_letter(1, SUBJECT, b"{}", {"Inkwire-Reason": told}, stored_at=STORED)
    assert (letter.reason, letter.detail) == (reason, detail)


@pytest.mark.parametrize(
    ("subject", "owner"), [("dlq.jobs.odd", None), ("dlq.events.odd", None), ("dlq.jobs.a.soon.1.ana", "ana")]
)
def test_an_odd_subject_does_no_harm(subject: str, owner: str | None) -> None:
    """What cannot be told is null."""
    letter = dead_letter(1, subject, b"\xff", {"Inkwire-Deliveries": "many"}, stored_at="sometime")
    assert (letter.owner, letter.priority, letter.deliveries, letter.time) == (owner, None, None, "sometime")


@pytest.mark.parametrize(
    ("stored_at", "time"),
    [("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"), ("2026-01-02T03:04:05.6Z", "2026-01-02T03:04:05.600Z")],
)
def test_times_have_milliseconds(stored_at: str, time: str) -> None:
    """The broker writes as many digits as it needs."""
    assert dead_letter(1, SUBJECT, b"{}", {}, stored_at=stored_at).time == time


def test_a_detail_is_one_short_line() -> None:
    """Whatever an exception says."""
    assert len(header_fields("broken", detail="x\n" * 1_000)["Inkwire-Detail"]) == 200
    assert header_fields("poison") == {"Inkwire-Reason": "poison"}
