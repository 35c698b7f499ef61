"""A period of time as a client writes it: from a moment on, before another one. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from inkwire_api.problems import Fault, refused
from inkwire_chassis.clock import rfc3339

MAX_TIME_CHARS = 40
HOW = "give a date (2026-11-21, its beginning in UTC) or a time with its zone (2026-11-21T09:00:00Z)"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since`` on, before ``until``; both in the form of every time of ours, ``None``: without an end there."""

    since: str | None
    until: str | None


def parse_period(since: str | None, until: str | None) -> Period:
    """The period between two query parameters, ``from`` and ``to``.

    Raises:
        InkwireError: ``invalid_request``: one is no time, or they are the wrong way round.
    """
    period = Period(_moment("from", since), _moment("to", until))
    if period.since is not None and period.until is not None and period.since >= period.until:
        raise refused("invalid_request", [Fault(parameter="to", detail="must be later than from")])
    return period


def _moment(parameter: str, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        if _DATE.fullmatch(value):
            return rfc3339(datetime.fromisoformat(value).replace(tzinfo=UTC))
        if _TIME.fullmatch(value):
            return rfc3339(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        pass
    raise refused("invalid_request", [Fault(parameter=parameter, detail=HOW)])
