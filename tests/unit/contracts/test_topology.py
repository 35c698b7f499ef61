"""Topology: streams and consumers as data, and the promises that the protocol rests on."""

import dataclasses

import pytest

from inkwire_contracts import subjects
from inkwire_contracts.events import KEY_TYPES, MAX_EVENT_BYTES
from inkwire_contracts.topology import (
    BUDGETS,
    CONVERSATIONS,
    DLQ,
    EVENTS,
    JOBS,
    PERSISTER_DURABLE,
    PRESENCE,
    Topology,
    topology,
)

PLAIN = topology()
STREAMS = {stream.name: stream for stream in PLAIN.streams}


def _matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    for n, part in enumerate(wanted):
        if part == ">":
            return len(given) > n
        if n >= len(given) or part not in {"*", given[n]}:
            return False
    return len(wanted) == len(given)


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        (subjects.post_event("ada", "p", "chunk"), EVENTS),
        (subjects.claim("p"), EVENTS),
        (subjects.cancel("ada", "p", 1), EVENTS),
        (subjects.job("general", "high", "ada"), JOBS),
        (subjects.budget("key"), BUDGETS),
        (subjects.conversation("c"), CONVERSATIONS),
        (subjects.presence("c", "ada", "x"), PRESENCE),
    ],
)
def test_each_subject_is_stored_once(subject: str, stream: str) -> None:
    """What must be durable is stored by exactly one stream."""
    assert [s.name for s in PLAIN.streams if any(_matches(p, subject) for p in s.subjects)] == [stream]


@pytest.mark.parametrize(
    "subject",
    [
        subjects.cancel_signal("p"),
        subjects.live("posts.a.b.c"),
        subjects.bell("general", "low", "ada"),
        subjects.live_budget("key"),
        subjects.live("conversations.c"),
        subjects.live_presence("c"),
        subjects.whisper("c"),
    ],
)
def test_signals_are_stored_nowhere(subject: str) -> None:
    """Signals, republished events and bells are core messages and belong to no stream."""
    assert not [s.name for s in PLAIN.streams if any(_matches(p, subject) for p in s.subjects)]


def test_log_never_loses_by_age() -> None:
    """EVENTS drops nothing by age or count; it is bounded by size and by our own janitor."""
    events = STREAMS[EVENTS]
    assert events.retention == "limits"
    assert events.max_age_s is None
    assert events.max_msgs_per_subject is None
    assert events.max_bytes
    assert events.allow_direct


def test_budgets_are_values() -> None:
    """Only the newest budget of a key is kept, for a day, and every change is told to all in full."""
    budgets = STREAMS[BUDGETS]
    assert (budgets.max_msgs_per_subject, budgets.max_age_s) == (1, 86_400)
    assert budgets.republish is not None and not budgets.republish.headers_only


def test_jobs_are_a_work_queue_without_age() -> None:
    """JOBS keeps a job until it is acknowledged, and refuses new ones at its bound instead of dropping old ones."""
    jobs = STREAMS[JOBS]
    assert jobs.retention == "workqueue"
    assert jobs.max_age_s is None
    assert jobs.discard_new_per_subject
    assert jobs.max_msgs_per_subject


def test_republishing_follows_storage() -> None:
    """Events are republished whole to where the gateway listens; jobs ring bells without their bodies."""
    assert STREAMS[EVENTS].republish == dataclasses.replace(
        STREAMS[EVENTS].republish, source="posts.>", destination=subjects.LIVE_PREFIX + "posts.>", headers_only=False
    )
    bells = STREAMS[JOBS].republish
    assert bells is not None
    assert bells.headers_only
    assert _matches(bells.destination, subjects.bell("general", "high", "ada"))


def test_every_job_has_one_consumer() -> None:
    """The consumers of JOBS share out all pools, priorities and buckets without overlap."""
    two = topology(pools=("general", "fast"))
    filters = [f for consumer in two.consumers if consumer.stream == JOBS for f in consumer.filters]
    assert len(filters) == 2 * len(subjects.PRIORITIES) * subjects.BUCKETS
    for pool in ("general", "fast"):
        for priority in subjects.PRIORITIES:
            for owner in ("ada", "bob", "local"):
                assert sum(_matches(f, subjects.job(pool, priority, owner)) for f in filters) == 1


def test_durables_have_unique_names() -> None:
    """No two consumers of a stream share a name."""
    names = [(consumer.stream, consumer.durable) for consumer in topology(pools=("general", "fast")).consumers]
    assert len(set(names)) == len(names)


def test_persister_reads_key_events_only() -> None:
    """The persister's consumer passes every key event and neither chunks nor progress."""
    persister = next(c for c in PLAIN.consumers if (c.stream, c.durable) == (EVENTS, PERSISTER_DURABLE))

    def passed(event_type: str) -> bool:
        return any(_matches(f, subjects.post_event("ada", "p", event_type)) for f in persister.filters)

    assert all(passed(event_type) for event_type in KEY_TYPES)
    assert not passed("chunk")
    assert not passed("progress")
    assert not any(_matches(f, subjects.claim("p")) for f in persister.filters)


def test_sizes_and_lease_are_settings() -> None:
    """Replicas, the log's size and the lease are chosen by the deployment, the rest is fixed."""
    chosen: Topology = topology(replicas=3, events_max_bytes=1024, ack_wait_s=1.5)
    assert chosen.replicas == 3
    assert next(s for s in chosen.streams if s.name == EVENTS).max_bytes == 1024
    assert {c.ack_wait_s for c in chosen.consumers if c.stream == JOBS} == {1.5}
    assert {s.max_msg_bytes for s in chosen.streams if s.name not in (DLQ, BUDGETS, PRESENCE)} == {MAX_EVENT_BYTES}
