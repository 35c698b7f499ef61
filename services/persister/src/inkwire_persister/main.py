"""The persister as a process: ``python -m inkwire_persister.main``."""

from collections.abc import Sequence

from inkwire_chassis.process import run_service
from inkwire_persister.app import running
from inkwire_persister.settings import Settings
from inkwire_stores import StoreUnavailable

ABOUT = """\
Stores what the log tells of posts and conversations, and purges from the log what is stored.

It takes its settings from the environment (INKWIRE_PERSISTER_*, INKWIRE_STORE_URL; see .env.example). Several may run.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit code."""
    return run_service("persister", Settings, running, about=ABOUT, argv=argv, unavailable=(StoreUnavailable,))


if __name__ == "__main__":
    raise SystemExit(main())
