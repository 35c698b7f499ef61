"""What the gateway tells a monitor: every number is that of the hub, the listener or the broker's connection."""

from datetime import UTC, datetime

from inkwire_gateway.adapters.metrics import CODES, KINDS
from inkwire_gateway.channel import PostChannel
from inkwire_gateway.counters import REFUSALS, SOURCES
from inkwire_gateway.lag import LagSampler
from inkwire_gateway.ring import Entry
from inkwire_gateway.subscription import Subscription
from tests.unit.gateway.fakes import FakeFanOut, FakeTransport
from tests.unit.gateway.idle_gateway import IdleGateway


def _labels(values: dict[str, float], name: str) -> set[str]:
    return {key.removeprefix(f"{name}[").removesuffix("]") for key in values if key.startswith(f"{name}[")}


def test_what_never_happened_is_zero() -> None:
    """A gateway that has just started tells every number with all labels, so that rates see their first event."""
    values = IdleGateway().values()
    assert _labels(values, "closes_total") == {str(code) for code in CODES}
    assert _labels(values, "refusals_total") == set(REFUSALS)
    assert _labels(values, "channels") == _labels(values, "subscriptions") == set(KINDS)
    assert _labels(values, "resumes_total") == set(SOURCES)
    limits = {"connections_limit": 7, "queue_limit_bytes": 5_000}
    assert {name: value for name, value in values.items() if value} == limits


def test_labels_are_bounded() -> None:
    """A code or reason that no table knows goes under one name with all its like."""
    stage = IdleGateway()
    stage.hub.counters.closes.update({4102: 2, 3999: 1, 3998: 1})
    stage.hub.counters.refusals.update({"origin": 3, "/secret?token=x": 1})
    values = stage.values()
    assert (values["closes_total[4102]"], values["closes_total[other]"]) == (2, 2)
    assert (values["refusals_total[origin]"], values["refusals_total[other]"]) == (3, 1)
    assert _labels(values, "closes_total") == {*map(str, CODES), "other"}
    assert _labels(values, "refusals_total") == {*REFUSALS, "other"}


def test_counts_are_those_of_the_hub() -> None:
    """Each counter comes out under its name."""
    stage = IdleGateway()
    counters = stage.hub.counters
    plain = "events merged_frames fell_behind resyncs recovered gaps repairs handshakes catch_up_frames catch_up_bytes"
    for number, name in enumerate(plain.split(), start=1):
        setattr(counters, name, number)
    counters.deliveries, counters.frames, counters.frame_bytes = 31, 32, 33
    counters.behind_deliveries, counters.behind_frames, counters.behind_bytes = 34, 35, 36
    counters.joins_from_memory, counters.joins_loaded = 21, 22
    counters.loads_from_log, counters.loads_from_store = 23, 24
    counters.resumes.update(memory=25, log=26)
    values = stage.values()
    assert [values[f"{name}_total"] for name in plain.split()] == list(range(1, 11))
    to_readers = ("deliveries", "frames", "frame_bytes")
    assert [values[f"{name}_total[current]"] for name in to_readers] == [31, 32, 33]
    assert [values[f"{name}_total[behind]"] for name in to_readers] == [34, 35, 36]
    assert (values["joins_total[memory]"], values["joins_total[loaded]"]) == (21, 22)
    assert (values["loads_total[log]"], values["loads_total[store]"]) == (23, 24)
    assert [values[f"resumes_total[{source}]"] for source in SOURCES] == [25, 26, 0]


def test_channels_and_their_readers_are_counted_by_kind() -> None:
    """Channels, subscriptions and bytes of rings are what the hub has, whoever owns them."""
    stage = IdleGateway()
    posts = [stage.hub.post_channel(owner, "p1") for owner in ("ada", "eve")]
    stage.hub.user_channel("ada")
    for channel in (posts[0], posts[0], posts[1]):
        _join(stage, channel)
    posts[0].ring.append(Entry(1, "progress", b"x" * 100))
    posts[1].ring.append(Entry(1, "progress", b"x" * 11))
    values = stage.values()
    assert (values["channels[post]"], values["channels[user]"], values["channels[reply]"]) == (2, 1, 0)
    assert (values["subscriptions[post]"], values["subscriptions[user]"]) == (3, 0)
    assert values["ring_bytes"] == 111


def test_channels_that_stand_still_are_told_while_somebody_reads_them() -> None:
    """A channel that was left while it could not be compared with the log keeps nobody waiting."""
    stage = IdleGateway()
    read, left = (stage.hub.post_channel("ada", post) for post in ("p1", "p2"))
    _join(stage, read)
    read.stalled = left.stalled = True
    assert stage.values()["channels_stalled"] == 1


def _join(stage: IdleGateway, channel: PostChannel) -> Subscription:
    subscription = FakeTransport(stage.hub).subscription(channel.name)
    stage.hub.join(channel, subscription)
    return subscription


def test_samples_of_lag_are_a_histogram() -> None:
    """What the sampler took is in its bucket, with its seconds in the sum."""
    stage = IdleGateway()
    stored = datetime(2026, 11, 21, tzinfo=UTC)
    fan_out = FakeFanOut()
    sampler = LagSampler(stage.hub.counters, fan_out)
    fan_out.change()
    sampler.note(b"NATS/1.0\r\nNats-Time-Stamp: 2026-11-21T00:00:00Z\r\n\r\n")
    fan_out.send()
    sampler.flushed(stored.timestamp() + 0.2)
    values = stage.values()
    assert values["event_to_socket_seconds_bucket[0.1]"] == 0
    assert values["event_to_socket_seconds_bucket[0.25]"] == values["event_to_socket_seconds_count"] == 1
    assert round(values["event_to_socket_seconds_sum"], 6) == 0.2


def test_draining_is_told() -> None:
    """From the moment on at which readers are moved away."""
    stage = IdleGateway()
    stage.health.draining = True
    assert stage.values()["draining"] == 1


def test_the_brokers_connection_is_told() -> None:
    """Its own counts, and whether it is there."""
    stage = IdleGateway()
    stage.client.stats.update(reconnects=2, in_msgs=3, in_bytes=4)
    values = stage.values()
    names = ("nats_connected", "nats_reconnects_total", "nats_received_messages_total", "nats_received_bytes_total")
    assert [values[name] for name in names] == [0, 2, 3, 4]
