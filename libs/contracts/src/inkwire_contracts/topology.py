"""Streams and consumers as frozen data: a promise between services. The chassis creates and verifies them.

Reasons for each setting are in docs/architecture.md. All durations are in seconds, all sizes in bytes.
"""

from dataclasses import dataclass, replace
from typing import Literal

from inkwire_contracts import subjects
from inkwire_contracts.events import KEY_TYPES, MAX_EVENT_BYTES

JOBS = "JOBS"
EVENTS = "EVENTS"
CONVERSATIONS = "CONVERSATIONS"
DLQ = "DLQ"
BUDGETS = "KV_BUDGETS"
"""The key-value bucket of provider budgets: shared by all workers, and free to be lost."""
PRESENCE = "KV_PRESENCE"
"""The key-value bucket of who is in which conversation: beats of connections, and free to be lost."""
PRESENCE_TTL_S = 30.0
"""A connection that has not said for so long that it is there is gone."""
PERSISTER_DURABLE = "persister"

ACK_WAIT_S = 5.0
"""A worker's lease on its job."""


@dataclass(frozen=True, slots=True)
class RePublish:
    """Copy what was stored to core subjects, after storage."""

    source: str
    destination: str
    headers_only: bool = False


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One JetStream stream. ``None`` means no limit."""

    name: str
    subjects: tuple[str, ...]
    retention: Literal["limits", "workqueue"] = "limits"
    max_age_s: float | None = None
    max_bytes: int | None = None
    max_msg_bytes: int | None = None
    max_msgs_per_subject: int | None = None
    discard_new_per_subject: bool = False
    allow_direct: bool = False
    duplicate_window_s: float = 120.0
    republish: RePublish | None = None


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """One durable pull consumer with explicit acks and unlimited deliveries."""

    stream: str
    durable: str
    filters: tuple[str, ...]
    ack_wait_s: float
    max_ack_pending: int


@dataclass(frozen=True, slots=True)
class Topology:
    """All that a deployment needs at the broker."""

    streams: tuple[StreamSpec, ...]
    consumers: tuple[ConsumerSpec, ...]
    replicas: int

    def of(self, *streams: str) -> "Topology":
        """The same with these streams alone: what one service uses."""
        return replace(self, streams=tuple(stream for stream in self.streams if stream.name in streams))


def topology(
    *,
    replicas: int = 1,
    pools: tuple[str, ...] = (subjects.DEFAULT_POOL,),
    events_max_bytes: int = 1024**3,
    conversations_max_bytes: int = 256 * 1024**2,
    ack_wait_s: float = ACK_WAIT_S,
) -> Topology:
    """Streams and consumers for the given sizes.

    ``ack_wait_s`` is the lease of a job; workers beat several times within it.
    """
    return Topology(_streams(events_max_bytes, conversations_max_bytes), _consumers(pools, ack_wait_s), replicas)


def _streams(events_max_bytes: int, conversations_max_bytes: int) -> tuple[StreamSpec, ...]:
    jobs = StreamSpec(
        JOBS,
        ("jobs.>",),
        retention="workqueue",
        max_msgs_per_subject=20_000,
        discard_new_per_subject=True,
        max_msg_bytes=MAX_EVENT_BYTES,
        duplicate_window_s=600.0,
        republish=RePublish("jobs.>", "bells.jobs.>", headers_only=True),
    )
    events = StreamSpec(
        EVENTS,
        ("posts.>", "claims.>", "cancels.>"),
        max_bytes=events_max_bytes,
        max_msg_bytes=MAX_EVENT_BYTES,
        allow_direct=True,
        republish=RePublish("posts.>", "live.posts.>"),
    )
    conversations = StreamSpec(
        CONVERSATIONS,
        (subjects.conversation("*"),),
        max_bytes=conversations_max_bytes,
        max_msg_bytes=MAX_EVENT_BYTES,
        allow_direct=True,
        republish=RePublish("conversations.>", "live.conversations.>"),
    )
    dlq = StreamSpec(DLQ, ("dlq.jobs.>", "dlq.events.>"), max_age_s=14 * 86_400.0)
    budgets = StreamSpec(
        BUDGETS,
        (subjects.budget(">"),),
        max_age_s=86_400.0,
        max_bytes=4 * 1024**2,
        max_msg_bytes=4 * 1024,
        max_msgs_per_subject=1,
        allow_direct=True,
        republish=RePublish(subjects.budget(">"), subjects.live_budget(">")),
    )
    presence = StreamSpec(
        PRESENCE,
        (subjects.presence("*", "*", "*"),),
        max_age_s=PRESENCE_TTL_S,
        max_bytes=16 * 1024**2,
        max_msg_bytes=4 * 1024,
        max_msgs_per_subject=1,
        allow_direct=True,
        duplicate_window_s=PRESENCE_TTL_S,
        republish=RePublish("$KV.PRESENCE.>", "live.presence.>"),
    )
    return jobs, events, conversations, dlq, budgets, presence


def _consumers(pools: tuple[str, ...], ack_wait_s: float) -> tuple[ConsumerSpec, ...]:
    jobs = tuple(
        ConsumerSpec(
            JOBS,
            subjects.jobs_durable(pool, priority, bucket),
            (subjects.jobs_filter(pool, priority, bucket),),
            ack_wait_s=ack_wait_s,
            max_ack_pending=1_000,
        )
        for pool in pools
        for priority in subjects.PRIORITIES
        for bucket in range(subjects.BUCKETS)
    )
    persister = ConsumerSpec(
        EVENTS,
        PERSISTER_DURABLE,
        tuple(subjects.post_event("*", "*", event_type) for event_type in KEY_TYPES),
        ack_wait_s=30.0,
        max_ack_pending=2_000,
    )
    conversations = ConsumerSpec(
        CONVERSATIONS,
        PERSISTER_DURABLE,
        (subjects.conversation("*"),),
        ack_wait_s=30.0,
        max_ack_pending=2_000,
    )
    return *jobs, persister, conversations
