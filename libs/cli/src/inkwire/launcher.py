"""Starts a table of programs in tiers, restarts what crashes, and stops everything in order. No containers needed."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from inkwire.exits import EX_CONFIG
from inkwire.network import Ready
from inkwire_chassis.lifecycle import cancel_and_wait, spawn
from inkwire_chassis.orphans import Warden, guarded

READY_POLL_S = 0.03
READY_AGAIN_POLL_S = 0.2
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 4.0
"""All tiers together; what still runs then is killed."""

TIER_SHARE = 0.7
"""What one tier may use of the time that is left, so that the broker too can end in order."""

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0
BACKOFF_FORGIVEN_S = 30.0
"""A process that ran this long starts with the first back-off again."""

MAX_FAILED_STARTS = 5
"""A program that ends by itself so often in a row before it is ready will not do better the next time."""

MAX_LINE_BYTES = 16 * 1024


class StartFailed(Exception):
    """A process did not become ready; the message is for people."""


@dataclass(frozen=True, slots=True)
class Program:
    """One row of the table. Programs of a lower ``stop_tier`` are stopped first.

    Lines that contain one of ``hidden`` are not shown: for a program that talks much and cannot be told to be quiet.
    """

    name: str
    argv: Sequence[str]
    ready: Ready
    stop_tier: int
    env: Mapping[str, str] = field(default_factory=dict)
    hidden: Sequence[str] = ()


class Terminal(Protocol):
    """Where lines go."""

    def line(self, program: str, text: str) -> None:
        """A line that a program wrote."""
        ...

    def note(self, text: str) -> None:
        """A word from the launcher itself."""
        ...


class Launcher:
    """Owns the child processes of one table."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._warden = Warden()
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._tiers: dict[str, int] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._given_up = asyncio.Event()
        self._reason = ""

    def pids(self) -> dict[str, int]:
        """The living children."""
        return {name: child.pid for name, child in self._children.items() if child.returncode is None}

    async def start(self, programs: Sequence[Program]) -> None:
        """Start programs side by side, wait until all are ready, and from then on start again what ends.

        Raises:
            StartFailed: one ended, or was not ready in time.
        """
        for program in programs:
            await self._spawn(program)
        await asyncio.gather(*(self._await_ready(program) for program in programs))
        self._watchers += [spawn(f"watch {program.name}", self._watch(program)) for program in programs]

    async def _spawn(self, program: Program) -> None:
        try:
            child = await asyncio.create_subprocess_exec(
                *guarded(program.argv),
                env=dict(program.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=MAX_LINE_BYTES,
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on, in order
            )
        except OSError as error:
            raise StartFailed(f"{program.name} cannot be started: {error.strerror}") from None
        self._children[program.name] = child
        self._tiers[program.name] = program.stop_tier
        self._warden.born(child.pid)
        self._readers[program.name] = spawn(f"read {program.name}", self._read(program, child))

    async def _read(self, program: Program, child: asyncio.subprocess.Process) -> None:
        stream = child.stdout
        if stream is None:
            raise RuntimeError("a child without a pipe")
        while True:
            try:
                raw = await stream.readline()
            except ValueError:
                self._terminal.line(program.name, "(a line too long to show)")
                continue
            if not raw:
                return
            text = raw.decode(errors="replace").rstrip()
            if not any(word in text for word in program.hidden):
                self._terminal.line(program.name, text)

    async def _await_ready(self, program: Program) -> None:
        child = self._children[program.name]
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not await program.ready():
                    if child.returncode is not None:
                        await self._last_words(program.name)
                        raise StartFailed(f"{program.name} ended ({_ending(child.returncode)}); its words are above")
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError:
            raise StartFailed(f"{program.name} was not ready within {READY_TIMEOUT_S:.0f} s") from None

    async def _last_words(self, name: str) -> None:
        """What it wrote before it ended is shown before we speak of it."""
        await asyncio.wait({self._readers[name]}, timeout=1.0)

    async def failure(self) -> None:
        """Wait until a program cannot be kept running.

        Raises:
            StartFailed: which one, and why.
        """
        await self._given_up.wait()
        raise StartFailed(self._reason)

    def _give_up(self, program: Program, reason: str) -> None:
        self._reason = self._reason or f"{program.name} {reason}; its words are above"
        self._given_up.set()

    async def _watch(self, program: Program) -> None:
        loop = asyncio.get_running_loop()
        backoff_s, failed_starts, again = BACKOFF_FIRST_S, 0, False
        while True:
            born_s = loop.time()
            code, was_ready = await self._life(program, self._children[program.name], again=again)
            failed_starts = 0 if was_ready else failed_starts + (code >= 0)
            if code == EX_CONFIG:
                return self._give_up(program, f"cannot work with its settings (exit code {code})")
            if failed_starts >= MAX_FAILED_STARTS:
                return self._give_up(program, f"ended {failed_starts} times before it was ready ({_ending(code)})")
            if loop.time() - born_s > BACKOFF_FORGIVEN_S:
                backoff_s = BACKOFF_FIRST_S
            self._terminal.note(f"{program.name} ended ({_ending(code)}); starting it again in {backoff_s:.1f} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
            await self._spawn_again(program)
            again = True

    async def _life(self, program: Program, child: asyncio.subprocess.Process, *, again: bool) -> tuple[int, bool]:
        """Wait until it has ended: its exit code, and whether it had been ready."""
        ready = spawn(f"ready {program.name}", self._until_ready(program, again=again))
        try:
            code = await child.wait()
            was_ready = ready.done()
        finally:
            await cancel_and_wait(ready)
        self._warden.gone(child.pid)
        await self._last_words(program.name)
        return code, was_ready

    async def _until_ready(self, program: Program, *, again: bool) -> None:
        ready = await program.ready()
        while not ready:
            await asyncio.sleep(READY_AGAIN_POLL_S)
            ready = await program.ready()
        if again:
            self._terminal.note(f"{program.name} is ready again")

    async def _spawn_again(self, program: Program) -> None:
        while True:
            try:
                return await self._spawn(program)
            except StartFailed as error:  # no memory or no process number at the moment
                self._terminal.note(f"{error}; trying again in {BACKOFF_MAX_S:.0f} s")
                await asyncio.sleep(BACKOFF_MAX_S)

    async def stop(self) -> None:
        """Stop all children, lowest ``stop_tier`` first; kill what is left at the deadline. Idempotent."""
        await cancel_and_wait(*self._watchers)
        deadline_s = asyncio.get_running_loop().time() + STOP_TIMEOUT_S
        for tier in sorted(set(self._tiers.values())):
            names = [name for name in self.pids() if self._tiers[name] == tier]
            left_s = max(0.1, deadline_s - asyncio.get_running_loop().time())
            await self._stop_tier(names, left_s * TIER_SHARE)
        await self._kill(list(self.pids()))
        await asyncio.gather(*(child.wait() for child in self._children.values()))
        await asyncio.wait(self._readers.values(), timeout=0.2) if self._readers else None
        await cancel_and_wait(*self._readers.values())
        self._warden.close()

    async def _stop_tier(self, names: Sequence[str], timeout_s: float) -> None:
        for name in names:
            with suppress(ProcessLookupError):
                self._children[name].terminate()
        waits = [spawn(f"end of {name}", self._children[name].wait()) for name in names]
        if waits:
            _, late = await asyncio.wait(waits, timeout=timeout_s)
            await cancel_and_wait(*late)
            await self._kill([name for name in names if name in self.pids()])

    async def _kill(self, names: Sequence[str]) -> None:
        for name in names:
            self._terminal.note(f"{name} did not stop in time; killing it")
            with suppress(ProcessLookupError):
                self._children[name].kill()

    def kill_all(self) -> None:
        """End everything at once, out of order: for somebody who asked twice."""
        for name in self.pids():
            with suppress(ProcessLookupError):
                self._children[name].kill()


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
