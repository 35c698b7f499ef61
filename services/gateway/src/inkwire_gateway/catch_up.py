"""How a channel stands, as frames: made once, as they are asked for, for all readers who begin there. Pure.

A reader at a thin line keeps what it began with, because it might never be done with ever newer ones. What all of these
hold together is bounded: beyond it the newest are let go of, and who read them begin anew, so that the others get done.
"""

from collections import deque
from collections.abc import Callable, Iterator
from weakref import ReferenceType, WeakValueDictionary, ref

KEPT_COUNT = 16
"""Those made last stay though nobody reads them any more: many readers of a post begin one after the other."""

TOTAL_BYTES = 64 * 1024 * 1024
"""Of all that are alive, where nothing else was chosen."""


class LetGo(Exception):
    """It is not there any more; begin with a newer one."""


class CatchUp:
    """Frames that bring a reader to ``seq``; the last one says so.

    Args:
        seq: where a reader is who has them all.
        frames: makes them.
        source_bytes: about as much is held by ``frames``.
    """

    def __init__(self, seq: int, frames: Iterator[bytes], *, source_bytes: int = 0) -> None:
        self.seq = seq
        self.is_gone = False
        self.size_bytes = source_bytes
        self._source = frames
        self._frames: list[bytes] = []
        self._all: CatchUps | None = None

    def belong_to(self, everything: "CatchUps") -> None:
        """Count among these until the end."""
        self._all = everything
        everything.used_bytes += self.size_bytes

    def frame(self, index: int) -> bytes | None:
        """One of the frames, from 0 on; ``None`` after the last.

        Raises:
            LetGo: it was let go of.
        """
        if self.is_gone:
            raise LetGo
        while index >= len(self._frames):
            made = next(self._source, None)
            if made is None:
                return None
            self._frames.append(made)
            self.size_bytes += len(made)
            if self._all is not None:
                self._all.used_bytes += len(made)
                self._all.relieve(self)
        return self._frames[index]

    def let_go(self) -> None:
        """Hold nothing any more."""
        self.is_gone = True
        self._source = iter(())
        self._frames = []
        if self._all is not None:
            self._all.used_bytes -= self.size_bytes
        self.size_bytes = 0

    def __del__(self) -> None:
        self.let_go()


class CatchUps:
    """All that somebody still reads, and those made last; bounded by their bytes, but whoever asks has his."""

    def __init__(self, max_bytes: int = TOTAL_BYTES) -> None:
        self.used_bytes = 0
        self._max_bytes = max_bytes
        self._alive: WeakValueDictionary[int, CatchUp] = WeakValueDictionary()
        self._kept: deque[CatchUp] = deque(maxlen=KEPT_COUNT)
        self._made_count = 0

    def add(self, catch_up: CatchUp) -> CatchUp:
        """Count one that was just made."""
        self._made_count += 1
        self._alive[self._made_count] = catch_up
        self._kept.append(catch_up)
        catch_up.belong_to(self)
        self.relieve(catch_up)
        return catch_up

    def relieve(self, spared: CatchUp) -> None:
        """Let go of others until the bound is kept: of those that nobody reads, then of the newest."""
        while self.used_bytes > self._max_bytes and len(self._kept) > 1:
            self._kept.popleft()
        if self.used_bytes <= self._max_bytes:
            return
        for number, newest in reversed(list(self._alive.items())):
            if newest is spared:
                continue
            del self._alive[number]
            newest.let_go()
            if self.used_bytes <= self._max_bytes:
                return


class Standing:
    """The newest of one channel, in each dialect: whoever begins at the same place gets the same."""

    __slots__ = ("_all", "_newest")

    def __init__(self, everything: CatchUps) -> None:
        self._all = everything
        self._newest: dict[object, ReferenceType[CatchUp]] = {}

    def at(self, seq: int, dialect: object, make: Callable[[], CatchUp]) -> CatchUp:
        """The one for ``seq``, made if there is none."""
        known = self._newest.get(dialect)
        found = known() if known is not None else None
        if found is None or found.is_gone or found.seq != seq:
            found = self._all.add(make())
            self._newest[dialect] = ref(found)
        return found

    def forget(self) -> None:
        """The channel was begun anew: the same place is another one now."""
        self._newest.clear()
