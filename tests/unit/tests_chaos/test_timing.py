"""How the kill matrix takes the time from a worker's death to the next text."""

import math
from datetime import UTC, datetime

from inkwire_chassis.event_log import StoredEvent
from inkwire_contracts.events import event_from_dict
from tests.chaos.cluster import Done
from tests.chaos.faults import Fault, Kind
from tests.chaos.oracle import ClaimSeen, PostEvidence, ReaderHistory, Sight
from tests.chaos.timing import percentile, recoveries

POST = "aaaabbbbccccddddeeeeffff22"
START_S = datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()


def chunk(seq: int, attempt: int) -> StoredEvent:
    """A chunk that was stored `seq` seconds after the start."""
    body = {
        "type": "chunk", "post": POST, "owner": "ada", "run": 1, "attempt": attempt, "seq": seq,
        "time": f"2026-03-01T10:00:{seq:02d}.000Z", "data": {"section": "s1", "start": 0, "end": 1, "text": "a"},
    }  # fmt: skip
    return StoredEvent(event_from_dict(body), b"", seq)


def done(kind: Kind, target: str, at_s: float, over_s: float | None = None) -> Done:
    """A fault at so many seconds after the start."""
    return Done(Fault(kind, target, 0.1, 0.0), START_S + at_s, None if over_s is None else START_S + over_s)


def post(*, manner: str = "steady") -> PostEvidence:
    """Two chunks by generator-1, and two by generator-2, each seen half a second after it was stored."""
    log = [chunk(1, 1), chunk(2, 1), chunk(6, 2), chunk(7, 2)]
    sights = [Sight(START_S + stored.event.seq + 0.5, "text", stored.event.seq, "") for stored in log]
    claims = [ClaimSeen(1, 1, "generator-1"), ClaimSeen(5, 2, "generator-2")]
    return PostEvidence(POST, log=log, claims=claims, readers=[ReaderHistory("r", manner, sights)])


def test_the_wait_ends_with_the_next_workers_text() -> None:
    """Text of the killed worker that arrives after its death is no recovery; the first text of the next one is."""
    (found,) = recoveries([post()], [done("kill", "generator-1", 2.2, 3.0)])
    assert math.isclose(found.seconds, 4.3, abs_tol=1e-6)
    assert found.alone


def test_another_fault_meanwhile_is_told_apart() -> None:
    """A wait in which the broker died too is not alone; a persister's death disturbs nobody."""
    kill = done("kill", "generator-1", 2.2, 3.0)
    assert not recoveries([post()], [kill, done("kill", "nats", 4.0, 4.5)])[0].alone
    assert recoveries([post()], [kill, done("kill", "persister", 4.0, 4.5)])[0].alone
    assert recoveries([post()], [kill, done("kill", "nats", 0.5, 1.0)])[0].alone


def test_only_the_killed_workers_posts_count() -> None:
    """A kill of the worker that did not hold the post, or a freeze, starts no wait."""
    assert recoveries([post()], [done("kill", "generator-2", 2.2)]) == []
    assert recoveries([post()], [done("freeze", "generator-1", 2.2)]) == []
    assert recoveries([post(manner="slow")], [done("kill", "generator-1", 2.2)]) == []


def test_percentiles_are_of_the_nearest_rank() -> None:
    """The median of an odd number is the middle one, p99 of few is the largest, of none there is none."""
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert math.isnan(percentile([], 50))
