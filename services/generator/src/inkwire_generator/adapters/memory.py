"""How much memory this process holds, and the task that keeps it below a limit."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from inkwire_chassis.health import Health, Unready
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.logs import get_logger
from inkwire_chassis.settings import SettingsError
from inkwire_generator.adapters.worker import Worker
from inkwire_generator.memory import TAKE_RATIO, Action, decide

EX_TEMPFAIL: Final = 75
"""Exit code of a worker that ended because of its memory (sysexits.h): start it again."""

LOOK_INTERVAL_S: Final = 0.5
MIB: Final = 1024 * 1024
_STATM = Path("/proc/self/statm")


class MemoryLimitTooLow(SettingsError):
    """The process needs more before its first job than it may ever use."""


def resident_bytes() -> int:
    """Resident memory of this process; where the system does not tell (macOS), the most it ever was."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return 0  # not known: the limit has no effect there
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class MemoryWatch:
    """Looks often; acts by :func:`inkwire_generator.memory.decide`."""

    def __init__(self, limit_bytes: int, worker: Worker, health: Health, supervisor: Supervisor) -> None:
        """Raises MemoryLimitTooLow rather than start a worker that would end, start, and end again."""
        self._limit_bytes = limit_bytes
        self._worker = worker
        self._health = health
        self._supervisor = supervisor
        used_bytes = resident_bytes()
        if decide(used_bytes, limit_bytes, 0) is not Action.GO_ON:
            raise MemoryLimitTooLow(
                f"INKWIRE_GENERATOR_MEMORY_LIMIT_MIB: {limit_bytes // MIB} is too low: {used_bytes // MIB} MiB are in"
                f" use before the first job, so {int(used_bytes / TAKE_RATIO / MIB) + 1} is the least,"
                " and posts need some more"
            )

    async def watch(self) -> None:
        """Until the limit is reached, or the process stops."""
        over = False
        while not over:
            await asyncio.sleep(LOOK_INTERVAL_S)
            over = self._look()

    async def probe(self) -> None:
        """Readiness: raises Unready while no job is taken."""
        if not self._worker.takes_jobs:
            raise Unready(f"nearly full: no job is taken, {resident_bytes() // MIB} MiB are in use")

    def _look(self) -> bool:
        """One look; true if the process ends now."""
        used_bytes = resident_bytes()
        action = decide(used_bytes, self._limit_bytes, self._worker.active_count)
        takes = action is Action.GO_ON
        if takes is not self._worker.takes_jobs:
            get_logger().warning("memory", used_mib=used_bytes // MIB, limit_mib=self._limit_bytes // MIB, takes=takes)
        self._worker.take_jobs(takes)
        if action is not Action.HAND_OVER:
            return False
        reason = f"memory limit: {used_bytes // MIB} of {self._limit_bytes // MIB} MiB in use"
        self._health.draining_reason = reason
        self._health.draining = True
        self._worker.overloaded = True
        self._supervisor.request_stop(reason, EX_TEMPFAIL)
        return True
