"""What a worker asks the work queue before it takes from it."""

from typing import Any

import pytest

from inkwire_chassis.jetstream import BrokerError
from inkwire_generator.adapters.jobs import JobQueue


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
