"""Fan-out, joins and slow readers, on fake transports."""

import pytest

from inkwire_contracts.client_frames import Position
from inkwire_gateway.channel import HubLimits, PostChannel, UserChannel
from inkwire_gateway.hub import FEEDS, FLUSH_WRITES, Hub
from inkwire_gateway.live_log import Verdict
from inkwire_gateway.ring import RingBudget
from inkwire_gateway.subscription import State, Subscription
from tests.unit.gateway.builders import EPOCH, OWNER, POST, Script
from tests.unit.gateway.fakes import FakeTransport

NAME = f"post:{POST}"


class Stage:
    """A hub with one loaded post."""

    def __init__(self, ring_events: int = 100) -> None:
        self.flushes = 0
        self.hub = Hub(self._wanted, HubLimits(ring_events, 1_000_000, 100))
        self.script = Script().begin()
        self.script.chunk("Hello")
        self.channel: PostChannel = self.hub.post_channel(OWNER, POST)
        self.hub.start(self.channel, self.script.loaded())

    def _wanted(self) -> None:
        self.flushes += 1

    def join(self, transport: FakeTransport, position: Position | None = None) -> None:
        """Follow the post."""
        subscription = transport.subscription(NAME, position)
        self.hub.join(self.channel, subscription)
        self.hub.attach(self.channel, subscription)

    def write(self, *texts: str) -> None:
        """Chunks arrive."""
        for text in texts:
            stored = self.script.chunk(text)
            assert self.hub.offer(self.channel, stored.raw, stored.stream_seq) is Verdict.OK


@pytest.fixture
def stage() -> Stage:
    """One loaded post, nobody there."""
    return Stage()


def test_join_gets_snapshot_text_live(stage: Stage) -> None:
    """A new reader gets head, texts and its position, and is in the fan-out then."""
    client = FakeTransport(stage.hub)
    stage.join(client)
    assert client.types == ["subscribed", "snapshot", "text", "live"]
    assert client.told[0]["recovered"] is False
    assert client.told[3]["position"] == {"epoch": EPOCH, "seq": 4}
    stage.write(" you")
    stage.hub.flush()
    assert client.seqs == [5]


def test_event_bytes_are_those_of_the_log(stage: Stage) -> None:
    """The frame embeds the log's JSON as it is, and all readers get the same object."""
    clients = [FakeTransport(stage.hub) for _ in range(3)]
    for client in clients:
        stage.join(client)
    stage.write("x")
    stage.hub.flush()
    frame = clients[0].frames[-1]
    assert stage.script.events[-1].raw in frame
    assert all(client.frames[-1] is frame for client in clients), "encoded once"


def test_events_of_one_tick_share_a_frame(stage: Stage) -> None:
    """What comes before the loop turns is merged for everyone, and one flush is asked for."""
    client = FakeTransport(stage.hub)
    stage.join(client)
    stage.write("a", "b", "c")
    assert stage.flushes == 1
    stage.hub.flush()
    assert client.types[-1] == "event"
    assert client.told[-1]["event"]["first_seq"] == 5 and client.seqs == [7]
    assert stage.hub.counters.merged_frames == 1


def test_joiner_between_event_and_flush(stage: Stage) -> None:
    """Who joins while events wait for the loop gets them in the snapshot and not again."""
    early, late = FakeTransport(stage.hub), FakeTransport(stage.hub)
    stage.join(early)
    stage.write("a", "b")
    stage.join(late)
    stage.hub.flush()
    assert early.seqs == [6] and late.seqs == []
    assert late.told[-1]["position"]["seq"] == 6


def test_slow_reader_holds_up_nobody_and_gets_merged(stage: Stage) -> None:
    """A full transport leaves the fan-out; with room again its chunks come as one range, each once."""
    slow, fast = FakeTransport(stage.hub), FakeTransport(stage.hub)
    stage.join(slow)
    stage.join(fast)
    slow.room = 0
    for text in "abcdef":
        stage.write(text)
        stage.hub.flush()
    assert fast.seqs == [5, 6, 7, 8, 9, 10]
    assert slow.seqs == [5], "full after the first"
    slow.room = 10**9
    slow.empty()
    assert slow.seqs == [5, 10]
    assert slow.told[-1]["event"]["first_seq"] == 6
    assert slow.told[-1]["event"]["data"]["text"] == "bcdef"
    stage.write("g")
    stage.hub.flush()
    assert slow.seqs[-1] == fast.seqs[-1] == 11


