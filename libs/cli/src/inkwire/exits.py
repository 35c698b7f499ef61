"""How commands end: exit codes (sysexits.h, and the shell's 130), and one line for what went wrong."""

import os
import sys
from typing import NoReturn

EX_OK = 0
EX_FAILED = 1
"""It was done, and the answer is no: the post failed, a check did not pass."""
EX_USAGE = 64
EX_DATA = 65
"""What came is not what was promised: a digest that does not match."""
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_WAITING = 75
"""Not done yet: the post waits for its author."""
EX_NO_PERMISSION = 77
EX_CONFIG = 78
EX_INTERRUPTED = 130
EX_PIPE = 141
"""Nobody reads our output any more: as if SIGPIPE had ended us, which `head` and shells expect."""


class CommandError(Exception):
    """An expected end of a command; the message is one line for people and says what to do."""

    def __init__(self, message: str, code: int = EX_FAILED) -> None:
        self.code = code
        super().__init__(message)


def program() -> str:
    """This program as the person at hand starts it: `./run` of a checkout says so, else `inkwire`."""
    return os.environ.get("INKWIRE_PROGRAM") or "inkwire"


def complain(message: str) -> None:
    """One line to stderr."""
    sys.stderr.write(f"inkwire: {message}\n")
    sys.stderr.flush()


def fail(message: str, code: int = EX_FAILED) -> NoReturn:
    """End the command.

    Raises:
        CommandError: always.
    """
    raise CommandError(message, code)
