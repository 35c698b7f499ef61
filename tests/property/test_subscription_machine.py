"""Any interleaving of writing, losing, doubling, loading, slow reading, leaving and coming back: readers stay exact.

The broker is a list, the transports are lists with a bound; hub, live post, ring, send queue, subscription and dialect
are the real ones. Bounds are tiny, so that rings overflow and readers fall off them.
"""

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from inkwire_contracts.client_frames import Position
from inkwire_contracts.events import Event, encode_event, event_from_dict, parse_event
from inkwire_contracts.fold import Outcome, Snapshot, document, fold
from inkwire_gateway.catch_up import CatchUps
from inkwire_gateway.channel import HubLimits, PostChannel
from inkwire_gateway.dialects import Dialect
from inkwire_gateway.dialects.native import NATIVE, NativeWebSocket
from inkwire_gateway.hub import Hub
from inkwire_gateway.live_log import Verdict
from inkwire_gateway.live_post import Loaded, LogEvent, entry_of
from inkwire_gateway.ring import RingBudget
from inkwire_gateway.send_queue import SendQueue
from inkwire_gateway.subscription import State, Subscription

POST = "a" * 26
EPOCH = "2026-01-01T00:00:00Z"
TEXTS = st.text(alphabet=st.sampled_from('ab é漢\U0001f600\n"\\'), min_size=1, max_size=8)
TRANSPORT_BYTES = 700
DIALECTS: tuple[Dialect, ...] = (NATIVE, NativeWebSocket())
"""Readers of different ones share no bytes; here they say the same."""


class Log:
    """A post as it is written, with every state it went through."""

    def __init__(self) -> None:
        self.truth = Snapshot(post=POST)
        self.stored: list[LogEvent] = []
        self.states: dict[int, Snapshot] = {0: self.truth.model_copy(deep=True)}

    def write(self, kind: str, data: dict[str, Any], *, run: int | None = None, attempt: int | None = None) -> LogEvent:
        """Append the next event."""
        value = {
            "type": kind,
            "post": POST,
            "owner": "ada",
            "run": run or self.truth.run or 1,
            "attempt": self.truth.attempt if attempt is None else attempt,
            "seq": self.truth.seq + 1,
            "time": "2026-01-01T00:00:00.000Z",
            "data": data,
        }
        if kind not in ("chunk", "progress"):
            value["prev"] = self.truth.key_seq
        event = event_from_dict(value)
        assert fold(self.truth, event) is Outcome.APPLIED, event
        self.states[event.seq] = self.truth.model_copy(deep=True)
        return self.store(event)

    def store(self, event: Event) -> LogEvent:
        """Add to the stream, possibly for a second time."""
        stored = LogEvent(event, encode_event(event), 10 + 3 * len(self.stored))
        self.stored.append(stored)
        return stored

    def after(self, stream_seq: int) -> list[LogEvent]:
        """What a read of the log gives."""
        return [e for e in self.stored if e.stream_seq > stream_seq]

    def loaded(self, recent: int) -> Loaded:
        """What the history adapter gives."""
        snapshot = Snapshot(post=POST)
        applied = [e for e in self.stored if fold(snapshot, e.event) is Outcome.APPLIED]
        kept = [entry_of(stored.event, stored.raw) for stored in applied[-recent:]] if recent else []
        return Loaded(snapshot, applied[-1].stream_seq, EPOCH, kept)


