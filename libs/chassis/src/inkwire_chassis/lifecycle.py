"""A process's life: ordered start, supervised tasks, signals, reverse stop within a deadline.

A service is an async context manager: what it enters first stops last. Background work is spawned here and nowhere
else, by name; the first process task that dies stops the process with that cause.
"""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from inkwire_chassis.logs import get_logger

T = TypeVar("T")
EX_SOFTWARE = 70
"""Exit code for a process that ended because one of its tasks died (sysexits.h)."""


def spawn(name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A named task that its creator owns: it awaits or cancels it. For what ends with a post or a connection."""
    return asyncio.create_task(work, name=name)


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are gone, whatever they raise."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Supervisor:
    """Holds a process's tasks and its reason to stop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self.exit_code = 0
        """What an end in order tells whoever started the process."""

    @property
    def stopping(self) -> asyncio.Event:
        """Set once the process should end."""
        return self._stopping

    def request_stop(self, reason: str, exit_code: int = 0) -> None:
        """Ask the process to end, in order; the first to ask decides about the exit code."""
        if not self._stopping.is_set():
            get_logger().info("stopping", reason=reason)
            self.exit_code = exit_code
            self._stopping.set()

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a process task: if it raises, or ends before the process stops, the process stops."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self.failure is None:
            self.failure = error
            get_logger().error("task died", task=task.get_name(), exc_info=error)
            self.request_stop(f"task {task.get_name()} died")
        elif error is None and not self._stopping.is_set():
            self.request_stop(f"task {task.get_name()} ended")

    async def cancel_all(self) -> None:
        """Cancel what is still running and wait for it."""
        await cancel_and_wait(*tuple(self._tasks))


Compose = Callable[[Supervisor], AbstractAsyncContextManager[Any]]


async def run_until_stopped(compose: Compose, *, stop_timeout_s: float) -> int:
    """Enter the service, wait for SIGINT, SIGTERM or a dead task, leave it; return the exit code.

    At the deadline whatever still runs is cancelled. A service that cannot start raises its error here.
    """
    supervisor = Supervisor()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # a loop without signals, as on Windows
            loop.add_signal_handler(signum, supervisor.request_stop, signal.Signals(signum).name)
    started = asyncio.Event()
    life = asyncio.create_task(_life(compose(supervisor), supervisor, started), name="life")
    stop_wanted = asyncio.create_task(supervisor.stopping.wait(), name="stop-wanted")
    await asyncio.wait({life, stop_wanted}, return_when=asyncio.FIRST_COMPLETED)
    if not started.is_set():
        life.cancel()
    _, late = await asyncio.wait({life}, timeout=stop_timeout_s)
    if late:
        get_logger().warning("stop took too long", stop_timeout_s=stop_timeout_s)
    await cancel_and_wait(*late, stop_wanted)
    await supervisor.cancel_all()
    if not life.cancelled() and (error := life.exception()) is not None:
        raise error
    return EX_SOFTWARE if supervisor.failure is not None else supervisor.exit_code


async def _life(service: AbstractAsyncContextManager[Any], supervisor: Supervisor, started: asyncio.Event) -> None:
    async with service:
        gc.freeze()  # modules and models live as long as the process: a full collection of them takes 60 ms
        started.set()
        await supervisor.stopping.wait()


def run_process(compose: Compose, *, stop_timeout_s: float) -> int:
    """Run a service on the fastest loop there is, to its end; returns the exit code."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(run_until_stopped(compose, stop_timeout_s=stop_timeout_s))
