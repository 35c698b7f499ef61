"""How long a reader waits after a worker was killed: pure, from what the matrix recorded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from inkwire_contracts.events import TERMINAL_TYPES
from tests.chaos.cluster import Done
from tests.chaos.oracle import PostEvidence

DISTURBING = ("generator", "gateway", "nats")
"""Faults of these between a kill and the next text make the wait longer by themselves."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """One post whose worker was killed, until a steady reader saw the next worker's first text."""

    post: str
    killed_at_s: float
    seconds: float
    alone: bool
    """No other fault that could delay it happened meanwhile."""


def recoveries(posts: Sequence[PostEvidence], done: Sequence[Done]) -> list[Recovery]:
    """One for each kill of a worker and each post that it was writing."""
    found = []
    for kill in done:
        if kill.fault.kind != "kill" or not kill.fault.target.startswith("generator"):
            continue
        for post in posts:
            seen_s = _next_text_s(post, kill)
            if seen_s is not None:
                alone = not any(_overlaps(other, kill.began_s, seen_s) for other in done if other is not kill)
                found.append(Recovery(post.post, kill.began_s, seen_s - kill.began_s, alone))
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed (nearest rank); NaN for none."""
    ordered = sorted(values)
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1] if ordered else math.nan


def _next_text_s(post: PostEvidence, kill: Done) -> float | None:
    before = [stored for stored in post.log if _unix_s(stored.event.time) <= kill.began_s]
    if not before or any(stored.event.type in TERMINAL_TYPES for stored in before):
        return None
    last = before[-1]
    holder = {claim.attempt: claim.holder for claim in post.claims}
    if holder.get(last.event.attempt) != kill.fault.target:
        return None
    attempts = {stored.event.seq: stored.event.attempt for stored in post.log}
    seen = [
        sight.at_s
        for reader in post.readers
        if reader.manner == "steady"
        for sight in reader.sights
        if sight.kind == "text" and sight.at_s > kill.began_s and attempts.get(sight.seq, 0) > last.event.attempt
    ]
    return min(seen, default=None)


def _overlaps(other: Done, from_s: float, to_s: float) -> bool:
    if not other.fault.target.startswith(DISTURBING):
        return False
    return other.began_s < to_s and (other.over_s is None or other.over_s > from_s)


def _unix_s(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