class Reader:
    """A client and its transport: it folds what it gets, and nothing but the next event may come."""

    def __init__(self, hub: Hub, log: Log, dialect: Dialect) -> None:
        self.log = log
        self.dialect = dialect
        self.wire: list[bytes] = []
        self.partial = b""
        self.asked_again = False
        self.ended: str | None = None
        self.queue = SendQueue(hub, self)
        self.subscription: Subscription | None = None
        self.snapshot: Snapshot | None = None
        self.position: Position | None = None
        self.live = False

    def send(self, frame: bytes) -> int:
        """As the kernel: takes what fits, and nothing may be sent past what waits."""
        assert not self.queue.paused and not self.partial
        room = max(0, TRANSPORT_BYTES - sum(map(len, self.wire)))
        if len(frame) <= room:
            self.wire.append(frame)
            return len(frame)
        if room == 0:
            raise BlockingIOError
        self.partial = frame[:room]
        return room

    def send_rest(self, rest: memoryview) -> None:
        """As a transport: takes it, and says that it is full."""
        self.wire.append(self.partial + bytes(rest))
        self.partial = b""
        self.queue.pause()

    def again(self) -> None:
        """The loop would call pump soon."""
        self.asked_again = True

    def end(self, code: str) -> None:
        """The server gives up on this client."""
        self.ended = code
        self.queue.hub.leave_all(self.queue)

    def lost(self) -> None:
        """Nothing here fails."""
        raise AssertionError("the transport did not fail")

    def take(self, frames: int) -> None:
        """The client reads some frames; then there may be room again."""
        taken, self.wire = self.wire[:frames], self.wire[frames:]
        for frame in taken:
            self.apply(json.loads(unframed(frame)))
        if self.queue.paused and not self.wire and self.ended is None:
            self.queue.resume()

    def apply(self, frame: dict[str, Any]) -> None:
        """The client's rules."""
        if frame["type"] == "snapshot":
            self.snapshot = Snapshot.model_validate(frame["snapshot"])
            self.live = False
        elif frame["type"] == "text":
            assert self.snapshot is not None
            section = self.snapshot.section(frame["section"])
            assert section is not None and frame["start"] == len(section.text)
            section.text += frame["text"]
        elif frame["type"] == "live":
            assert self.snapshot is not None and frame["position"]["seq"] == self.snapshot.seq
            self.live = True
            self.position = Position.model_validate(frame["position"])
            assert all(s.length == len(s.text) for s in self.snapshot.sections)
        elif frame["type"] == "event":
            assert self.snapshot is not None
            event = event_from_dict(frame["event"])
            assert fold(self.snapshot, event) is Outcome.APPLIED, "lost, doubled or out of order"
            if self.position is not None:
                self.position = Position(epoch=EPOCH, seq=event.seq)
        else:
            assert frame["type"] == "subscribed"
        self.check()

    def check(self) -> None:
        """What the client shows is what was written, as of its own place."""
        if self.live and self.snapshot is not None:
            truth = self.log.states[self.snapshot.seq]
            assert document(self.snapshot) == document(truth)
            assert self.snapshot.status == truth.status


def unframed(frame: bytes) -> bytes:
    """The payload of a text frame of a server."""
    assert frame[0] == 0x81
    size = frame[1]
    if size < 126:
        assert len(frame) == 2 + size
        return frame[2:]
    width = 2 if size == 126 else 8
    assert len(frame) == 2 + width + int.from_bytes(frame[2 : 2 + width], "big")
    return frame[2 + width :]


