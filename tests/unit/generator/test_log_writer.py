"""One event in flight, text coalescing behind it."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from inkwire_chassis.event_log import Fenced, Held
from inkwire_contracts.events import ChunkProduced, Event, ProgressData, Progressed, SectionStarted, SectionStartedData
from inkwire_contracts.fold import Snapshot
from inkwire_generator.adapters import log_writer
from inkwire_generator.adapters.log_writer import LogWriter, Turns, open_writer
from inkwire_generator.composing import Author
from inkwire_generator.pulse import Pulse
from tests.support.clock import ManualClock
from tests.support.lives import POST


class SlowLog:
    """A log that stores an event only when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Event] = []
        self.stored: list[Event] = []
        self._turn = asyncio.Semaphore(0)
        self.fenced = False

    async def append(self, event: Event, held: Held) -> int:
        self.asked.append(event)
        await self._turn.acquire()
        if self.fenced:
            raise Fenced
        self.stored.append(event)
        return len(self.stored)

    def store(self, count: int = 1) -> None:
        for _ in range(count):
            self._turn.release()

    def texts(self) -> list[str]:
        return [event.data.text for event in self.asked if isinstance(event, ChunkProduced)]


def writer_on(
    log: SlowLog, among: Turns | None = None, pulse: Pulse | None = None
) -> AbstractAsyncContextManager[LogWriter]:
    """A writer of a post that is being written, ``among`` others of the same worker."""
    snapshot = Snapshot(post=POST, run=1, seq=1, key_seq=1, status="generating")
    clock = ManualClock()
    author, pulse = Author("ada", 1, 1), pulse or Pulse(clock.monotonic_s(), 5)
    among = among or Turns(chunks=1, keys=1)
    return open_writer(LogWriter(log.append, Held(POST, 7, 1), snapshot, author, clock, pulse, among))


async def turns() -> None:
    """Let every task run until all wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def opened(log: SlowLog, writer: LogWriter) -> None:
    """Open a section."""
    log.store()
    await writer.write(SectionStarted, SectionStartedData(section="s1"))


async def test_the_first_piece_goes_at_once_and_the_rest_coalesces() -> None:
    """While an acknowledgement is pending, pieces gather and make one chunk; nothing waits for a timer."""
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        await writer.push("s1", "a")
        await turns()
        for piece in "bcd":
            await writer.push("s1", piece)
            await turns()
        assert log.texts() == ["a"]
        log.store()
        await turns()
        assert log.texts() == ["a", "bcd"]
        log.store()
        await writer.drain()
        section = writer.snapshot.section("s1")
        assert section is not None and section.text == "abcd"


async def test_events_wait_for_the_text_before_them() -> None:
    """A key event is written after all text that was pushed before it."""
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        await writer.push("s1", "a")
        await turns()
        await writer.push("s1", "b")
        log.store(3)
        await writer.write(Progressed, ProgressData(percent=1))
        assert [event.type for event in log.stored] == ["section_started", "chunk", "chunk", "progress"]
        assert [event.seq for event in log.stored] == [2, 3, 4, 5]


async def test_chunks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of text becomes several chunks, none beyond the bound."""
    monkeypatch.setattr(log_writer, "MAX_CHUNK_CHARS", 4)
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        await writer.push("s1", "abcdefghij")
        log.store(3)
        await writer.drain()
        assert log.texts() == ["abcd", "efgh", "ij"]


