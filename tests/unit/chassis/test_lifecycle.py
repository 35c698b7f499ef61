"""The life of a process: order, supervision, deadline."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inkwire_chassis.lifecycle import EX_SOFTWARE, Supervisor, cancel_and_wait, run_until_stopped, spawn


class Stage:
    """A service of two parts that writes down what happens to it."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    @asynccontextmanager
    async def part(self, name: str) -> AsyncIterator[None]:
        self.happened.append(f"start {name}")
        try:
            yield
        finally:
            self.happened.append(f"stop {name}")

    @asynccontextmanager
    async def whole(self, supervisor: Supervisor) -> AsyncIterator[None]:
        async with self.part("a"), self.part("b"):
            supervisor.request_stop("test")
            yield


async def test_parts_stop_in_reverse_order() -> None:
    """What started first stops last, and the exit code is 0."""
    stage = Stage()
    assert await run_until_stopped(stage.whole, stop_timeout_s=30) == 0
    assert stage.happened == ["start a", "start b", "stop b", "stop a"]


async def test_a_signal_stops_the_process_in_order() -> None:
    """SIGTERM is a request to stop, not an end."""
    stopped = asyncio.Event()

    @asynccontextmanager
    async def service(_: Supervisor) -> AsyncIterator[None]:
        os.kill(os.getpid(), signal.SIGTERM)
        yield
        stopped.set()

    assert await run_until_stopped(service, stop_timeout_s=30) == 0
    assert stopped.is_set()


async def test_a_dead_task_stops_the_process_with_a_code() -> None:
    """The first process task that dies is the reason of the stop."""

    @asynccontextmanager
    async def service(supervisor: Supervisor) -> AsyncIterator[None]:
        async def die() -> None:
            raise RuntimeError("broken")

        supervisor.spawn("doomed", die())
        yield

    assert await run_until_stopped(service, stop_timeout_s=30) == EX_SOFTWARE


async def test_a_task_that_ends_early_stops_the_process() -> None:
    """A process task has no reason to end before its process."""

    @asynccontextmanager
    async def service(supervisor: Supervisor) -> AsyncIterator[None]:
        supervisor.spawn("short", asyncio.sleep(0))
        yield

    assert await run_until_stopped(service, stop_timeout_s=30) == 0


async def test_a_stop_that_hangs_is_cut_at_the_deadline() -> None:
    """The deadline holds, whatever a part does while stopping."""

    @asynccontextmanager
    async def service(supervisor: Supervisor) -> AsyncIterator[None]:
        supervisor.request_stop("test")
        yield
        await asyncio.Event().wait()

    assert await run_until_stopped(service, stop_timeout_s=0.05) == 0


async def test_a_failed_start_raises() -> None:
    """The process ends with the start's own error."""

    @asynccontextmanager
    async def service(_: Supervisor) -> AsyncIterator[None]:
        raise ConnectionError("no broker")
        yield

    with pytest.raises(ConnectionError):
        await run_until_stopped(service, stop_timeout_s=30)


async def test_a_stop_during_a_slow_start_ends_it() -> None:
    """A signal while still connecting does not wait for the connection."""

    @asynccontextmanager
    async def service(supervisor: Supervisor) -> AsyncIterator[None]:
        supervisor.request_stop("test")
        await asyncio.Event().wait()
        yield

    assert await run_until_stopped(service, stop_timeout_s=30) == 0


async def test_cancelled_tasks_are_gone() -> None:
    """After cancel_and_wait nothing runs, even if a task answered with an error."""

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("on the way out")

    tasks = [spawn("one", stubborn()), spawn("two", asyncio.sleep(100))]
    await asyncio.sleep(0)
    await cancel_and_wait(*tasks)
    assert all(task.done() for task in tasks)