class Gateway(RuleBasedStateMachine):
    """See the module's docstring."""

    readers = Bundle("readers")

    @initialize(
        ring_events=st.integers(1, 12),
        buffer_events=st.integers(1, 6),
        ring_bytes=st.integers(1, 3_000),
        told_bytes=st.integers(1, 3_000),
    )
    def begin(self, ring_events: int, buffer_events: int, ring_bytes: int, told_bytes: int) -> None:
        """A post that was accepted."""
        self.log = Log()
        self.flush_wanted = False
        self.recent = ring_events
        all_rings, all_told = RingBudget(ring_bytes), CatchUps(told_bytes)
        limits = HubLimits(ring_events, 100_000, buffer_events, rings=all_rings, catch_ups=all_told)
        self.hub = Hub(self.want_flush, limits)
        self.channel: PostChannel = self.hub.post_channel("ada", POST)
        self.undelivered: list[LogEvent] = []
        self.all: list[Reader] = []
        self.damaged = False
        self.written(self.log.write("requested", {"title": "T", "recipe": "blog"}, attempt=0))

    def want_flush(self) -> None:
        """The loop would call flush soon."""
        self.flush_wanted = True

    def written(self, event: LogEvent) -> None:
        """The broker republishes after storing."""
        self.undelivered.append(event)

    # -- the writer ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.log.truth.status in ("queued", "generating", "recovering", "retrying"))
    @rule()
    def start(self) -> None:
        """A worker claims the post, or takes it over."""
        self.written(self.log.write("started", {}, attempt=self.log.truth.attempt + 1))

    @precondition(lambda self: self.log.truth.status in ("generating", "recovering", "retrying"))
    @rule(number=st.integers(0, 2))
    def open_section(self, number: int) -> None:
        """A section begins, perhaps again."""
        self.written(self.log.write("section_started", {"section": f"s{number}"}))

    @precondition(lambda self: self.log.truth.open_section is not None and not self.log.truth.is_final)
    @rule(texts=st.lists(TEXTS, min_size=1, max_size=6))
    def chunks(self, texts: list[str]) -> None:
        """Text grows."""
        for text in texts:
            section = self.log.truth.section(self.log.truth.open_section or "")
            assert section is not None
            start = section.length
            data = {"section": section.section, "start": start, "end": start + len(text), "text": text}
            self.written(self.log.write("chunk", data))

    @precondition(lambda self: self.log.truth.status in ("generating", "recovering", "retrying"))
    @rule(kind=st.sampled_from(["progress", "retrying", "complete", "shiny_new_type"]))
    def other(self, kind: str) -> None:
        """Progress, a failed call, a finished section, an event of a newer version."""
        if kind == "progress":
            self.written(self.log.write("progress", {"percent": 50}))
        elif kind == "retrying":
            self.written(self.log.write("retrying", {"code": "provider_cut"}))
        elif kind == "complete" and self.log.truth.open_section is not None:
            section = self.log.truth.section(self.log.truth.open_section)
            assert section is not None
            data = {"section": section.section, "text": section.text}
            self.written(self.log.write("section_completed", data))
        elif kind == "shiny_new_type":
            self.written(self.log.write(kind, {"x": 1}))

    @precondition(lambda self: self.log.truth.status in ("generating", "recovering"))
    @rule(kind=st.sampled_from(["published", "failed", "cancelled"]))
    def end_run(self, kind: str) -> None:
        """The run ends; after all but a publication a new one begins."""
        truth = self.log.truth
        if kind == "published":
            if truth.open_section is None:
                self.written(self.log.write("published", {"sha256": "0" * 64, "length": 0}))
            return
        section = truth.section(truth.open_section or "")
        data: dict[str, Any] = {"section": section.section, "text": section.text} if section else {}
        self.written(self.log.write(kind, {**data, "code": "poison"} if kind == "failed" else data))
        self.written(self.log.write("requested", {"title": "T", "recipe": "blog"}, run=truth.run + 1))

    @rule(back=st.integers(1, 6))
    def stored_twice(self, back: int) -> None:
        """A recent event is retried after the broker forgot its id: it is stored and delivered again."""
        self.written(self.log.store(self.log.stored[-min(back, len(self.log.stored))].event))

    # -- the broker ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.undelivered)
    @rule(count=st.integers(1, 8), lost=st.sets(st.integers(0, 7), max_size=2))
    def deliver(self, count: int, lost: set[int]) -> None:
        """Live messages arrive in order; some never do."""
        now, self.undelivered = self.undelivered[:count], self.undelivered[count:]
        for number, event in enumerate(now):
            if number not in lost and self.hub.offer(self.channel, event.raw, event.stream_seq) is Verdict.DAMAGED:
                self.damaged = True

    @rule(keep=st.booleans())
    def read_log(self, keep: bool) -> None:
        """A load, or a tail check that reads what is missing; live messages may wait in the buffer meanwhile."""
        if not self.channel.ready or self.damaged:
            self.channel.live.suspend()
            if keep:
                self.deliver(4, set())
            verdict = self.hub.start(self.channel, self.log.loaded(self.recent))
        else:
            verdict = self.hub.refill(self.channel, self.log.after(self.channel.live.stream_seq))
        self.damaged = verdict is Verdict.DAMAGED
        assert not self.damaged
        for reader in self.all:
            subscription = reader.subscription
            if subscription is not None and subscription.state is State.JOINING:
                self.hub.attach(self.channel, subscription)

    @rule()
    def flush(self) -> None:
        """The loop turns."""
        if self.flush_wanted:
            self.flush_wanted = False
            self.hub.flush()
        for reader in self.all:
            if reader.asked_again:
                reader.asked_again = False
                reader.queue.pump()

    # -- readers -------------------------------------------------------------------------------------------------

    @rule(target=readers, dialect=st.sampled_from(DIALECTS))
    def connect(self, dialect: Dialect) -> Reader:
        """Somebody opens the page."""
        reader = Reader(self.hub, self.log, dialect)
        self.all.append(reader)
        self.join(reader, None)
        return reader

    def join(self, reader: Reader, position: Position | None) -> None:
        """Subscribe, as the orchestrator does."""
        reader.subscription = Subscription(f"post:{POST}", reader.queue, reader.dialect, None, position)
        self.hub.join(self.channel, reader.subscription)
        if self.channel.ready and not self.channel.is_ahead(reader.subscription):
            self.hub.attach(self.channel, reader.subscription)

    @rule(reader=readers, frames=st.integers(1, 10))
    def read(self, reader: Reader, frames: int) -> None:
        """A client reads, at its own pace."""
        reader.take(frames)

    @rule(target=readers, old=consumes(readers))
    def come_back(self, old: Reader) -> Reader:
        """A client loses its connection, with what was on the way, and resumes at its place."""
        self.hub.leave_all(old.queue)
        old.queue.close()
        self.all.remove(old)
        reader = Reader(self.hub, self.log, old.dialect)
        reader.snapshot, reader.position = old.snapshot, old.position
        self.all.append(reader)
        position = old.position
        if position is not None and old.snapshot is not None and not old.live:
            position = None  # it was in the middle of a snapshot
        self.join(reader, position)
        return reader

    @rule(reader=readers)
    def subscribe_again(self, reader: Reader) -> None:
        """A client unsubscribes and subscribes again on the same connection."""
        if reader.ended is not None or reader.subscription is None:
            return
        self.hub.leave(reader.subscription)
        reader.wire = [f for f in reader.wire if self.read_rest(reader, f)]
        self.join(reader, reader.position if reader.live else None)

    @staticmethod
    def read_rest(reader: Reader, frame: bytes) -> bool:
        """Frames before the `unsubscribed` answer still count."""
        reader.apply(json.loads(unframed(frame)))
        return False

    # -- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def nobody_is_ahead_of_the_channel(self) -> None:
        """No cursor is beyond what was sent, and everybody in the fan-out has exactly that."""
        if not hasattr(self, "channel") or not self.channel.ready:
            return
        for group in self.channel.groups.values():
            for subscription in group.members:
                assert subscription.state is State.LIVE
                assert not subscription.queue.paused
        for subscription in self.channel.subscriptions:
            assert subscription.state is not State.CATCHING_UP or subscription.cursor <= self.channel.sent_seq
        assert len(self.channel.ring) <= max(1, self.hub.limits.ring_events)
        assert self.hub.limits.rings.used_bytes == self.channel.ring.size_bytes
        assert self.hub.limits.catch_ups.used_bytes >= 0

    def teardown(self) -> None:
        """When everything calms down, everyone has everything."""
        if not hasattr(self, "channel"):
            return
        self.deliver(len(self.undelivered), set())
        for _ in range(3):  # a bounded buffer may need a second read
            self.read_log(False)
        assert self.channel.live.seq == self.log.truth.seq
        for reader in list(self.all):
            if reader.ended is not None:
                assert reader.ended == "slow"
                continue
            for _ in range(200):
                self.flush()
                reader.take(1_000)
                if reader.subscription is None or reader.subscription.state is not State.CATCHING_UP:
                    break
            if reader.ended is None:
                reader.take(1_000)
                assert reader.snapshot is not None and reader.live
                assert reader.snapshot.seq == self.log.truth.seq
                assert document(reader.snapshot) == document(self.log.truth)


TestGateway = Gateway.TestCase
TestGateway.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_merged_events_are_events() -> None:
    """A merged chunk parses as an event that covers its range."""
    log = Log()
    log.write("requested", {"title": "T", "recipe": "blog"}, attempt=0)
    log.write("started", {}, attempt=1)
    log.write("section_started", {"section": "s"})
    for n in range(3):
        log.write("chunk", {"section": "s", "start": n, "end": n + 1, "text": "\U0001f600"})
    hub = Hub(lambda: None)
    channel = hub.post_channel("ada", POST)
    hub.start(channel, log.loaded(100))
    batch = channel.ring.batch_after(3, 6)
    assert batch is not None and batch.seq == 6
    event = parse_event(batch.raw)
    assert event.seq == 6 and getattr(event, "first_seq", None) == 4
