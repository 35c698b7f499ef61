"""Waiting for a broker to be provisioned: what is waited for, how long, and what is not."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from inkwire_chassis import provisioning
from inkwire_chassis.jetstream import BrokerError, JetStream
from inkwire_chassis.provisioning import Drift, Missing, stream_config, verify, wait_until_provisioned
from inkwire_contracts.topology import StreamSpec, Topology

STREAM = StreamSpec("JOBS", ("jobs.>",))
PLAN = Topology((STREAM,), (), 1)
NOT_FOUND = BrokerError("stream not found", 10059)
SILENCE = BrokerError("no answer")
PATIENCE_S = 5.0


class Broker:
    """Gives its answers one after the other, the last one again and again."""

    def __init__(self, *answers: BrokerError | Mapping[str, Any]) -> None:
        self._answers = list(answers)

    async def api(self, _path: str) -> Mapping[str, Any]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BrokerError):
            raise answer
        return answer if "config" in answer else {"config": answer}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "WAIT_INTERVAL_S", 0)


async def wait(broker: Broker, *, timeout_s: float) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await wait_until_provisioned(cast(JetStream, broker), PLAN, timeout_s=timeout_s)


async def test_what_is_missing_is_waited_for() -> None:
    """Services may start first; they go on as soon as it is there."""
    await wait(Broker(NOT_FOUND, NOT_FOUND, stream_config(STREAM, 1)), timeout_s=3_600)


async def test_what_stays_missing_is_an_error() -> None:
    """After the time-out, with what to run."""
    with pytest.raises(Missing, match="stream JOBS is missing: run `inkwire provision`"):
        await wait(Broker(NOT_FOUND), timeout_s=0)


async def test_a_difference_is_an_error_at_once() -> None:
    """Waiting would not change it, however long one might."""
    with pytest.raises(Drift, match="stream JOBS differs in retention"):
        await wait(Broker({**stream_config(STREAM, 1), "retention": "workqueue"}), timeout_s=3_600)


async def test_a_silent_broker_is_waited_for() -> None:
    """It is no fault of its provisioning, so its silence uses up no patience and ends no process."""
    await wait(Broker(SILENCE, SILENCE, SILENCE, stream_config(STREAM, 1)), timeout_s=0)


async def test_a_cluster_without_a_leader_is_no_broker() -> None:
    """What is left of a cluster tells its configuration still, but nothing can be stored there; alone it need not."""
    config = stream_config(STREAM, 3)
    leaderless = Broker({"config": config, "cluster": {"name": "c", "replicas": []}})
    with pytest.raises(BrokerError, match="JOBS has no leader"):
        await verify(cast(JetStream, leaderless), PLAN)
    for cluster in ({}, {"cluster": {"name": "c", "leader": "n1"}}):
        await verify(cast(JetStream, Broker({"config": config, **cluster})), PLAN)
