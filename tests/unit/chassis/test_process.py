"""What a process says when it starts."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.process import run_configured
from inkwire_chassis.settings import EX_CONFIG, ServiceSettings, SettingsError, load


@asynccontextmanager
async def never(_settings: ServiceSettings, _supervisor: Supervisor) -> AsyncIterator[None]:
    """A service that ends at once."""
    raise SettingsError("no")
    yield


def test_a_setting_that_nobody_reads_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was ignored without a word; its value, which may be a secret, is not shown."""
    monkeypatch.setenv("INKWIRE_LOG_LEVELS", "hidden")
    assert run_configured("thing", load(ServiceSettings), never) == EX_CONFIG
    told = capsys.readouterr().err
    (line,) = [json.loads(line) for line in told.splitlines() if "INKWIRE_LOG_LEVELS" in line]
    assert (line["level"], line["setting"], line["did_you_mean"]) == (
        "warning",
        "INKWIRE_LOG_LEVELS",
        "INKWIRE_LOG_LEVEL",
    )
    assert "hidden" not in told
