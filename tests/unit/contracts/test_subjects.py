"""Broker subjects: each is built in one place and read back as what it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_contracts import subjects
from inkwire_contracts.subjects import PRIORITIES, PostSubject, parse_bell, parse_post_event

OWNERS = st.from_regex(r"\A[a-z0-9_-]{1,64}\Z")
POST = "aaaabbbbccccddddeeeeffff22"


@given(OWNERS, st.sampled_from(["requested", "chunk", "section_completed"]))
def test_post_event_round_trip(owner: str, event_type: str) -> None:
    """An event's subject, stored or republished, is taken apart into what it was built from."""
    subject = subjects.post_event(owner, POST, event_type)
    assert parse_post_event(subject) == parse_post_event(subjects.live(subject)) == PostSubject(owner, POST, event_type)


def test_forms_are_as_promised() -> None:
    """The literal forms are a promise to every deployed version."""
    assert subjects.post_event("ada", "p", "chunk") == "posts.ada.p.chunk"
    assert subjects.post_events("ada", "p") == "posts.ada.p.*"
    assert subjects.live("posts.ada.p.chunk") == "live.posts.ada.p.chunk"
    assert subjects.claim("p") == "claims.p"
    assert subjects.cancel("ada", "p", 2) == "cancels.ada.p.2"
    assert subjects.cancel_signal("p") == "signals.cancel.p"
    assert subjects.jobs_filter("general", "high", 3) == "jobs.general.high.3.*"
    assert subjects.jobs_durable("general", "high", 3) == "jobs-general-high-3"
    assert subjects.bells_filter("general") == "bells.jobs.general.>"


@pytest.mark.parametrize(
    "subject", ["", "posts", "posts.a.b", "posts.a.b.c.d", "claims.a.b.c", "live.claims.a.b.c", "live.live.posts.a.b"]
)
def test_other_subjects_are_no_post_events(subject: str) -> None:
    """What is not posts.<owner>.<post>.<type> is refused."""
    with pytest.raises(ValueError, match="not a post event"):
        parse_post_event(subject)


@given(OWNERS)
def test_buckets_are_stable_and_in_range(owner: str) -> None:
    """An owner is always in the same one of the buckets, and its jobs go there."""
    bucket = subjects.bucket_of(owner)
    assert 0 <= bucket < subjects.BUCKETS
    assert bucket == subjects.bucket_of(owner)
    assert subjects.job("general", "low", owner) == f"jobs.general.low.{bucket}.{owner}"


def test_buckets_spread_owners() -> None:
    """Many owners use every bucket."""
    assert {subjects.bucket_of(f"owner-{n}") for n in range(200)} == set(range(subjects.BUCKETS))


def test_bucket_of_known_owners() -> None:
    """Buckets are part of stored subjects: these never change."""
    assert [subjects.bucket_of(owner) for owner in ("local", "ada", "bob")] == [5, 5, 1]


@pytest.mark.parametrize("priority", PRIORITIES)
def test_bell_round_trip(priority: subjects.Priority) -> None:
    """A bell announces the priority and bucket of its job, and rings where the pool listens."""
    bell = subjects.bell("general", priority, "ada")
    assert bell.startswith(subjects.bells_filter("general").removesuffix(">"))
    assert parse_bell(bell) == (priority, subjects.bucket_of("ada"))


@pytest.mark.parametrize(
    "subject",
    ["", "bells.jobs.general.high.3", "bells.jobs.general.soon.3.ada", "jobs", "bells.jobs.general.high.x.ada"],
)
def test_other_subjects_are_no_bells(subject: str) -> None:
    """What does not name a priority and a bucket is refused."""
    with pytest.raises(ValueError, match=r"not a bell|invalid literal"):
        parse_bell(subject)


def test_priorities_are_in_order_of_haste() -> None:
    """Priorities are listed from the most urgent down; weights go by that order."""
    assert PRIORITIES == ("urgent", "high", "normal", "low")
