"""What the subscriber does to FastStream's fetch."""

import asyncio
from collections.abc import Callable

import pytest
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, OutboundBufferLimitError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError

from inkwire_persister.adapters import subscriber
from inkwire_persister.adapters.subscriber import patient


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FETCH_PAUSE_S", 0.0)


@pytest.mark.parametrize(
    "make",
    [TimeoutError, NatsTimeoutError, ConnectionClosedError, OutboundBufferLimitError, lambda: APIError(code=409)],
)
async def test_every_failure_of_a_fetch_is_a_time_out_to_faststream(make: Callable[[], Exception]) -> None:
    """FastStream keeps the part of a batch that it has only when a fetch ends by nats-py's own time-out."""

    async def fetch(**_: object) -> list[Msg]:
        raise make()

    with pytest.raises(NatsTimeoutError):
        await patient(fetch)(batch=3, timeout=1.0)


async def test_a_fetch_that_brings_messages_is_left_alone() -> None:
    """Arguments and result pass through."""
    seen: list[tuple[int, float | None]] = []

    async def fetch(*, batch: int, timeout: float | None) -> list[Msg]:  # noqa: ASYNC109
        seen.append((batch, timeout))
        return []

    assert await patient(fetch)(batch=3, timeout=None) == []
    assert seen == [(3, None)]


async def test_cancelling_a_fetch_is_no_time_out() -> None:
    """A stopping process is not kept waiting."""

    async def fetch(**_: object) -> list[Msg]:
        await asyncio.Event().wait()
        return []

    task = asyncio.ensure_future(patient(fetch)(batch=1, timeout=9.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
