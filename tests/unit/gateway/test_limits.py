"""Frames per second, connections per owner, handshakes under way."""

from inkwire_gateway.limits import ConnectionCount, FrameRate, Handshakes


def test_a_burst_then_the_rate() -> None:
    """A burst may come at once; then the rate decides."""
    rate = FrameRate(per_s=2.0, burst=3)
    assert [rate.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not rate.take(100.4)
    assert rate.take(100.6)
    assert [rate.take(200.0) for _ in range(4)] == [True, True, True, False], "never more than the burst"


def test_total_and_owner() -> None:
    """Each bound holds for itself, and what leaves makes room."""
    count = ConnectionCount(total=3, per_owner=1)
    assert count.enter() and count.admit("ada")
    assert count.enter() and not count.admit("ada")
    assert count.enter() and count.admit("eve")
    assert not count.enter()
    assert count.total == 4
    count.leave(None)
    count.leave("ada")
    assert count.total == 2 and count.admit("ada")


def test_handshakes_under_way() -> None:
    """One more than the bound is refused; one that ends makes room once, however often it is told."""
    handshakes = Handshakes[str](2)
    assert handshakes.enter("a") and handshakes.enter("b") and not handshakes.enter("c")
    assert handshakes.leave("a") and not handshakes.leave("a") and not handshakes.leave("c")
    assert handshakes.all() == ["b"] and len(handshakes) == 1
    assert handshakes.enter("c")
