"""Lines with a coloured prefix for each program; plain where nobody looks at a terminal."""

import sys
import zlib

from rich.console import Console
from rich.text import Text

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
PREFIX_WIDTH = 12


class PrefixedTerminal:
    """Writes to stdout, one line at a time."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._quiet = quiet

    def line(self, program: str, text: str) -> None:
        """A line that a program wrote."""
        if not self._quiet:
            colour = COLOURS[zlib.crc32(program.encode()) % len(COLOURS)]
            self._console.print(Text(f"{program:<{PREFIX_WIDTH}}| ", style=colour), Text.from_ansi(text), sep="")

    def note(self, text: str) -> None:
        """A word from Inkwire itself."""
        self._console.print(Text(text, style="bold"))