def test_each_frame_is_counted_once_as_what_it_is(stage: Stage) -> None:
    """Events of the fan-out, of a slow reader's backlog, of a resume, and how things stand: nothing is left out."""
    slow, fast, back = FakeTransport(stage.hub), FakeTransport(stage.hub), FakeTransport(stage.hub)
    for client in (slow, fast):
        stage.join(client)
    slow.room = 0
    for text in "abcdef":
        stage.write(text)
        stage.hub.flush()
    slow.room = 10**9
    slow.empty()
    stage.join(back, Position(epoch=EPOCH, seq=8))
    counters = stage.hub.counters
    everything = [pair for c in (slow, fast, back) for pair in zip(c.frames, c.told, strict=True)]
    events = [(frame, told["event"]) for frame, told in everything if told["type"] == "event"]
    covered = sum(event["seq"] - event.get("first_seq", event["seq"]) + 1 for _, event in events)
    assert (counters.deliveries, counters.frames) == (7, 7), "the slow one got one of them before it was full"
    assert (counters.behind_deliveries, counters.behind_frames) == (5 + 2, 2)
    assert counters.deliveries + counters.behind_deliveries == covered
    assert counters.frame_bytes + counters.behind_bytes == sum(len(frame) for frame, _ in events)
    assert counters.catch_up_frames == len(everything) - len(events) == 10
    assert counters.catch_up_bytes == sum(len(f) for f, told in everything if told["type"] != "event")
    assert counters.merged_frames == 2


def test_reader_that_falls_off_the_ring_gets_a_snapshot() -> None:
    """Nothing is kept for a slow reader beyond the ring: it begins again with what is there."""
    stage = Stage(ring_events=3)
    slow = FakeTransport(stage.hub)
    stage.join(slow)
    slow.room = 0
    for text in "abcdefgh":
        stage.write(text)
        stage.hub.flush()
    slow.room = 10**9
    slow.empty()
    assert slow.types[-3:] == ["snapshot", "text", "live"]
    assert slow.told[-2]["text"] == "Helloabcdefgh"
    assert stage.hub.counters.resyncs == 1 and slow.ends == []


def test_reader_that_always_falls_off_is_closed() -> None:
    """After some snapshots without ever catching up, the reader is told to come back."""
    stage = Stage(ring_events=2)
    slow = FakeTransport(stage.hub, room=0)
    stage.join(slow)
    for _ in range(60):
        stage.write("a", "b", "c")
        stage.hub.flush()
        slow.empty()
    assert slow.ends == ["slow"]
    assert slow.queue.closed


def test_resume_from_memory(stage: Stage) -> None:
    """A position within the ring gives events only, then live at the head."""
    stage.write("a", "b")
    client = FakeTransport(stage.hub)
    stage.join(client, Position(epoch=EPOCH, seq=4))
    assert client.types == ["subscribed", "event", "live"]
    assert client.told[0]["recovered"] is True
    assert client.seqs == [6] and client.told[-1]["position"]["seq"] == 6


def test_resume_at_the_head(stage: Stage) -> None:
    """Who has missed nothing gets nothing but its place."""
    client = FakeTransport(stage.hub)
    stage.join(client, Position(epoch=EPOCH, seq=4))
    assert client.types == ["subscribed", "live"]


@pytest.mark.parametrize(
    "position", [Position(epoch="another", seq=4), Position(epoch=EPOCH, seq=99)], ids=["epoch", "future"]
)
def test_resume_that_cannot_be(stage: Stage, position: Position) -> None:
    """Another log's position, or one that this log does not have, gives a snapshot."""
    client = FakeTransport(stage.hub)
    stage.join(client, position)
    assert client.types[:2] == ["subscribed", "snapshot"] and client.told[0]["recovered"] is False


def test_broken_transport_takes_nobody_along(stage: Stage) -> None:
    """A write that fails ends that client alone."""
    clients = [FakeTransport(stage.hub) for _ in range(3)]
    for client in clients:
        stage.join(client)
    clients[0].fails = True
    stage.write("x")
    stage.hub.flush()
    assert clients[0].ends == ["lost"]
    assert clients[1].seqs == clients[2].seqs == [5]


def test_leave_is_final(stage: Stage) -> None:
    """After leaving nothing more is sent, and the channel knows that nobody is there."""
    client = FakeTransport(stage.hub)
    stage.join(client)
    subscription = next(iter(stage.channel.subscriptions))
    stage.hub.leave(subscription)
    stage.write("x")
    stage.hub.flush()
    assert client.seqs == [] and not stage.channel.subscriptions and not stage.channel.groups
    assert subscription.state is State.CLOSED


def test_several_channels_take_turns(stage: Stage) -> None:
    """One large catch-up does not starve the other channels of a connection."""
    other = Script("q" * 26).begin()
    for _ in range(3):
        other.chunk("y" * 20_000)
    channel = stage.hub.post_channel(OWNER, "q" * 26)
    stage.hub.start(channel, other.loaded())
    client = FakeTransport(stage.hub)
    client.queue.pause()
    for name, joined in ((f"post:{'q' * 26}", channel), (NAME, stage.channel)):
        subscription = client.subscription(name)
        stage.hub.join(joined, subscription)
        stage.hub.attach(joined, subscription)
    client.queue.resume()
    order = [frame["channel"][5] for frame in client.told[:6]]
    assert order == ["q", "p"] * 3


