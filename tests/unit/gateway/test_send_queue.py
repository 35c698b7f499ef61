"""One connection's replies: in order, bounded, and never waiting."""

from inkwire_gateway.framing import text_frame
from inkwire_gateway.hub import Hub
from inkwire_gateway.send_queue import MAX_REPLY_BYTES, PUMP_BYTES
from tests.unit.gateway.builders import OWNER, Script
from tests.unit.gateway.fakes import FakeTransport


def frame(n: int, size: int = 0) -> bytes:
    """A small frame that can be told from others."""
    return text_frame(b'{"type":"pong","id":%d,"pad":"%s"}' % (n, b"x" * size))


def client(room: int = 10**9) -> FakeTransport:
    """A client of an empty hub."""
    return FakeTransport(Hub(lambda: None), room)


def test_replies_go_out_at_once() -> None:
    """With room nothing is kept."""
    c = client()
    c.queue.reply(frame(1))
    assert len(c.frames) == 1 and c.queue.pending_bytes == 0


def test_replies_wait_in_order() -> None:
    """A full transport gets them later, in order."""
    c = client(room=0)
    for n in range(4):
        c.queue.reply(frame(n))
    assert [f["id"] for f in c.told] == [0]
    c.room = 10**9
    c.empty()
    assert [f["id"] for f in c.told] == [0, 1, 2, 3]
    assert c.queue.pending_bytes == 0


def test_replies_are_bounded() -> None:
    """Who asks and never reads is closed, once."""
    c = client(room=0)
    for n in range(100):
        c.queue.reply(frame(n, 2_000))
        assert c.queue.pending_bytes <= MAX_REPLY_BYTES
    assert c.ends == ["slow"]


def test_a_failing_transport_ends_the_connection() -> None:
    """A reply that cannot be written ends it without a word, once; later ones are dropped."""
    c = client()
    c.fails = True
    c.queue.reply(frame(1))
    c.queue.reply(frame(2))
    c.queue.broken()
    assert c.ends == ["lost"] and c.frames == []


def test_one_client_does_not_keep_the_loop() -> None:
    """A large catch-up is written in several goes, with others in between."""
    hub = Hub(lambda: None)
    script = Script().begin()
    for _ in range(30):
        script.chunk("x" * 30_000)
    channel = hub.post_channel(OWNER, script.truth.post)
    hub.start(channel, script.loaded())
    c = FakeTransport(hub)
    subscription = c.subscription(channel.name)
    hub.join(channel, subscription)
    hub.attach(channel, subscription)
    goes = 1
    while c.pumps_wanted:
        c.pumps_wanted -= 1
        assert sum(map(len, c.frames)) <= goes * (PUMP_BYTES + 70_000)
        c.queue.pump()
        goes += 1
    assert goes >= 3 and c.types[-1] == "live"
    assert sum(len(f["text"]) for f in c.told if f["type"] == "text") == 900_000


def test_closed_queue_sends_nothing() -> None:
    """After closing, neither replies nor pumps write."""
    c = client()
    c.queue.close()
    c.queue.reply(frame(1))
    c.queue.pump()
    assert c.frames == [] and c.ends == []
