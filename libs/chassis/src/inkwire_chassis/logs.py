"""One log shape for all services: JSON for machines, a coloured line for people; post, attempt and seq on each."""

import logging
import re
import sys
from typing import Any, Literal

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

__all__ = ["bind_contextvars", "bound_contextvars", "configure", "get_logger"]

_REDACTED = frozenset({"token", "authorization", "api_key", "secret", "jwt"})


def _redact(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """No credential reaches a log, even when someone logs it by mistake."""
    for key in _REDACTED.intersection(event):
        event[key] = "***"
    return event


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _defuse(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What others chose (a path, a key) must not steer the terminal that shows the log."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
    return event


def configure(service: str, *, form: Literal["human", "json"] = "json", level: str = "info") -> None:
    """Set up structlog and the standard library's logging to write to stderr."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=28,
            exception_formatter=structlog.dev.plain_traceback,  # the default prints local variables, keys among them
        )
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
        *([_defuse] if form == "human" else []),
    ]
    numeric = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=max(numeric, logging.WARNING), force=True)
    structlog.contextvars.clear_contextvars()
    bind_contextvars(service=service)


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """The logger; bind ``post``, ``attempt`` and ``seq`` where they are known."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
