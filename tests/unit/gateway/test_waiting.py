"""Slow readers: progress keeps one alive, standing still ends it, and all together are bounded."""

from inkwire_gateway.waiting import WaitingReaders


class FakeReader:
    """A reader whose transport holds so much."""

    def __init__(self, readers: WaitingReaders, held: int, replies: int = 0) -> None:
        self.readers, self.held, self.replies = readers, held, replies
        self.closes: list[str] = []

    def transport_bytes(self) -> int:
        """As told."""
        return self.held

    def reply_bytes(self) -> int:
        """As told."""
        return self.replies

    def close(self, code: str) -> None:
        """Note it, and leave as a client does."""
        self.closes.append(code)
        self.readers.remove(self)


def full(readers: WaitingReaders, held: int, now_s: float, replies: int = 0) -> FakeReader:
    """A reader whose socket has become full."""
    reader = FakeReader(readers, held, replies)
    readers.add(reader, now_s)
    return reader


def test_a_little_progress_is_enough() -> None:
    """Who takes a byte now and then lives for ever; who takes none is closed after the time-out, not before."""
    readers = WaitingReaders(30.0, 10**9)
    slow, dead = full(readers, 1_000, 0.0), full(readers, 1_000, 0.0)
    for turn in range(1, 50):
        slow.held -= 1
        for reader in (slow, dead):
            readers.look(reader, turn * 15.0)
        assert dead.closes == ([] if turn <= 2 else ["slow"])
    assert slow.closes == [] and len(readers) == 1


def test_what_comes_behind_is_no_progress() -> None:
    """More replies that wait are counted, but neither they nor growth keep a reader alive."""
    readers = WaitingReaders(30.0, 10**9)
    reader = full(readers, 1_000, 0.0)
    reader.replies, reader.held = 500, 1_100
    readers.look(reader, 20.0)
    assert readers.total_bytes == 1_600
    reader.replies = 0
    readers.look(reader, 30.1)
    assert reader.closes == ["slow"] and readers.total_bytes == 0


def test_the_longest_without_progress_goes_first() -> None:
    """At the bound of all together only as many go as must, in the order of their last progress."""
    readers = WaitingReaders(1_000.0, 2_500)
    old, moved, young = full(readers, 1_000, 0.0), full(readers, 1_000, 1.0), full(readers, 1_000, 2.0)
    assert readers.too_much
    moved.held -= 10
    readers.look(moved, 3.0)
    readers.relieve(4.0)
    assert [r.closes for r in (old, moved, young)] == [["slow"], [], []]
    assert readers.total_bytes == 1_990 and not readers.too_much
    full(readers, 1_000, 5.0)
    readers.relieve(6.0)
    assert young.closes == ["slow"] and moved.closes == []


def test_relief_measures_before_it_closes() -> None:
    """Who has made progress since the last look is not taken for the one that stood still."""
    readers = WaitingReaders(1_000.0, 1_500)
    first, second = full(readers, 1_000, 0.0), full(readers, 1_000, 1.0)
    first.held = 900
    readers.relieve(2.0)
    assert first.closes == [] and second.closes == ["slow"]


def test_the_bound_holds_also_when_all_make_progress() -> None:
    """Too much is too much: then the one whose progress is oldest goes."""
    readers = WaitingReaders(1_000.0, 1_500)
    first, second = full(readers, 1_000, 0.0), full(readers, 1_000, 1.0)
    first.held = second.held = 999
    readers.relieve(2.0)
    assert first.closes == ["slow"] and second.closes == [] and not readers.too_much


def test_room_again_forgets() -> None:
    """A reader that has room again counts no more, and begins anew when it is full again."""
    readers = WaitingReaders(30.0, 10**9)
    reader = full(readers, 1_000, 0.0, replies=5)
    readers.remove(reader)
    readers.remove(reader)
    assert readers.total_bytes == 0 and len(readers) == 0
    readers.look(reader, 100.0)
    readers.add(reader, 100.0)
    readers.look(reader, 130.0)
    assert reader.closes == []
