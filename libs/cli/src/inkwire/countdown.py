"""How long a run still waits for its provider, in words that change with the time."""

import math
from datetime import datetime, timedelta

from inkwire_contracts.errors import REASONS
from inkwire_contracts.fold import Snapshot

WAITING = "waiting_for_provider"


def countdown(snapshot: Snapshot, now: datetime) -> str | None:
    """The words for this moment, or ``None`` where nothing is waited for.

    The machine's clock may differ from the server's: never more than the whole wait is told.
    """
    if (retry := snapshot.retry) is not None:
        whole = timedelta(milliseconds=retry.delay_ms)
        reason = REASONS.get(retry.code, retry.code)
        return f"Retrying {_when(datetime.fromisoformat(retry.time) + whole, whole, now)} ({reason})"
    progress = snapshot.progress
    if snapshot.status != "generating" or progress.code != WAITING:
        return None
    try:
        end = datetime.fromisoformat(str(progress.params["until"]))
        whole = timedelta(seconds=float(progress.params["delay_s"]))
        return f"The model provider is asked {_when(end, whole, now)} (rate limited)"
    except (KeyError, TypeError, ValueError):
        return None  # of another version: its message says it, without counting


def _when(end: datetime, whole: timedelta, now: datetime) -> str:
    seconds = math.ceil(min(end - now, whole).total_seconds())
    return f"in {seconds} s" if seconds > 0 else "now"
