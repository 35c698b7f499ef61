"""The gateway as a process."""

import sys

from inkwire_chassis import logs
from inkwire_chassis.jetstream import BrokerError
from inkwire_chassis.lifecycle import run_process
from inkwire_chassis.provisioning import Drift
from inkwire_chassis.settings import EX_CONFIG, load_or_exit
from inkwire_gateway.app import SERVICE, running
from inkwire_gateway.settings import Settings
from inkwire_stores import StoreUnavailable

EX_UNAVAILABLE = 69
"""A server, file or port that this process needs cannot be used (sysexits.h)."""


def main() -> int:
    """Run until a signal; returns the exit code."""
    settings = load_or_exit(Settings)
    logs.configure(SERVICE, form=settings.log_format, level=settings.log_level)
    try:
        return run_process(lambda supervisor: running(settings, supervisor), stop_timeout_s=settings.stop_timeout_s)
    except Drift as error:
        sys.stderr.write(f"gateway: {error}\n")
        return EX_CONFIG
    except (BrokerError, StoreUnavailable, OSError) as error:
        sys.stderr.write(f"gateway: cannot start: {error}\n")
        return EX_UNAVAILABLE


if __name__ == "__main__":
    raise SystemExit(main())
