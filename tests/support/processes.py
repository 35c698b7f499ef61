"""Child processes of a test: started with a known environment, read, stopped or killed, never left behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Final, Self

from tests.support.wait import eventually_sync, scaled_s

LOG_LINES: Final = 5_000  # kept for each process; older lines are dropped
STOP_TIMEOUT_S: Final = 30.0
READY_TIMEOUT_S: Final = 60.0
HTTP_TIMEOUT_S: Final = 5.0
READ_OUT_S: Final = 2.0  # for the rest of an ended process's log

# Handed on from the developer's own environment; everything else a child sees is named by the test.
INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR")

# PR_SET_PDEATHSIG survives exec, so a short Python stands before the real program. It beats preexec_fn, which is
# unsafe and warns as soon as the test run has threads.
_GUARD: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the test run is gone")
try:
    os.execvpe(sys.argv[2], sys.argv[2:], os.environ)
except OSError as error:
    sys.exit(f"cannot start {sys.argv[2]}: {error.strerror}")
"""


def guarded(argv: Sequence[str]) -> list[str]:
    """`argv` so started that Linux kills it when the thread that starts it ends; unchanged elsewhere."""
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *argv]


def base_environment() -> dict[str, str]:
    """The few inherited variables, without any setting or key of the person who runs the tests."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


class ManagedProcess:
    """One child process with its log.

    Start it from the main thread: on Linux the child is killed when the thread that started it ends.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self._env = {**base_environment(), **(env or {})}
        self._cwd = cwd
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._starts = 0
        self._read_out = False
        """Whether the end of the log was waited for since the last start."""

    @property
    def environment(self) -> dict[str, str]:
        """What it is started with."""
        return dict(self._env)

    @property
    def pid(self) -> int:
        """Process id of the current or the last start."""
        return self._started.pid

    @property
    def running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._started.poll()

    @property
    def lines(self) -> list[str]:
        """What was printed to both outputs, oldest first, at most the last LOG_LINES, over all starts.

        All of it once the process has ended: its last words may still be on their way to us then.
        """
        if self._process is not None and not self.running and not self._read_out:
            self._join_reader()
        return list(self._log)

    @property
    def log(self) -> str:
        """`lines` as one text."""
        return "\n".join(self.lines)

    def start(self) -> Self:
        """Start it; return at once. Raises RuntimeError if it runs already."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        self._starts += 1
        self._read_out = False
        self._process = subprocess.Popen(
            guarded(self.argv),
            env=self._env,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(
            target=self._read, args=(self._process,), name=f"log of {self.name}", daemon=True
        )
        self._reader.start()
        return self

    def wait_line(self, pattern: str, *, timeout_s: float = READY_TIMEOUT_S) -> re.Match[str]:
        """Wait for a printed line that `pattern` (searched) fits, and return the match of the newest such line."""

        def newest() -> re.Match[str] | None:
            found = (re.search(pattern, line) for line in reversed(self.lines))
            match = next((match for match in found if match), None)
            if match is None:
                self.assert_running()
            return match

        return eventually_sync(newest, what=f"{self.name} prints {pattern!r}", timeout_s=timeout_s)

    def assert_running(self) -> None:
        """Raises ProcessEnded, with the end of its log, if it has ended."""
        if not self.running:
            self._join_reader()
            raise ProcessEnded(f"{self.name} ended with {self.returncode}:\n{self.tail()}")

    def term(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM, then wait; return the exit status. Raises AssertionError (and kills) if it does not end in time."""
        process = self._started
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(scaled_s(timeout_s))
            except subprocess.TimeoutExpired:
                self.kill9()
                raise AssertionError(f"{self.name} still ran {timeout_s:g} s after SIGTERM:\n{self.tail()}") from None
        self._join_reader()
        return process.wait()

    def kill9(self) -> None:
        """SIGKILL and reap; nothing happens if it has ended or was never started."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._join_reader()

    def pause(self) -> None:
        """SIGSTOP: it keeps its sockets and does nothing."""
        self._started.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._started.send_signal(signal.SIGCONT)

    def assert_clean_exit(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM; raises AssertionError unless it ends in time, with status 0 and without a traceback in its log."""
        status = self.term(timeout_s=timeout_s)
        assert status == 0, f"{self.name} ended with {status}:\n{self.tail()}"
        assert "Traceback (most recent call last)" not in self.log, f"{self.name} printed a traceback:\n{self.tail()}"

    def tail(self, count: int = 40) -> str:
        """The last `count` lines of the log."""
        return "\n".join(f"  {self.name} | {line}" for line in self.lines[-count:])

    @property
    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._log.append(line.rstrip("\n"))

    def _join_reader(self) -> None:
        # Bounded, and once: a grandchild that inherited the pipe could keep it open.
        self._read_out = True
        if self._reader is not None:
            self._reader.join(scaled_s(READ_OUT_S))


class ProcessEnded(RuntimeError):
    """A process ended while somebody waited for it; not an AssertionError, so that waiting stops at once."""


class ServiceProcess(ManagedProcess):
    """One of our services as a process, ready when its readiness URL answers 200."""

    def __init__(
        self,
        name: str,
        *,
        env: Mapping[str, str],
        ready_url: str,
        argv: Sequence[str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """`name` such as "api" starts `python -m inkwire_api.main` unless `argv` is given."""
        program = argv if argv is not None else [sys.executable, "-m", f"inkwire_{name}.main"]
        super().__init__(name, program, env={"PYTHONUNBUFFERED": "1", **env}, cwd=cwd)
        self.ready_url = ready_url

    def wait_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Wait until the readiness URL answers 200. Raises ProcessEnded if the process ends, AssertionError if late."""
        last = "nothing"

        def ready() -> bool:
            nonlocal last
            self.assert_running()
            status, last = http_status(self.ready_url)
            assert status == 200, f"{self.ready_url} answers {status}: {last}\n{self.tail()}"
            return True

        eventually_sync(ready, what=f"{self.name} is ready", timeout_s=timeout_s)
        return self

    async def ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """`wait_ready` without blocking the event loop."""
        return await asyncio.to_thread(self.wait_ready, timeout_s=timeout_s)

    async def terminated(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """`term` without blocking the event loop."""
        return await asyncio.to_thread(self.term, timeout_s=timeout_s)


def http_status(url: str, *, most_bytes: int = 2_000) -> tuple[int, str]:
    """Status and first `most_bytes` of the body of one GET; status 0 and the reason where nothing answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=scaled_s(HTTP_TIMEOUT_S)) as answer:
            return answer.status, answer.read(most_bytes).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _read(error, most_bytes)
    except (OSError, ValueError, HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"


def _read(error: urllib.error.HTTPError, most_bytes: int) -> str:
    try:
        return error.read(most_bytes).decode("utf-8", "replace")
    except (OSError, HTTPException) as broken:  # killed while it answered
        return f"{type(broken).__name__}: {broken}"


def process_exists(pid: int) -> bool:
    """Whether a process with this id exists and is not a zombie (Linux) that only waits to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    if not status.exists():
        return sys.platform != "linux"
    return status.read_text().rpartition(")")[2].split()[0] != "Z"
