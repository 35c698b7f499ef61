"""The persister as a process: ``python -m inkwire_persister.main``."""

from inkwire_chassis.process import run_service
from inkwire_persister.app import running
from inkwire_persister.settings import Settings
from inkwire_stores import StoreUnavailable


def main() -> int:
    """Run until a signal; returns the exit code."""
    return run_service("persister", Settings, running, unavailable=(StoreUnavailable,))


if __name__ == "__main__":
    raise SystemExit(main())
