"""How `inkwire up` starts."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inkwire import up
from inkwire.launcher import StartFailed
from inkwire_chassis.jetstream import BrokerError
from tests.support.wait import scaled_s


class PatientLauncher:
    """Starts the broker; the services wait for their streams for ever."""

    def __init__(self) -> None:
        self.gave_up = False

    async def start(self, programs: list[str]) -> None:
        if programs == ["services"]:
            try:
                await asyncio.Event().wait()
            finally:
                self.gave_up = True


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BrokerError("insufficient storage resources available (10047)", 10047), "needs more room on the disk of"),
        (BrokerError("no answer"), "the broker cannot be provisioned: no answer"),
    ],
    ids=["disk", "other"],
)
async def test_a_broker_that_refuses_its_streams_ends_the_start_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BrokerError, told: str
) -> None:
    """Services that wait for streams in vain are not waited for, and not named as what went wrong."""

    async def refused(_nats_url: str) -> list[str]:
        raise error

    monkeypatch.setattr(up, "provision_local", refused)
    launcher: Any = PatientLauncher()
    options = SimpleNamespace(data=SimpleNamespace(root=tmp_path))
    table: Any = SimpleNamespace(
        nats_url="", simulated=False, options=options, broker=lambda: "broker", services=lambda: ["services"]
    )
    terminal: Any = SimpleNamespace()
    with pytest.raises(StartFailed, match=told):
        async with asyncio.timeout(scaled_s(10.0)):
            await up._start(table, launcher, terminal)
    assert launcher.gave_up
