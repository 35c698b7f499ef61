"""The outside of every service: settings, logs, life, and an end that one line explains."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from inkwire_chassis import logs
from inkwire_chassis.jetstream import BrokerError
from inkwire_chassis.lifecycle import Supervisor, run_process
from inkwire_chassis.provisioning import Drift
from inkwire_chassis.settings import (
    EX_CONFIG,
    EX_UNAVAILABLE,
    ServiceSettings,
    SettingsError,
    load_or_exit,
    unknown_names,
)

S = TypeVar("S", bound=ServiceSettings)

EXIT_CODES = """\
Exit codes: 0 ended as asked; 2 a wrong command line; 69 a server, file or port cannot be used; 70 a task of its
own died; 78 a setting is wrong. One line on stderr says which.
"""


def command_line(name: str, about: str, *, epilog: str = EXIT_CODES) -> argparse.ArgumentParser:
    """The parser of a service's command line, which has ``--help`` and no other option so far."""
    return argparse.ArgumentParser(
        prog=f"python -m inkwire_{name}.main",
        description=about,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def run_service(
    name: str,
    settings_class: type[S],
    running: Callable[[S, Supervisor], AbstractAsyncContextManager[Any]],
    *,
    about: str,
    argv: Sequence[str] | None = None,
    unavailable: tuple[type[Exception], ...] = (),
) -> int:
    """Run a service until SIGINT, SIGTERM or a dead task; returns the exit code.

    ``--help`` prints ``about``; anything else on the command line (``argv``, else the process's own) is refused. Both
    raise SystemExit. A wrong setting or a broker of another shape ends it with code 78, an unusable broker, file or
    port (and what ``unavailable`` names) with 69: one line on stderr, no stack trace.
    """
    command_line(name, about).parse_args(argv)
    return run_configured(name, load_or_exit(settings_class), running, unavailable=unavailable)


def run_configured(
    name: str,
    settings: S,
    running: Callable[[S, Supervisor], AbstractAsyncContextManager[Any]],
    *,
    unavailable: tuple[type[Exception], ...] = (),
    log_context: Mapping[str, Any] | None = None,
) -> int:
    """:func:`run_service` with settings that are loaded already; ``log_context`` stands on each line of the log."""
    logs.configure(name, form=settings.log_format, level=settings.log_level)
    logs.bind_contextvars(**(log_context or {}))
    for unknown, near in unknown_names(type(settings), os.environ):
        logs.get_logger().warning(
            "unknown setting, ignored", setting=unknown, **({"did_you_mean": near} if near else {})
        )
    unusable: tuple[type[Exception], ...] = (BrokerError, OSError, *unavailable)
    try:
        return run_process(lambda supervisor: running(settings, supervisor), stop_timeout_s=settings.stop_timeout_s)
    except (SettingsError, Drift) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return EX_CONFIG
    except unusable as error:
        sys.stderr.write(f"{name}: cannot start: {error}\n")
        return EX_UNAVAILABLE