def test_reload_gives_readers_a_snapshot(stage: Stage) -> None:
    """When the log turned out to be another one, every reader starts again and goes on live."""
    client = FakeTransport(stage.hub)
    stage.join(client)
    stage.script.chunk(" again")
    stage.hub.start(stage.channel, stage.script.loaded())
    assert client.types[4:] == ["snapshot", "text", "live"]
    stage.write("!")
    stage.hub.flush()
    assert client.seqs == [6]


def test_owners_do_not_share_channels(stage: Stage) -> None:
    """The same name under another owner is another channel."""
    assert stage.hub.post_channel("eve", POST) is not stage.channel
    assert stage.hub.post_channel(OWNER, POST) is stage.channel


def test_dropped_channel_forgets_its_readers(stage: Stage) -> None:
    """What is dropped is gone, and a later join makes a new one."""
    client = FakeTransport(stage.hub)
    stage.join(client)
    assert len(stage.hub.drop_channel(stage.channel)) == 1
    assert stage.hub.channels == {} and client.queue.subscriptions == set()
    stage.hub.flush()


def test_dropped_channel_holds_no_events(stage: Stage) -> None:
    """Its events are gone at once, not with a later collection that would stop everybody else."""
    assert len(stage.channel.ring) > 0
    stage.hub.drop_channel(stage.channel)
    assert len(stage.channel.ring) == 0 and stage.channel.ring.size_bytes == 0


def test_user_channel_lists_then_tells() -> None:
    """An owner's channel answers with the list, then with events since the list was asked for."""
    hub = Hub(lambda: None)
    channel = hub.user_channel(OWNER)
    channel.ready = True
    client = FakeTransport(hub)
    subscription = client.subscription(f"user:{OWNER}", request_id=7)
    hub.join(channel, subscription)
    hub.offer_user(channel, "post.published", b'{"seq":9}')
    hub.attach_user(channel, subscription, [{"id": "x"}], 0)
    assert client.types == ["subscribed", "posts", "event"]
    assert client.told[0]["id"] == 7 and client.told[1]["items"] == [{"id": "x"}]
    hub.offer_user(channel, "post.deleted", b'{"seq":10}')
    hub.flush()
    assert client.told[-1]["name"] == "post.deleted" and client.seqs == [9, 10]


def test_slow_reader_of_a_user_channel_is_closed() -> None:
    """There is no snapshot of lifecycle events: who misses some comes back for the list."""
    hub = Hub(lambda: None, HubLimits(ring_events=2))
    channel = hub.user_channel(OWNER)
    channel.ready = True
    client = FakeTransport(hub)
    subscription = client.subscription(f"user:{OWNER}")
    hub.join(channel, subscription)
    hub.attach_user(channel, subscription, [], 0)
    client.queue.pause()
    for n in range(5):
        hub.offer_user(channel, "post.published", b'{"seq":%d}' % n)
        hub.flush()
    client.queue.resume()
    assert client.ends == ["slow"]


def with_a_full_budget() -> Hub:
    """A hub whose budget an open post that stands still has used up."""
    hub = Hub(lambda: None, HubLimits(2_000, 1_000_000, 100, rings=RingBudget(10_000)))
    quiet = Script("i" * 26).begin()
    for _ in range(60):
        quiet.chunk("x" * 200)
    hub.start(hub.post_channel(OWNER, "i" * 26), quiet.loaded())
    return hub


def test_a_full_budget_costs_readers_nothing_who_are_up_to_date() -> None:
    """They get what came in one tick, merged; no snapshot, because rings that stand still let go first."""
    hub, script = with_a_full_budget(), Script().begin()
    channel = hub.post_channel(OWNER, POST)
    hub.start(channel, script.loaded())
    client = FakeTransport(hub)
    subscription = client.subscription(channel.name)
    hub.join(channel, subscription)
    hub.attach(channel, subscription)
    for _ in range(20):
        for _ in range(3):
            event = script.chunk("word ")
            hub.offer(channel, event.raw, event.stream_seq)
        hub.flush()
    assert hub.counters.resyncs == 0 and subscription.state is State.LIVE
    assert hub.limits.rings.used_bytes <= 10_000


def owner_s_reader_beside_a_full_budget() -> tuple[Hub, UserChannel, FakeTransport, Subscription]:
    """One who waits for his list."""
    hub = with_a_full_budget()
    channel = hub.user_channel(OWNER)
    channel.ready = True
    client = FakeTransport(hub)
    subscription = client.subscription(channel.name)
    hub.join(channel, subscription)
    return hub, channel, client, subscription


