"""The generator as a process: ``python -m inkwire_generator.main``."""

import gc
from typing import Final

from inkwire_chassis.process import run_service
from inkwire_generator.app import running
from inkwire_generator.settings import GeneratorSettings
from inkwire_stores import StoreUnavailable

GC_THRESHOLDS: Final = (20_000, 20, 20)
"""Of the garbage collector's generations. With Python's own (700, 10, 10) a fifth of a busy worker's time goes into
looking for cycles in the state of hundreds of posts, and its full collections stop all of them for a while."""


def main() -> int:
    """Run until a signal; returns the exit code."""
    gc.set_threshold(*GC_THRESHOLDS)
    return run_service("generator", GeneratorSettings, running, unavailable=(StoreUnavailable,))


if __name__ == "__main__":
    raise SystemExit(main())
