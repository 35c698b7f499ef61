"""The parent of a group of workers: starts them, starts again who dies, ends all together. It serves nobody itself."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

from inkwire_chassis import logs
from inkwire_chassis.lifecycle import Supervisor, cancel_and_wait, run_process, spawn
from inkwire_chassis.logs import get_logger
from inkwire_chassis.machine import SHARES_PORTS, reserved_port
from inkwire_chassis.orphans import Warden, guarded
from inkwire_chassis.settings import EX_CONFIG, EX_UNAVAILABLE
from inkwire_gateway.settings import MAX_PORT, Settings
from inkwire_gateway.workers import GiveUp, Group, Start

COMMAND = (sys.executable, "-m", "inkwire_gateway.main", "--workers", "1")
READY_WORD = b"ready"
"""What a worker writes to its standard output, which is for nothing else, once it serves."""

END_GRACE_S = 0.5
"""How much longer than its own deadline a worker may take to be gone; then it is killed."""

NOT_STARTED = -1


class Workers:
    """The processes of one group."""

    def __init__(self, environments: Mapping[int, Mapping[str, str]], *, stop_timeout_s: float) -> None:
        self._environments = environments
        self._stop_timeout_s = stop_timeout_s
        self._group = Group(len(environments), hopeless_codes={EX_CONFIG})
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._asked = False
        self._announced = False

    @asynccontextmanager
    async def running(self, supervisor: Supervisor) -> AsyncIterator[None]:
        """The group while it serves."""
        self._catch_signals(supervisor)
        warden = Warden()
        keepers = [
            supervisor.spawn(f"worker {first.worker}", self._keep(first, supervisor, warden))
            for first in self._group.begin()
        ]
        try:
            yield
        finally:
            await self._stop(keepers)
            warden.close()

    def _catch_signals(self, supervisor: Supervisor) -> None:
        def caught(name: str) -> None:
            if self._asked:
                get_logger().warning("asked twice; killing the workers")
                self._signal_all(signal.SIGKILL)
            self._asked = True
            supervisor.request_stop(name)

        for signum in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # a loop without signals, as on Windows
                asyncio.get_running_loop().add_signal_handler(signum, caught, signum.name)

    async def _keep(self, first: Start, supervisor: Supervisor, warden: Warden) -> None:
        step: Start | GiveUp | None = first
        while isinstance(step, Start) and not await self._stopping_within(step.after_s):
            step = await self._life(step.worker, warden)
        if isinstance(step, GiveUp):
            get_logger().error("giving up", reason=step.reason, exit_code=step.code)
            supervisor.request_stop(step.reason, step.code)

    async def _stopping_within(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), timeout_s)
        return self._stopping.is_set()

    async def _life(self, worker: int, warden: Warden) -> Start | GiveUp | None:
        """One process of this worker, from its start to its end; what is to be done then."""
        now_s = asyncio.get_running_loop().time
        self._group.born(worker, now_s())
        try:
            child = await asyncio.create_subprocess_exec(
                *guarded(COMMAND),
                env=self._environments[worker],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on
            )
        except OSError as error:  # no memory or no process number at the moment
            get_logger().error("worker cannot be started", number=worker, error=str(error))
            return self._group.ended(worker, NOT_STARTED, now_s())
        warden.born(child.pid)
        self._children[worker] = child
        get_logger().info("worker started", number=worker, pid=child.pid)
        if self._stopping.is_set():
            _signal(child, signal.SIGTERM)
        listener = spawn(f"listen to worker {worker}", self._listen(worker, child))
        code = await child.wait()
        await cancel_and_wait(listener)
        del self._children[worker]
        warden.gone(child.pid)
        step = self._group.ended(worker, code, now_s())
        if isinstance(step, Start):
            log, event = get_logger(), "worker cannot start" if step.failed else "worker ended"
            (log.error if step.failed else log.warning)(event, number=worker, exit_code=code, again_in_s=step.after_s)
        return step

    async def _listen(self, worker: int, child: asyncio.subprocess.Process) -> None:
        if child.stdout is None:
            raise RuntimeError("a worker without a pipe")
        if (await child.stdout.read(len(READY_WORD))) == READY_WORD:
            self._group.ready(worker)
            if self._group.complete and not self._announced:
                self._announced = True
                get_logger().info("all workers are ready", workers=len(self._environments))
        while await child.stdout.read(4096):
            pass  # nobody's words, but a full pipe would stop it

    async def _stop(self, keepers: list[asyncio.Task[None]]) -> None:
        """Ask all at once, kill who is late."""
        self._group.stop()
        self._stopping.set()
        self._signal_all(signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=self._stop_timeout_s + END_GRACE_S)
        if late:
            get_logger().warning("workers did not stop in time; killing them", workers=sorted(self._children))
            self._signal_all(signal.SIGKILL)
            await asyncio.wait(late)

    def _signal_all(self, signum: signal.Signals) -> None:
        for child in self._children.values():
            _signal(child, signum)


def _signal(child: asyncio.subprocess.Process, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        child.send_signal(signum)


@contextmanager
def _environments(settings: Settings, count: int) -> Iterator[dict[int, dict[str, str]]]:
    """What each worker is told beside what we were told; while it lasts the shared port is ours.

    Raises:
        OSError: the shared port is taken.
    """
    if settings.worker_ports == "own":
        yield {n: _environment(n, settings, _nth(settings.port, n), "own") for n in range(1, count + 1)}
        return
    with reserved_port(settings.host, settings.port) as port:
        yield {n: _environment(n, settings, port, "shared") for n in range(1, count + 1)}


def _environment(worker: int, settings: Settings, port: int, ports: str) -> dict[str, str]:
    prefix = settings.model_config["env_prefix"]
    told = {"WORKER": worker, "WORKER_PORTS": ports, "PORT": port, "ADMIN_PORT": _nth(settings.admin_port, worker)}
    return {**os.environ, **{f"{prefix}{name}": str(value) for name, value in told.items()}}


def _nth(port: int, worker: int) -> int:
    """The worker's own port; 0 stays 0."""
    return port + worker - 1 if port else 0


def run_group(settings: Settings, count: int) -> int:
    """Run so many workers until SIGINT, SIGTERM or until they cannot be kept running; returns the exit code.

    A taken port ends it with 69 and one line, as it does a single gateway.
    """
    logs.configure("gateway", form=settings.log_format, level=settings.log_level)
    if settings.worker_ports == "auto":
        settings = settings.model_copy(update={"worker_ports": "shared" if SHARES_PORTS else "own"})
    several = {"ADMIN_PORT": settings.admin_port, "PORT": settings.port if settings.worker_ports == "own" else 0}
    for name, first in several.items():
        if first + count - 1 > MAX_PORT:
            return _refuse(EX_CONFIG, f"INKWIRE_GATEWAY_{name}: {count} ports from {first} on go beyond {MAX_PORT}")
    try:
        with _environments(settings, count) as environments:
            timeout_s = settings.stop_timeout_s
            return run_process(
                lambda supervisor: Workers(environments, stop_timeout_s=timeout_s).running(supervisor),
                stop_timeout_s=timeout_s + 2 * END_GRACE_S,
            )
    except OSError as error:
        return _refuse(EX_UNAVAILABLE, f"cannot start: {error}")


def _refuse(code: int, reason: str) -> int:
    sys.stderr.write(f"gateway: {reason}\n")
    return code
