"""What a provider's rate-limit headers say, in numbers. Pure; absent and unreadable are the same."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


@dataclass(frozen=True, slots=True)
class Reading:
    """One of the two limits: ``limit`` in all, ``remaining`` now, and ``reset_s`` until all of it is there again."""

    limit: float
    remaining: float
    reset_s: float


def read(headers: Mapping[str, str]) -> tuple[Reading | None, Reading | None]:
    """Requests and tokens, each ``None`` where the headers do not say enough."""
    return _reading(headers, "requests"), _reading(headers, "tokens")


def _reading(headers: Mapping[str, str], name: str) -> Reading | None:
    limit = _number(headers.get(f"x-ratelimit-limit-{name}"))
    remaining = _number(headers.get(f"x-ratelimit-remaining-{name}"))
    reset_s = duration_s(headers.get(f"x-ratelimit-reset-{name}"))
    if not limit or remaining is None or reset_s is None:
        return None
    return Reading(limit, min(remaining, limit), reset_s)


def duration_s(text: str | None) -> float | None:
    """Seconds of ``6m0s``, ``1.5s``, ``20ms`` or a bare number of seconds; ``None`` for anything else."""
    if not text:
        return None
    if (number := _number(text)) is not None:
        return number
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3_600 + minutes * 60 + seconds + milliseconds / 1_000


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None
