"""The gateway as a process: ``python -m inkwire_gateway.main``."""

from inkwire_chassis.process import run_service
from inkwire_gateway.app import running
from inkwire_gateway.settings import Settings
from inkwire_stores import StoreUnavailable


def main() -> int:
    """Run until a signal; returns the exit code."""
    return run_service("gateway", Settings, running, unavailable=(StoreUnavailable,))


if __name__ == "__main__":
    raise SystemExit(main())
