"""The gateway as a process: ``python -m inkwire_gateway.main``."""

import argparse
from collections.abc import Sequence

from inkwire_chassis.machine import usable_cores
from inkwire_chassis.settings import load_or_exit
from inkwire_gateway.settings import MAX_WORKERS, Settings

HELP = """\
Carries live posts and conversations to browsers over WebSocket.

It reads NATS and the store and takes its settings from the environment (INKWIRE_GATEWAY_*, see .env.example);
INKWIRE_JWT_KEYS is the only one that it cannot do without.
"""
EPILOG = """\
One worker uses one core and is this process itself. With more, this process only starts and watches them:
it starts again who dies, and SIGTERM lets all of them move their readers on and end together; a second
SIGTERM ends them at once. On Linux all listen on the same port and the kernel spreads the connections;
elsewhere worker n listens on port + n - 1, and the proxy needs to know all of them. Limits, such as
INKWIRE_GATEWAY_MAX_CONNECTIONS, count for each worker.

Examples:
  python -m inkwire_gateway.main
  python -m inkwire_gateway.main --workers 4
  INKWIRE_GATEWAY_PORT=9000 python -m inkwire_gateway.main --workers auto

Exit codes: 0 ended as asked; 2 a wrong command line; 69 a server, file or port cannot be used; 70 a task of its
own died; 78 a setting is wrong. One line on stderr says which.
"""


def _worker_count(text: str) -> int:
    number = 0 if text == "auto" else int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 to {MAX_WORKERS}, or auto")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inkwire_gateway.main",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--workers",
        type=_worker_count,
        metavar="N",
        help="processes behind one port; auto or 0: one for each core that may be used here "
        "(default: INKWIRE_GATEWAY_WORKERS, else 1)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit code."""
    chosen = _parser().parse_args(argv).workers
    settings = load_or_exit(Settings, **({} if chosen is None else {"workers": chosen}))
    count = settings.workers or min(usable_cores(), MAX_WORKERS)
    if count > 1:
        from inkwire_gateway.adapters.workers import run_group  # a parent needs nothing of what its workers need

        return run_group(settings, count)
    from inkwire_chassis.process import run_configured
    from inkwire_gateway.app import process
    from inkwire_stores import StoreUnavailable

    log_context = {"worker": settings.worker} if settings.worker else None
    return run_configured("gateway", settings, process, unavailable=(StoreUnavailable,), log_context=log_context)


if __name__ == "__main__":
    raise SystemExit(main())
