"""The generator's process."""

import sys

from inkwire_chassis import logs
from inkwire_chassis.lifecycle import run_process
from inkwire_chassis.provisioning import Drift
from inkwire_chassis.settings import EX_CONFIG, load_or_exit
from inkwire_generator import app
from inkwire_generator.settings import GeneratorSettings


def main() -> int:
    """Run until SIGINT or SIGTERM; returns the exit code."""
    settings = load_or_exit(GeneratorSettings)
    logs.configure("generator", form=settings.log_format, level=settings.log_level)
    try:
        return run_process(lambda sup: app.running(settings, sup), stop_timeout_s=settings.stop_timeout_s)
    except (app.NoProvider, Drift) as error:
        sys.stderr.write(f"cannot start: {error}\n")
        return EX_CONFIG


if __name__ == "__main__":
    raise SystemExit(main())