def test_a_full_budget_closes_no_reader_of_an_owner() -> None:
    """Several events of one tick are sent, though there is no snapshot to fall back to."""
    hub, channel, client, subscription = owner_s_reader_beside_a_full_budget()
    hub.attach_user(channel, subscription, [], 0)
    for number in range(3):
        hub.offer_user(channel, "post.published", b'{"seq":%d,"pad":"%s"}' % (number, b"x" * 5_000))
    hub.flush()
    assert client.ends == [] and subscription.state is State.LIVE


def test_a_full_budget_closes_no_reader_whose_list_takes_long() -> None:
    """What came since the list was asked for is there, though others need the memory."""
    hub, channel, client, subscription = owner_s_reader_beside_a_full_budget()
    for number in range(4):
        hub.offer_user(channel, "post.published", b'{"seq":%d,"pad":"%s"}' % (number, b"x" * 5_000))
        hub.flush()
    hub.attach_user(channel, subscription, [], 0)
    assert client.ends == [] and subscription.state is State.LIVE and client.seqs == [0, 1, 2, 3]


def test_a_reader_who_waits_is_answered_though_all_begins_anew(stage: Stage) -> None:
    """`subscribed` comes first, once, and before how things stand at last, whatever was begun before there was room."""
    client = FakeTransport(stage.hub)
    client.queue.pause()
    subscription = client.subscription(stage.channel.name, request_id=7)
    stage.hub.join(stage.channel, subscription)
    stage.hub.attach(stage.channel, subscription)
    stage.hub.start(stage.channel, stage.script.loaded())
    client.queue.resume()
    assert client.types == ["subscribed", "snapshot", "text", "live"] and client.told[0]["id"] == 7


def test_an_owner_s_list_that_comes_twice_is_answered_once(stage: Stage) -> None:
    """The same of a list that is read again before the first one was sent."""
    channel = stage.hub.user_channel(OWNER)
    client = FakeTransport(stage.hub)
    client.queue.pause()
    subscription = client.subscription(channel.name, request_id=7)
    stage.hub.join(channel, subscription)
    for _ in range(2):
        stage.hub.attach_user(channel, subscription, [], 0)
    client.queue.resume()
    assert client.types == ["subscribed", "posts"]


def test_readers_who_begin_together_share_frames_and_take_turns(stage: Stage) -> None:
    """A post is told once however many begin with it, and only so many of them in one go."""
    clients = [FakeTransport(stage.hub) for _ in range(FEEDS + 3)]
    for client in clients:
        stage.join(client)
    assert [bool(client.frames) for client in clients] == [True] * FEEDS + [False] * 3
    stage.hub.flush()
    assert all(client.types == ["subscribed", "snapshot", "text", "live"] for client in clients)
    assert len({id(frame) for client in clients for frame in client.frames[1:]}) == 3


def test_readers_of_one_another_s_channels_who_begin_late_are_told_once() -> None:
    """A pump that has a channel flushed is not entered again by those whom that flush leaves behind."""
    hub = Hub(lambda: None, HubLimits(2, 1_000_000, 100))
    scripts = {post * 26: Script(post * 26).begin() for post in "abc"}
    for post, script in scripts.items():
        script.chunk("Hello")
        hub.start(hub.post_channel(OWNER, post), script.loaded())
    a, b, c = (hub.post_channel(OWNER, post) for post in scripts)

    def join(channel: PostChannel, *readers: FakeTransport) -> None:
        for reader in readers:
            subscription = reader.subscription(channel.name)
            hub.join(channel, subscription)
            hub.attach(channel, subscription)

    def write(channel: PostChannel, chunks: int) -> None:
        for stored in [scripts[channel.post].chunk("x") for _ in range(chunks)]:
            hub.offer(channel, stored.raw, stored.stream_seq)

    one, two = FakeTransport(hub), FakeTransport(hub)
    join(b, one)
    join(a, two)
    join(c, *(FakeTransport(hub) for _ in range(FLUSH_WRITES)))
    for _ in range(FLUSH_WRITES // FEEDS):
        hub.flush()
    join(c, *(FakeTransport(hub) for _ in range(FEEDS)))  # the turns of this time
    join(a, one)
    join(b, two)
    write(c, 1)  # which leaves the others for the next flush
    write(a, 3)
    write(b, 3)
    for _ in range(3):
        hub.flush()
    write(a, 1)
    hub.flush()
    told = [frame["type"] for frame in one.told if frame["channel"] == a.name]
    assert told == ["subscribed", "snapshot", "text", "live", "event"]
    assert not one.ends + two.ends
