"""Every broker subject, built and parsed in one place."""

import hashlib
from dataclasses import dataclass

from inkwire_contracts.events import Priority

PRIORITIES: tuple[Priority, ...] = ("urgent", "high", "normal", "low")
BUCKETS = 8
"""Owners are spread over this many consumers per pool and priority, so that one owner cannot starve all."""

DEFAULT_POOL = "general"
LIVE_PREFIX = "live."
BELLS_PREFIX = "bells."


@dataclass(frozen=True, slots=True)
class PostSubject:
    """The parts of ``posts.<owner>.<post>.<type>``."""

    owner: str
    post: str
    type: str


def post_event(owner: str, post: str, event_type: str) -> str:
    """Subject of one event in the EVENTS stream; ``*`` and ``>`` may stand for a part."""
    return f"posts.{owner}.{post}.{event_type}"


def post_events(owner: str, post: str) -> str:
    """Filter for all events of one post."""
    return post_event(owner, post, "*")


def live(subject: str) -> str:
    """Where the broker republishes a stored event."""
    return LIVE_PREFIX + subject


def parse_post_event(subject: str) -> PostSubject:
    """Take a stored or republished event subject apart.

    Raises:
        ValueError: the subject is not of that form.
    """
    parts = subject.removeprefix(LIVE_PREFIX).split(".")
    if len(parts) != 4 or parts[0] != "posts":
        raise ValueError(f"not a post event subject: {subject!r}")
    return PostSubject(*parts[1:])


def claim(post: str) -> str:
    """Subject of a post's claims."""
    return f"claims.{post}"


def cancel(owner: str, post: str, run: int) -> str:
    """Subject of the intent to cancel one run."""
    return f"cancels.{owner}.{post}.{run}"


def cancels(owner: str, post: str) -> str:
    """Filter for the intents to cancel any run of a post."""
    return f"cancels.{owner}.{post}.*"


def cancel_signal(post: str) -> str:
    """Core subject that tells a worker at once that a cancel intent was stored."""
    return f"signals.cancel.{post}"


def conversation(conversation_id: str) -> str:
    """Subject of all events of a conversation in the stream CONVERSATIONS; ``*`` stands for any."""
    return f"conversations.{conversation_id}"


def presence(conversation_id: str, member: str, connection: str) -> str:
    """Where one connection of a member says that it is there: a key of the bucket PRESENCE; ``*`` for any."""
    return f"$KV.PRESENCE.{conversation_id}.{member}.{connection}"


def live_presence(conversation_id: str) -> str:
    """Where the broker republishes a conversation's presences."""
    return f"{LIVE_PREFIX}presence.{conversation_id}.*.*"


def whisper(conversation_id: str) -> str:
    """Core subject for what members tell each other and nobody keeps, such as that they are typing."""
    return f"whispers.{conversation_id}"


def budget(key: str) -> str:
    """Where the budget of a provider key is kept: a key of the bucket BUDGETS."""
    return f"$KV.BUDGETS.{key}"


def live_budget(key: str) -> str:
    """Where the broker republishes a stored budget."""
    return f"{LIVE_PREFIX}budgets.{key}"


def bucket_of(owner: str) -> int:
    """The owner's bucket, the same in every process."""
    return hashlib.sha256(owner.encode()).digest()[0] % BUCKETS


def dead_event(subject: str) -> str:
    """Where a message of EVENTS or CONVERSATIONS is put aside that is no event of what its subject names."""
    return f"dlq.events.{subject}"


def dead_job(subject: str) -> str:
    """Where a job is put aside that cannot be worked on."""
    return f"dlq.{subject}"


def job(pool: str, priority: Priority, owner: str) -> str:
    """Subject of a job in the JOBS stream."""
    return f"jobs.{pool}.{priority}.{bucket_of(owner)}.{owner}"


def jobs_filter(pool: str, priority: Priority, bucket: int) -> str:
    """What one consumer of JOBS takes."""
    return f"jobs.{pool}.{priority}.{bucket}.*"


def jobs_durable(pool: str, priority: Priority, bucket: int) -> str:
    """Name of the consumer for one pool, priority and bucket."""
    return f"jobs-{pool}-{priority}-{bucket}"


def bells_filter(pool: str) -> str:
    """Core subject on which JOBS rings after storing a job of the pool."""
    return f"{BELLS_PREFIX}jobs.{pool}.>"


def bell(pool: str, priority: Priority, owner: str) -> str:
    """Bell of one job, rung by hand on release: neither nak nor expiry rings by itself."""
    return BELLS_PREFIX + job(pool, priority, owner)


def parse_bell(subject: str) -> tuple[Priority, int]:
    """Priority and bucket that a bell announces.

    Raises:
        ValueError: the subject is not a bell.
    """
    parts = subject.removeprefix(BELLS_PREFIX).split(".")
    if len(parts) != 5 or parts[0] != "jobs" or parts[2] not in PRIORITIES:
        raise ValueError(f"not a bell: {subject!r}")
    return PRIORITIES[PRIORITIES.index(parts[2])], int(parts[3])
