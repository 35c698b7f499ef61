"""The generator as a process: ``python -m inkwire_generator.main``."""

from inkwire_chassis.process import run_service
from inkwire_generator.app import running
from inkwire_generator.settings import GeneratorSettings
from inkwire_stores import StoreUnavailable


def main() -> int:
    """Run until a signal; returns the exit code."""
    return run_service("generator", GeneratorSettings, running, unavailable=(StoreUnavailable,))


if __name__ == "__main__":
    raise SystemExit(main())
