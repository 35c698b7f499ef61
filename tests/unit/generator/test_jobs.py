"""What a worker asks the work queue before it takes from it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from inkwire_chassis.jetstream import BrokerError
from inkwire_generator.adapters.jobs import SLOW_POLL_S, JobQueue


class FlakyBroker:
    """Answers only after so many questions."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked: list[str] = []

    async def api(self, path: str) -> Any:
        self.asked.append(path)
        if len(self.asked) <= self.failures:
            raise BrokerError("no answer")
        return {"config": {"ack_wait": 1_500_000_000}}


async def test_the_lease_is_asked_for_until_the_broker_answers() -> None:
    """A broker that dies while a worker starts makes the worker wait, not end."""
    broker: Any = FlakyBroker(failures=1)
    assert await JobQueue(broker, ["general"]).lease_s(timeout_s=30.0) == 1.5
    assert broker.asked == ["CONSUMER.INFO.JOBS.jobs-general-urgent-0"] * 2


async def test_the_wait_for_the_lease_has_an_end() -> None:
    """A broker that never answers ends the start with its error."""
    broker: Any = FlakyBroker(failures=99)
    with pytest.raises(BrokerError):
        await JobQueue(broker, ["general"]).lease_s(timeout_s=0.0)
    assert len(broker.asked) == 1


class SlowBroker:
    """Answers each question for a job with "none", after the clock has moved by ``answer_s``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer_s: float) -> None:
        self.now_s, self.asked, self.status = 100.0, 0, "404"
        self.client: Any = self
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now_s)
        self._answer_s = answer_s

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, subject: str) -> Any:
        self.subject = subject
        return self

    async def publish(self, _subject: str, _payload: bytes, reply: str) -> None:
        assert reply == self.subject
        self.asked += 1
        self.now_s += self._answer_s

    async def next_msg(self, **_: Any) -> Any:
        return SimpleNamespace(headers={"Status": self.status})


async def test_a_slow_broker_is_left_alone_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asking all lanes takes longer than the pause between two looks, the pause is still kept."""
    with monkeypatch.context() as patch:
        broker: Any = SlowBroker(patch, answer_s=0.1)
        queue = JobQueue(broker, ["general"])
        assert await queue.take() is None
        lanes = broker.asked
        assert lanes == len(queue.durables)
        assert await queue.take() is None
        assert broker.asked == lanes
        broker.now_s += SLOW_POLL_S
        assert await queue.take() is None
        assert broker.asked == 2 * lanes


async def test_consumers_are_missing_once_they_are_missed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops says once that nobody is there, which is no lack; a lack is told once."""
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        broker: Any = SlowBroker(patch, answer_s=0.0)
        queue = JobQueue(broker, ["general"])
        told = []
        for status in ("503", "404", "503", "503", "503"):
            broker.status = status
            assert await queue.take() is None
            broker.now_s += SLOW_POLL_S
            told.append(len(logs))
        assert told == [0, 0, 0, len(queue.durables), len(queue.durables)]
        assert {line["durable"] for line in logs} == set(queue.durables)
