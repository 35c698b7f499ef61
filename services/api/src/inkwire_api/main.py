"""The api as a process: ``python -m inkwire_api.main``."""

from inkwire_api.app import running
from inkwire_api.settings import Settings
from inkwire_chassis.process import run_service
from inkwire_stores import StoreUnavailable


def main() -> int:
    """Run until a signal; returns the exit code."""
    return run_service("api", Settings, running, unavailable=(StoreUnavailable,))


if __name__ == "__main__":
    raise SystemExit(main())