async def test_a_full_buffer_holds_the_reader_of_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound push waits, and goes on when the broker has taken some."""
    monkeypatch.setattr(log_writer, "MAX_BUFFERED_CHARS", 5)
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        await writer.push("s1", "a")
        await turns()
        pushing = asyncio.gather(writer.push("s1", "bcdef"))
        await turns()
        assert not pushing.done()
        log.store()
        await pushing


async def test_a_fence_is_told_to_whoever_writes_next() -> None:
    """After a lost claim nothing more is asked of the log, and every call says so."""
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        log.fenced = True
        log.store()
        await writer.push("s1", "a")
        with pytest.raises(Fenced):
            await writer.drain()
        with pytest.raises(Fenced):
            await writer.push("s1", "b")
        with pytest.raises(Fenced):
            await writer.write(Progressed, ProgressData(percent=1))
        assert log.texts() == ["a"]


async def test_an_event_outlives_whoever_waited_for_it() -> None:
    """A cancelled caller leaves its event to be stored and folded, so that what follows is numbered right."""
    log = SlowLog()
    async with writer_on(log) as writer:
        waiting = asyncio.gather(writer.write(SectionStarted, SectionStartedData(section="s1")))
        await turns()
        waiting.cancel()
        await turns()
        log.store(2)
        await writer.write(Progressed, ProgressData(percent=1))
        assert [event.seq for event in log.stored] == [2, 3]


async def test_leaving_abandons_what_is_in_flight() -> None:
    """A release does not wait for the broker."""
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        await writer.push("s1", "a")
        await turns()
    assert [event.type for event in log.stored] == ["section_started"]


async def test_what_comes_while_a_post_waits_for_its_turn_is_in_its_chunk() -> None:
    """A post that waits behind others sends what its provider has said until the moment when its turn comes."""
    log, others = SlowLog(), Turns(chunks=1)
    async with writer_on(log, others) as writer:
        await opened(log, writer)
        await others.chunks.acquire()

        async def read() -> None:
            await writer.push("s1", "a")
            await writer.settle()
            await writer.push("s1", "b")

        reading = asyncio.gather(read())
        await turns()
        assert log.texts() == []
        assert not reading.done()
        others.chunks.release()
        log.store()
        await reading
        await writer.drain()
        assert log.texts() == ["ab"]


async def test_a_worker_sends_only_so_many_chunks_at_once() -> None:
    """The third post's chunk goes when one of the two before it is stored; key events are not held up by them."""
    logs, among = [SlowLog(), SlowLog(), SlowLog()], Turns(chunks=2)
    async with (
        writer_on(logs[0], among) as first,
        writer_on(logs[1], among) as second,
        writer_on(logs[2], among) as third,
    ):
        for log, writer in zip(logs, (first, second, third), strict=True):
            await opened(log, writer)
            await writer.push("s1", "a")
            await turns()
        assert [log.texts() for log in logs] == [["a"], ["a"], []]
        logs[1].store()
        await turns()
        assert logs[2].texts() == ["a"]


async def test_only_so_many_posts_write_key_events_at_once() -> None:
    """A second post's key event goes when the first one's is stored; the text of a third waits for neither."""
    logs, among = [SlowLog(), SlowLog(), SlowLog()], Turns(keys=1)
    async with (
        writer_on(logs[0], among) as first,
        writer_on(logs[1], among) as second,
        writer_on(logs[2], among) as third,
    ):
        await opened(logs[2], third)
        begun = SectionStartedData(section="s1")
        writing = asyncio.gather(first.write(SectionStarted, begun), second.write(SectionStarted, begun))
        await third.push("s1", "a")
        await turns()
        assert [len(log.asked) for log in logs] == [1, 0, 2]
        logs[0].store()
        await turns()
        assert [len(log.asked) for log in logs] == [1, 1, 2]
        logs[1].store()
        await writing


async def test_who_waits_behind_a_full_log_does_not_hang() -> None:
    """A post without a turn is alive as long as those that have one wait for room; one that has ended is forgotten."""
    log, among, clock = SlowLog(), Turns(chunks=1), ManualClock()
    begun_s = clock.monotonic_s()
    pulse = Pulse(begun_s, 5)
    async with writer_on(log, among, pulse) as writer:
        await opened(log, writer)
        await among.chunks.acquire()
        await writer.push("s1", "a")
        await turns()
        among.touch(begun_s + 100)
        assert pulse.alive(begun_s + 104)
    among.touch(begun_s + 200)
    assert not pulse.alive(begun_s + 106)


async def test_a_reader_that_always_has_more_is_never_left_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """However its pushes fall between the writer's steps, each wait ends with a turn, not with the clock."""
    monkeypatch.setattr(log_writer, "MAX_SETTLE_S", 3600.0)
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        log.store(200)
        async with asyncio.timeout(30):
            for number in range(60):
                await writer.push("s1", f"{number},")
                await writer.settle()
                for _ in range(number % 7):
                    await asyncio.sleep(0)
            await writer.drain()
        section = writer.snapshot.section("s1")
        assert section is not None and section.text == "".join(f"{number}," for number in range(60))


async def test_a_broker_that_is_away_holds_the_provider_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider is read on, so that its patience lasts as long as the buffer."""
    monkeypatch.setattr(log_writer, "MAX_SETTLE_S", 0.0)
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        for piece in "abc":
            await writer.push("s1", piece)
            await turns()
            await writer.settle()
        assert log.texts() == ["a"]
        log.store(2)
        await writer.drain()
        assert log.texts() == ["a", "bc"]


async def test_a_reader_that_settles_is_told_of_a_fence() -> None:
    """It does not wait for a turn that never comes."""
    log = SlowLog()
    async with writer_on(log) as writer:
        await opened(log, writer)
        await writer.push("s1", "a")
        await turns()
        await writer.push("s1", "b")
        settling = asyncio.gather(writer.settle(), return_exceptions=True)
        await turns()
        log.fenced = True
        log.store()
        assert [type(found) for found in await settling] == [Fenced]
