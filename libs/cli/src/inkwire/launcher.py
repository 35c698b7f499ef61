"""Starts a table of processes in tiers, watches them, restarts what crashes, and stops all in reverse order.

For a machine without containers. On Linux the kernel ends the children when the launcher dies, however it dies.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

READY_POLL_S = 0.03
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 4.0
"""All tiers together; what still runs then is killed."""

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0
BACKOFF_FORGIVEN_S = 30.0
"""A process that ran this long starts with the first back-off again."""

MAX_LINE_BYTES = 16 * 1024
_PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """A process did not become ready; the message is for people."""


Ready = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Program:
    """One row of the table. ``tier``: all of a lower tier are ready before it starts, and stop after it."""

    name: str
    argv: Sequence[str]
    tier: int
    ready: Ready
    env: Mapping[str, str] = field(default_factory=dict)


class Terminal(Protocol):
    """Where lines go."""

    def line(self, program: str, text: str) -> None:
        """A line that a program wrote."""
        ...

    def note(self, text: str) -> None:
        """A word from the launcher itself."""
        ...


def _die_with_parent() -> None:
    """Runs in the child before exec: the kernel sends SIGKILL when the launcher's thread is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Launcher:
    """Owns the child processes of one table."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._watchers: list[tuple[int, asyncio.Task[None]]] = []
        self._stopping = False

    def pids(self) -> dict[str, int]:
        """The living children."""
        return {name: child.pid for name, child in self._children.items() if child.returncode is None}

    async def start_tier(self, programs: Sequence[Program]) -> None:
        """Start programs side by side and wait until all are ready.

        Raises:
            StartFailed: one ended, or was not ready in time.
        """
        for program in programs:
            await self._spawn(program)
        await asyncio.gather(*(self._await_ready(program) for program in programs))
        for program in programs:
            watcher = asyncio.create_task(self._watch(program), name=f"watch {program.name}")
            self._watchers.append((program.tier, watcher))

    async def _spawn(self, program: Program) -> None:
        child = await asyncio.create_subprocess_exec(
            *program.argv,
            env=dict(program.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # the terminal's Ctrl-C is ours to pass on, in order
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self._children[program.name] = child
        reader = asyncio.create_task(self._read(program.name, child), name=f"read {program.name}")
        reader.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _read(self, name: str, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None  # noqa: S101 - asked for above
        while True:
            try:
                raw = await child.stdout.readline()
            except ValueError:
                self._terminal.line(name, "(a line too long to show)")
                continue
            if not raw:
                return
            self._terminal.line(name, raw.decode(errors="replace").rstrip())

    async def _await_ready(self, program: Program) -> None:
        child = self._children[program.name]
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not await program.ready():
                    if child.returncode is not None:
                        raise StartFailed(f"{program.name} ended with code {child.returncode}; its words are above")
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError:
            raise StartFailed(f"{program.name} was not ready within {READY_TIMEOUT_S:.0f} s") from None

    async def _watch(self, program: Program) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = BACKOFF_FIRST_S
        while True:
            born = loop.time()
            code = await self._children[program.name].wait()
            if self._stopping:
                return
            if loop.time() - born > BACKOFF_FORGIVEN_S:
                backoff_s = BACKOFF_FIRST_S
            self._terminal.note(f"{program.name} ended ({_ending(code)}); starting it again in {backoff_s:.1f} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
            await self._spawn(program)

    async def stop(self, tiers: Mapping[str, int]) -> None:
        """Stop all children, highest tier first; kill what is left at the deadline. Idempotent."""
        self._stopping = True
        for _, watcher in self._watchers:
            watcher.cancel()
        deadline = asyncio.get_running_loop().time() + STOP_TIMEOUT_S
        for tier in sorted(set(tiers.values()), reverse=True):
            names = [name for name in self.pids() if tiers.get(name) == tier]
            for name in names:
                with suppress(ProcessLookupError):
                    self._children[name].terminate()
            left_s = max(0.1, deadline - asyncio.get_running_loop().time())
            waits = [asyncio.create_task(self._children[name].wait()) for name in names]
            if waits:
                await asyncio.wait(waits, timeout=left_s)
        await self._kill_rest()

    async def _kill_rest(self) -> None:
        for name in self.pids():
            self._terminal.note(f"{name} did not stop in time; killing it")
            with suppress(ProcessLookupError):
                self._children[name].kill()
        await asyncio.gather(*(child.wait() for child in self._children.values()))


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def base_environment() -> dict[str, str]:
    """What every child may see of our environment: how to run, and no secret."""
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR", "SYSTEMROOT")
    return {name: os.environ[name] for name in keep if name in os.environ}
