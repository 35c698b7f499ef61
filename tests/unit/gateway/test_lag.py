"""Time from event to socket: the broker's stamp is read, and only a few messages are."""

from datetime import UTC, datetime

import pytest

from inkwire_gateway.counters import LAG_BUCKETS_S, Counters
from inkwire_gateway.hub import FLUSH_WRITES, Hub
from inkwire_gateway.lag import LagSampler, lag_s, stored_s
from tests.unit.gateway.builders import OWNER, Script
from tests.unit.gateway.fakes import FakeFanOut, FakeTransport

NOON_S = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


def _headers(stamp: str, *, more: str = "") -> bytes:
    before = "NATS/1.0\r\nNats-Stream: EVENTS\r\nNats-Subject: posts.ada.p.chunk\r\nNats-Sequence: 7\r\n"
    return f"{before}{more}Nats-Time-Stamp: {stamp}\r\nNats-Last-Sequence: 6\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("stamp", "after_noon_s"),
    [
        ("2026-11-21T12:00:00.123456789Z", 0.123456),
        ("2026-11-21T12:00:00.1Z", 0.1),
        ("2026-11-21T12:00:00Z", 0.0),
        ("2026-11-21T13:00:01.5+01:00", 1.5),
    ],
)
def test_the_brokers_stamp_is_read(stamp: str, after_noon_s: float) -> None:
    """RFC 3339 with as many digits as Go leaves, in any zone."""
    assert stored_s(_headers(stamp)) == pytest.approx(NOON_S + after_noon_s, abs=2e-6)


def test_the_last_stamp_counts() -> None:
    """A publisher's header of that name comes before the broker's own and is passed over."""
    headers = _headers("2026-11-21T12:00:00Z", more="Nats-Time-Stamp: 1999-01-01T00:00:00Z\r\n")
    assert stored_s(headers) == NOON_S


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0\r\nX: Nats-Time-Stamp: 2026-11-21T12:00:00Z\r\n\r\n",
        _headers("soon"),
        _headers(""),
        _headers("2026-11-21T12:00:00"),
        _headers("2026-11-21T12:00:00Z").replace(b"2026", b"\xff026"),
    ],
    ids=["empty", "none", "in a value", "word", "blank", "no zone", "not ascii"],
)
def test_a_message_that_does_not_say_has_no_lag(headers: bytes) -> None:
    """No stamp, or one that cannot be read, is no sample and no error."""
    assert lag_s(headers, NOON_S) is None


def test_a_stamp_at_the_very_end_is_read() -> None:
    """Headers that end without a line break lose nothing."""
    assert stored_s(b"NATS/1.0\r\nNats-Time-Stamp: 2026-11-21T12:00:00Z") == NOON_S


def test_lag_is_never_negative() -> None:
    """A broker whose clock is ahead makes a lag of 0."""
    assert lag_s(_headers("2026-11-21T12:00:05Z"), NOON_S) == 0.0
    assert lag_s(_headers("2026-11-21T12:00:05Z"), NOON_S + 7) == 2.0


class Stage:
    """A sampler beside a fan-out."""

    def __init__(self, **limits: float) -> None:
        self.counters = Counters()
        self.fan_out = FakeFanOut()
        self.sampler = LagSampler(self.counters, self.fan_out, **limits)

    @property
    def samples(self) -> int:
        """How many were taken."""
        return sum(self.counters.lags)

    def take_in(self, headers: bytes = b"") -> None:
        """A message comes, as of noon."""
        self.fan_out.change()
        if self.sampler.armed:
            self.sampler.note(headers or _headers("2026-11-21T12:00:00Z"))

    def send(self, now_s: float) -> None:
        """All that there is goes to the sockets."""
        self.fan_out.send()
        self.sampler.flushed(now_s)


