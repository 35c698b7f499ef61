"""What the worker process does to itself before it looks at a file: whatever a parser is made to do stays small.

No more than so much memory, processor time and wall time; no file, socket or process that is not open already; no core
dump; no life after its parent. Each where the platform has it: Linux all of it, macOS all but the bound on memory and
the end with the parent, Windows the wall time only, which the parent keeps.
"""

import contextlib
import ctypes
import os
import signal
import sys

from inkwire_documents.limits import Limits

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def limit_resources(limits: Limits) -> None:
    """Memory, processor time and wall time; to be called before any parser is loaded."""
    if sys.platform == "win32":
        return
    import resource

    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_CPU, limits.cpu_s)
    _lower(resource.RLIMIT_CORE, 0)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)  # the parent's own clock comes first, if it still lives
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def close_doors() -> None:
    """No new descriptor and no new process from here on; to be called once everything is loaded."""
    if sys.platform == "win32":
        return
    import resource

    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    _lower(resource.RLIMIT_NOFILE, lowest_free)
    _lower(resource.RLIMIT_NPROC, 0)
    _lower(resource.RLIMIT_FSIZE, 0)


def _lower(which: int, value: int) -> None:
    """Soft and hard limit down to value; one that is lower already stays, one that the platform refuses, too."""
    import resource

    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (value, value))
