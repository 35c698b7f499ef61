"""The gateway as a process."""

from inkwire_chassis import logs
from inkwire_chassis.lifecycle import run_process
from inkwire_chassis.settings import load_or_exit
from inkwire_gateway.app import SERVICE, running
from inkwire_gateway.settings import Settings


def main() -> int:
    """Run until a signal; returns the exit code."""
    settings = load_or_exit(Settings)
    logs.configure(SERVICE, form=settings.log_format, level=settings.log_level)
    return run_process(lambda supervisor: running(settings, supervisor), stop_timeout_s=settings.stop_timeout_s)


if __name__ == "__main__":
    raise SystemExit(main())
