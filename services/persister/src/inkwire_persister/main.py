"""The persister's process: ``python -m inkwire_persister.main``."""

import sys

from inkwire_chassis import logs
from inkwire_chassis.lifecycle import run_process
from inkwire_chassis.provisioning import Drift
from inkwire_chassis.settings import EX_CONFIG, load_or_exit
from inkwire_persister.app import running
from inkwire_persister.settings import Settings
from inkwire_stores import StoreUnavailable

EX_UNAVAILABLE = 69
"""A server or file that this process needs cannot be used (sysexits.h)."""


def main() -> int:
    """Run until SIGINT or SIGTERM; returns the exit code."""
    settings = load_or_exit(Settings)
    logs.configure("persister", form=settings.log_format, level=settings.log_level)
    try:
        return run_process(lambda sup: running(settings, sup), stop_timeout_s=settings.stop_timeout_s)
    except Drift as error:
        sys.stderr.write(f"persister: {error}\n")
        return EX_CONFIG
    except (StoreUnavailable, OSError) as error:
        sys.stderr.write(f"persister: cannot start: {error}\n")
        return EX_UNAVAILABLE


if __name__ == "__main__":
    raise SystemExit(main())
