"""The generator as a process: ``python -m inkwire_generator.main``."""

import gc
from collections.abc import Sequence
from typing import Final

from inkwire_chassis.process import run_service
from inkwire_generator.app import running
from inkwire_generator.settings import GeneratorSettings
from inkwire_stores import StoreUnavailable

GC_THRESHOLDS: Final = (20_000, 20, 20)
"""Of the garbage collector's generations. With Python's own (700, 10, 10) a fifth of a busy worker's time goes into
looking for cycles in the state of hundreds of posts, and its full collections stop all of them for a while."""


ABOUT = """\
Writes posts: takes jobs from NATS, asks the model's provider, and writes what it answers to the log.

It takes its settings from the environment (INKWIRE_GENERATOR_* and OPENAI_*, see .env.example); without OPENAI_API_KEY
it needs an OPENAI_BASE_URL. As many as you like may run; 75 as its exit code says that its memory was full.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit code."""
    gc.set_threshold(*GC_THRESHOLDS)
    unavailable = (StoreUnavailable,)
    return run_service("generator", GeneratorSettings, running, about=ABOUT, argv=argv, unavailable=unavailable)


if __name__ == "__main__":
    raise SystemExit(main())
