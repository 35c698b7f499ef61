"""Frames of how a channel stands, shared and bounded."""

import gc
from collections.abc import Iterator

import pytest

from inkwire_gateway.catch_up import KEPT_COUNT, CatchUp, CatchUps, LetGo, Standing
from inkwire_gateway.channel import HubLimits
from inkwire_gateway.hub import Hub
from inkwire_gateway.subscription import State, Subscription
from tests.unit.gateway.builders import OWNER, Script
from tests.unit.gateway.fakes import FakeTransport


def made(seq: int, *frames: bytes) -> CatchUp:
    return CatchUp(seq, iter(frames), source_bytes=10)


def test_frames_are_made_when_asked_for_and_once() -> None:
    """Two readers at their own pace get the same objects."""
    asked: list[int] = []

    def frames() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"%d" % number

    both = CatchUp(7, frames())
    assert both.frame(0) == b"0" and asked == [0]
    assert both.frame(1) is both.frame(1) and asked == [0, 1]
    assert [both.frame(at) for at in range(4)] == [b"0", b"1", b"2", None]


def test_those_at_one_place_are_one() -> None:
    """In each dialect; another place, another beginning or one that was let go of is made anew."""
    standing = Standing(CatchUps())
    first = standing.at(3, "plain", lambda: made(3))
    assert standing.at(3, "plain", lambda: made(3)) is first
    assert standing.at(3, "deflated", lambda: made(3)) is not first
    assert standing.at(4, "plain", lambda: made(4)) is not first
    again = standing.at(4, "plain", lambda: made(4))
    standing.forget()
    anew = standing.at(4, "plain", lambda: made(4))
    assert anew is not again
    anew.let_go()
    assert standing.at(4, "plain", lambda: made(4)) is not anew


def test_what_all_hold_is_bounded() -> None:
    """Beyond the bound the newest goes, so that who began before is done some time; whoever asks has his."""
    everything = CatchUps(max_bytes=60)
    old = everything.add(made(1, b"x" * 20, b"x" * 20))
    assert old.frame(0) and everything.used_bytes == 30
    new = everything.add(made(2, b"y" * 20))
    assert new.frame(0) and everything.used_bytes == 60
    assert old.frame(1) and everything.used_bytes == 50 and new.is_gone
    with pytest.raises(LetGo):
        new.frame(0)
    huge = everything.add(made(3, b"z" * 100))
    assert huge.frame(0) and everything.used_bytes == 110 and old.is_gone
    assert huge.frame(1) is None


def test_slow_readers_whose_texts_do_not_all_fit_get_done() -> None:
    """However many posts they begin with at once, nobody is closed for what others hold, and each has it all."""
    hub = Hub(lambda: None, HubLimits(100, 10**6, 100, catch_ups=CatchUps(500_000)))
    clients: list[tuple[FakeTransport, Subscription]] = []
    for letter in "abcdefghijklmnopqrst":
        script = Script(letter * 26).begin()
        script.chunk(letter * 60_000)
        channel = hub.post_channel(OWNER, letter * 26)
        hub.start(channel, script.loaded())
        client = FakeTransport(hub, 20_000)
        subscription = client.subscription(channel.name)
        hub.join(channel, subscription)
        hub.attach(channel, subscription)
        clients.append((client, subscription))
    for _ in range(40):
        hub.flush()
        for client, _ in clients:
            client.empty()
    assert all(subscription.state is State.LIVE and not client.ends for client, subscription in clients)
    assert hub.counters.resyncs, "some began anew"
    for client, _ in clients:
        last = len(client.types) - client.types[::-1].index("snapshot") - 1
        assert sum(len(told["text"]) for told in client.told[last:] if told["type"] == "text") == 60_000


def test_what_nobody_reads_goes_before_what_somebody_reads() -> None:
    """Who is at it goes on, though others were made since and are kept for who comes next."""
    everything = CatchUps(max_bytes=60)
    old = everything.add(made(1, b"x" * 20, b"x" * 20))
    assert old.frame(0)
    for seq in (2, 3, 4):
        everything.add(made(seq))
    assert everything.used_bytes == 60
    assert old.frame(1) == b"x" * 20 and old.frame(2) is None
    assert everything.used_bytes == 60


def test_what_nobody_reads_is_free() -> None:
    """Some of the newest are kept for who comes next."""
    everything = CatchUps()
    for seq in range(KEPT_COUNT + 5):
        assert everything.add(made(seq, b"x" * 90)).frame(0)
    gc.collect()
    assert everything.used_bytes == KEPT_COUNT * 100
