"""Reads that many posts share, at a replica that lags."""

from collections.abc import Mapping
from typing import Any
from unittest.mock import AsyncMock

import pytest

from inkwire_chassis import event_log
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import BrokerError, StoredMessage
from inkwire_contracts import subjects
from inkwire_contracts.commands import CancelIntent, Job
from tests.support.log import TIME, make_job

LEADER_SEQ = 10


class LaggingStream:
    """A leader with wishes to cancel, and one replica, which has them too once it was asked often enough."""

    def __init__(self, wished: Job, *, lags_for: int) -> None:
        intent = CancelIntent(post=wished.post, owner=wished.owner, run=wished.run, time=TIME)
        subject = subjects.cancel(wished.owner, wished.post, wished.run)
        self._wish = StoredMessage(subject, LEADER_SEQ, intent.model_dump_json().encode())
        self._lags_for = lags_for
        self.replica_reads = self.leader_reads = 0

    async def stream_info(self, _stream: str) -> dict[str, Any]:
        return {"state": {"last_seq": LEADER_SEQ}}

    async def direct_batch(self, _stream: str, query: Mapping[str, Any]) -> tuple[list[StoredMessage], int, int]:
        assert self._wish.subject in query["multi_last"]
        self.replica_reads += 1
        if self.replica_reads <= self._lags_for:
            return [], 0, LEADER_SEQ - 1
        return [self._wish], 0, LEADER_SEQ

    async def leader_last(self, _stream: str, subject: str) -> StoredMessage | None:
        self.leader_reads += 1
        return self._wish if subject == self._wish.subject else None


@pytest.mark.parametrize(
    ("lags_for", "replica_reads", "leader_reads"),
    [(0, 1, 0), (2, 3, 0), (1_000, event_log.INTENTS_TRIES, 2)],
    ids=["not", "for a moment", "for long"],
)
async def test_wishes_are_not_read_from_a_replica_that_lags(
    monkeypatch: pytest.MonkeyPatch, lags_for: int, replica_reads: int, leader_reads: int
) -> None:
    """It is asked until it has what the leader had; where that takes long, the leader is asked about each post."""
    monkeypatch.setattr(event_log, "RETRY_FIRST_S", 0.0)
    jobs = [make_job(), make_job()]
    stream: Any = LaggingStream(jobs[1], lags_for=lags_for)
    assert await EventLog(stream, lambda: "unused").cancel_intents(jobs) == {jobs[1].post}
    assert (stream.replica_reads, stream.leader_reads) == (replica_reads, leader_reads)


async def test_wishes_are_not_read_where_nobody_leads() -> None:
    """Whoever tells of the stream then tells of itself, and may not have what was stored before."""
    job = make_job()
    stream: Any = LaggingStream(job, lags_for=0)
    stream.stream_info = AsyncMock(return_value={"state": {"last_seq": 1}, "cluster": {"name": "three"}})
    with pytest.raises(BrokerError, match="no leader"):
        await EventLog(stream, lambda: "unused").cancel_intents([job])
    assert stream.replica_reads == 0
