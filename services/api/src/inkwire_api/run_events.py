"""The events that the api itself writes to a post's log under a claim: decided by the folded post alone. Pure."""

from collections.abc import Mapping
from typing import Any

from inkwire_contracts.commands import Job
from inkwire_contracts.events import Cancelled, CancelledData, Deleted, GenerateRequested, Metrics, RequestedData
from inkwire_contracts.fold import RESTARTABLE, Snapshot, document


def cancelled(snapshot: Snapshot, run: int, attempt: int, time: str) -> Cancelled | None:
    """The end of a run that no worker has claimed; None if it has ended, or is not the latest any more."""
    if snapshot.run != run or snapshot.is_final:
        return None
    open_section = snapshot.section(snapshot.open_section) if snapshot.open_section else None
    data = CancelledData(
        section=open_section.section if open_section else "",
        text=open_section.text if open_section else "",
        metrics=paid_metrics(snapshot),
    )
    return Cancelled(
        post=snapshot.post,
        owner=snapshot.owner,
        run=run,
        attempt=attempt,
        seq=snapshot.seq + 1,
        prev=snapshot.key_seq,
        time=time,
        data=data,
    )


def next_job(snapshot: Snapshot, time: str, traceparent: str | None, options: Mapping[str, Any] | None = None) -> Job:
    """The job of the run after the latest one: the same request again, or with other options."""
    same = {name: getattr(snapshot, name) for name in RequestedData.model_fields}
    request = RequestedData.model_validate(same if options is None else {**same, "options": options})
    return Job(
        post=snapshot.post,
        owner=snapshot.owner,
        run=snapshot.run + 1,
        time=time,
        request=request,
        traceparent=traceparent,
    )


def requested(snapshot: Snapshot, job: Job, attempt: int) -> GenerateRequested | None:
    """The beginning of a later run; None if it has begun already, or cannot follow what is there."""
    if snapshot.run + 1 != job.run or snapshot.status not in RESTARTABLE:
        return None
    return GenerateRequested(
        post=job.post,
        owner=job.owner,
        run=job.run,
        attempt=attempt,
        seq=snapshot.seq + 1,
        prev=snapshot.key_seq,
        time=job.time,
        traceparent=job.traceparent,
        data=job.request,
    )


def deleted(snapshot: Snapshot, claimed_run: int, attempt: int, time: str) -> Deleted | None:
    """The end of a post, under a claim for the run after its latest; None if it has to be looked at again."""
    if snapshot.status == "deleted" or not snapshot.is_final or snapshot.run + 1 != claimed_run:
        return None
    return Deleted(
        post=snapshot.post,
        owner=snapshot.owner,
        run=snapshot.run,
        attempt=attempt,
        seq=snapshot.seq + 1,
        prev=snapshot.key_seq,
        time=time,
    )


def paid_metrics(snapshot: Snapshot) -> Metrics:
    """What is there, and what the run has cost: nothing, where no worker has claimed it."""
    account = snapshot.run_spent
    return Metrics(
        model=next((section.model for section in reversed(snapshot.sections) if section.model), ""),
        tokens_in=account.tokens_in,
        tokens_out=account.tokens_out,
        tokens_wasted=account.tokens_wasted,
        cost_usd=account.cost_usd,
        retries=account.retries,
        usage_source="reported" if account.tokens and not account.tokens_estimated else "estimated",
        words=len(document(snapshot).split()),
    )
