"""Lines with a coloured prefix for each program; plain where nobody looks at a terminal."""

import sys
import zlib

from rich.console import Console
from rich.text import Text

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
PREFIX_WIDTH = 12


class PrefixedTerminal:
    """Writes to stdout, one line at a time. When nobody reads any more it goes silent: programs must not block."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._silent = False

    def line(self, program: str, text: str) -> None:
        """A line that a program wrote."""
        colour = COLOURS[zlib.crc32(program.encode()) % len(COLOURS)]
        self._print(Text(f"{program:<{PREFIX_WIDTH}}| ", style=colour), Text.from_ansi(text))

    def note(self, text: str) -> None:
        """A word from Inkwire itself."""
        self._print(Text(text, style="bold"))

    def _print(self, *parts: Text) -> None:
        if self._silent:
            return
        try:
            self._console.print(*parts, sep="", markup=False)
        except OSError:  # the pipe was closed, or the terminal is gone
            self._silent = True
