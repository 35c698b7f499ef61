"""Dead letters: what could not be worked on, as it lies in the DLQ stream, and as operators see it.

A letter is the message itself under ``dlq.<its subject>``; why it lies there stands in headers, written by the
service that put it aside. Nothing of an owner's text is shown beyond the title.
"""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import ValidationError

from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.data import Data
from inkwire_contracts.events import Priority

H_REASON = "Inkwire-Reason"
"""A code of :data:`REASONS`."""
H_DETAIL = "Inkwire-Detail"
H_WORKER = "Inkwire-Worker"
H_DELIVERIES = "Inkwire-Deliveries"
"""How often the broker had handed it to a worker."""

MAX_DETAIL_CHARS = 200
MAX_TITLE_CHARS = 300

LetterKind = Literal["job", "event"]
KIND_FILTERS: Mapping[LetterKind, str] = {"job": "dlq.jobs.>", "event": "dlq.events.>"}
ANY_FILTER = "dlq.>"

REASONS: Mapping[str, str] = {
    "poison": "Worker after worker took it and died or gave up without coming forward; the run ended as failed.",
    "reject": "The post was not in a state that this run could follow on.",
    "broken": "The work on it broke again and again.",
    "unreadable": "Nobody can read it as a job.",
    "not_an_event": "It is no event of the post or conversation that its subject names.",
    "history_lost": "What stood before it is in neither the log nor the store, so it could not be stored.",
    "unknown": "It was put aside for a reason that this version does not know.",
}
"""Why a message may be a dead letter, in English."""

_ADVICE: Mapping[str, str] = {
    "replay": "Mend what made it fail, then replay it; finished sections are kept.",
    "job": "It cannot be replayed: find out who published it, have the request made again, then discard it.",
    "event": "It cannot be replayed: the log has the event. Read the post or conversation, see that it is as it "
    "should be, then discard it.",
}
_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z$", re.ASCII)


class DeadLetter(Data):
    """One dead letter. What is not known of it is null."""

    id: str
    """Its place in the DLQ stream."""
    kind: LetterKind
    reason: str
    message: str
    """The reason in words."""
    detail: str
    advice: str
    """What to do with it."""
    replayable: bool
    time: str
    subject: str
    """Where the message was published."""
    post: str | None
    run: int | None
    owner: str | None
    title: str | None
    recipe: str | None
    priority: Priority | None
    pool: str | None
    deliveries: int | None
    worker: str | None


def header_fields(reason: str, *, detail: str = "", deliveries: int | None = None, worker: str = "") -> dict[str, str]:
    """The headers of a letter; a detail is one short line. Its time is the one at which the broker stored it."""
    fields = {H_REASON: reason, H_DETAIL: " ".join(detail.split())[:MAX_DETAIL_CHARS], H_WORKER: worker}
    if deliveries is not None:
        fields[H_DELIVERIES] = str(deliveries)
    return {name: value for name, value in fields.items() if value}


def job_of(subject: str, payload: bytes) -> Job | None:
    """The job that a letter holds, if it holds one."""
    if not subject.startswith("dlq.jobs."):
        return None
    try:
        return Job.model_validate_json(payload)
    except ValidationError:
        return None


def dead_letter(
    stream_seq: int, subject: str, payload: bytes, headers: Mapping[str, str], *, stored_at: str
) -> DeadLetter:
    """The view of a letter; ``stored_at`` is the broker's time."""
    original = subject.removeprefix("dlq.").removeprefix("events.")
    kind: LetterKind = "event" if subject.startswith("dlq.events.") else "job"
    job = job_of(subject, payload)
    reason, detail = _reason(headers)
    deliveries = headers.get(H_DELIVERIES, "")
    return DeadLetter(
        id=str(stream_seq),
        kind=kind,
        reason=reason,
        message=REASONS[reason],
        detail=detail,
        advice=_ADVICE["replay" if job is not None else kind],
        replayable=job is not None,
        time=_milliseconds(stored_at),
        subject=original,
        deliveries=int(deliveries) if deliveries.isascii() and deliveries.isdigit() else None,
        worker=headers.get(H_WORKER) or None,
        **(_of_subject(kind, original) if job is None else _of_job(job)),
    )


def _reason(headers: Mapping[str, str]) -> tuple[str, str]:
    """Code and detail; a letter of an earlier version has both in one header, or words only."""
    told = headers.get(H_REASON, "")
    code, _, rest = told.partition(": ")
    if code in REASONS:
        return code, headers.get(H_DETAIL) or rest
    return "unknown", headers.get(H_DETAIL) or told


def _of_job(job: Job) -> dict[str, object]:
    request = job.request
    return {
        "post": job.post,
        "run": job.run,
        "owner": job.owner,
        "title": request.title[:MAX_TITLE_CHARS],
        "recipe": request.recipe,
        "priority": request.priority,
        "pool": request.pool,
    }


def _of_subject(kind: LetterKind, subject: str) -> dict[str, object]:
    """What the subject alone says: of a job that cannot be read, or of an event."""
    known: dict[str, object] = dict.fromkeys(("post", "run", "owner", "title", "recipe", "priority", "pool"))
    parts = subject.split(".")
    if kind == "event" and len(parts) == 4:
        return {**known, "owner": parts[1], "post": parts[2]}
    if kind == "job" and len(parts) == 5:
        priority = parts[2] if parts[2] in subjects.PRIORITIES else None
        return {**known, "pool": parts[1], "priority": priority, "owner": parts[4]}
    return known


def _milliseconds(time: str) -> str:
    """A time with nanoseconds, or without a fraction, in the form of all others; what is no time stays."""
    match = _TIME.match(time)
    return f"{match[1]}.{(match[2] or '')[:3]:0<3}Z" if match else time
