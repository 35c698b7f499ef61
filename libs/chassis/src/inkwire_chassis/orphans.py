"""No child outlives the process that started it, not even one that was killed with SIGKILL.

On Linux the kernel sees to it: a short Python sets PR_SET_PDEATHSIG and becomes the program (the setting survives
exec; a hook between fork and exec would not be safe beside threads). Elsewhere one small process, the warden, is told
of each child through a pipe, and ends them when the pipe closes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

_GUARD = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this is gone")
try:
    os.execvpe(sys.argv[2], sys.argv[2:], os.environ)
except OSError as error:
    sys.exit(f"cannot start {sys.argv[2]}: {error.strerror}")
"""

_WARDEN = """
import os, signal, sys
alive = set()
for line in sys.stdin:
    (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
for pid in alive:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""

KERNEL_GUARDS = sys.platform == "linux"


def guarded(argv: Sequence[str]) -> list[str]:
    """The command line that makes the program die with this process, where the kernel can do that."""
    if not KERNEL_GUARDS:
        return list(argv)
    return [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *argv]


class Warden:
    """Ends the children it was told of once this process is gone. Does nothing where the kernel does it."""

    def __init__(self, *, needed: bool = not KERNEL_GUARDS) -> None:
        self._process: subprocess.Popen[str] | None = None
        if needed and os.name == "posix":
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _WARDEN],
                stdin=subprocess.PIPE,
                start_new_session=True,
                text=True,
            )

    def born(self, pid: int) -> None:
        """A child to end."""
        self._tell(f"+{pid}\n")

    def gone(self, pid: int) -> None:
        """It has ended and was reaped; its number may be somebody else's soon."""
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def close(self) -> None:
        """No child is left."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            if self._process.stdin is not None:
                with suppress(BrokenPipeError):
                    self._process.stdin.close()