def test_a_sample_is_taken_when_the_fan_out_is_done() -> None:
    """The bucket is that of the time until the sockets had it, its bound included; the sum tells the seconds."""
    stage = Stage()
    stage.take_in()
    assert stage.samples == 0
    stage.send(NOON_S + 0.25)
    assert stage.counters.lags[LAG_BUCKETS_S.index(0.25)] == stage.samples == 1
    assert stage.counters.lag_s == 0.25


def test_a_sample_waits_for_the_last_socket() -> None:
    """Where the fan-out needs several goes, the time is that of the one that sent the event, not of the first."""
    stage = Stage()
    stage.fan_out.change()
    stage.take_in()
    stage.fan_out.unsent = 2  # the one before it was sent
    stage.sampler.flushed(NOON_S + 0.1)
    assert stage.samples == 0 and not stage.sampler.armed
    stage.fan_out.change()
    stage.fan_out.unsent = 3  # what came later does not count
    stage.sampler.flushed(NOON_S + 0.2)
    assert stage.samples == 1 and stage.counters.lag_s == pytest.approx(0.2)


def test_a_message_that_nobody_is_sent_is_no_sample() -> None:
    """One that is kept back or known already would else be as late as whatever comes after it."""
    stage = Stage()
    stage.sampler.note(_headers("2026-11-21T12:00:00Z"))
    assert stage.sampler.armed
    stage.fan_out.change()
    stage.send(NOON_S + 60)
    assert stage.samples == 0


def test_a_fan_out_in_slices_is_sampled_at_its_end() -> None:
    """With more channels than one go writes to, the sample is taken in the go that wrote the event."""
    wanted: list[None] = []
    hub = Hub(lambda: wanted.append(None))
    sampler = LagSampler(hub.counters, hub)
    scripts = [Script(letter * 26).begin() for letter in "abc"]
    for script in scripts:
        channel = hub.post_channel(OWNER, script.truth.post)
        hub.start(channel, script.loaded())
        for _ in range(FLUSH_WRITES):
            subscription = FakeTransport(hub).subscription(channel.name)
            hub.join(channel, subscription)
            hub.attach(channel, subscription)
    while wanted:
        wanted.clear()
        hub.flush()
    for number, script in enumerate(scripts):
        stored = script.chunk("x")
        hub.offer(hub.post_channel(OWNER, script.truth.post), stored.raw, stored.stream_seq)
        if number == 1:
            sampler.note(_headers("2026-11-21T12:00:00Z"))
    taken = []
    for go in range(1, 4):
        hub.flush()
        sampler.flushed(NOON_S + go)
        taken.append(hub.counters.lag_s)
    assert taken == [0, 2, 2]
    assert hub.unsent is None and len(wanted) == 3


def test_beyond_the_last_bucket_there_is_one_more() -> None:
    """Nothing is too late to be counted."""
    stage = Stage()
    stage.take_in()
    stage.send(NOON_S + 3600)
    assert stage.counters.lags[-1] == 1


def test_only_a_few_messages_are_samples() -> None:
    """In one second of a thousand messages there are at most as many samples as intervals fit in."""
    stage = Stage(interval_s=0.05)
    for n in range(1_000):
        stage.take_in()
        stage.send(NOON_S + n / 1_000)
    assert 10 <= stage.samples <= 20


def test_a_clock_that_goes_back_does_not_end_the_sampling() -> None:
    """After the wall clock was set back the next message but one is a sample again."""
    stage = Stage()
    stage.take_in()
    stage.send(NOON_S)
    assert not stage.sampler.armed
    stage.sampler.flushed(NOON_S - 3600)
    assert stage.sampler.armed


def test_a_message_without_a_stamp_uses_its_turn() -> None:
    """It is counted nowhere, and not each message after it is looked at."""
    stage = Stage()
    stage.take_in(b"NATS/1.0\r\n\r\n")
    stage.send(NOON_S)
    assert not stage.sampler.armed and stage.samples == 0 and stage.counters.lag_s == 0
