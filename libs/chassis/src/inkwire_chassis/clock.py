"""The one place that reads clocks and draws random ids; pure code takes what it needs as arguments."""

import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

from inkwire_contracts.ids import encode_id


class Clock(Protocol):
    """Wall time for records, monotonic time for durations."""

    def now(self) -> datetime:
        """Aware wall time in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """See :class:`Clock`."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """See :class:`Clock`."""
        return time.monotonic()


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and Z, the form of every time in events and answers."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id() -> str:
    """A fresh opaque id of 26 characters."""
    return encode_id(secrets.token_bytes(17))
