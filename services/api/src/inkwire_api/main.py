"""The api as a process: ``python -m inkwire_api.main``."""

from collections.abc import Sequence

from inkwire_api.app import running
from inkwire_api.settings import Settings
from inkwire_chassis.process import run_service
from inkwire_stores import StoreUnavailable

ABOUT = """\
Takes requests over HTTP: posts, conversations, documents, tokens; serves the page.

It writes jobs and wishes to NATS, reads log and store, and takes its settings from the environment (INKWIRE_API_*,
see .env.example); INKWIRE_JWT_KEYS is the only one that it cannot do without.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit code."""
    return run_service("api", Settings, running, about=ABOUT, argv=argv, unavailable=(StoreUnavailable,))


if __name__ == "__main__":
    raise SystemExit(main())
