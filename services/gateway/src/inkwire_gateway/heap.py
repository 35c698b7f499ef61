"""When the garbage collector looks at what, so that it never stalls thousands of readers. Pure.

A full collection looks at every object there is: a third of a second with 5,000 connections, and nobody is sent
anything meanwhile. So whatever has survived one is frozen, that is not looked at again, and the next one is due before
much that is new has come together. Frozen objects are freed as others are, when nothing refers to them any more; only
cycles of them are not.

Nothing here makes such cycles: connections do not (see ``GatewayConnection``), and a test holds that. What might all
the same, a library's next version perhaps, shows as memory that grows. So all is looked at when memory has doubled
since that was done last, and never where it has not: the stall comes a handful of times in a life or not at all, and
cycles hold as much memory as everything else does, at most.
"""

from collections.abc import Callable
from enum import Enum

FREEZE_COLLECTIONS = 3
"""A full collection is due after so many of the middle generation, of some 7,000 surviving objects each: 15 ms."""

GROWTH = 2
"""How many times as much memory there has to be until all is looked at."""

MIN_BLOCKS = 1_000_000
"""Counts as had at the start, in allocated blocks; 10,000 connections make 1.4 million, so those never stall."""

SIZE_INTERVAL_S = 10.0
"""How often memory is measured: a third of a millisecond, with 10,000 connections."""


class Step(Enum):
    """What to do now."""

    NOTHING = "nothing"
    FREEZE = "freeze"  # collect what is not frozen, then freeze what is left
    THAW = "thaw"  # the same with all there is


class HeapPolicy:
    """Told how many collections of the middle generation there were since the process began.

    Args:
        blocks: tells how many blocks of memory are allocated.
    """

    def __init__(self, middle_collections: int, now_s: float, blocks: Callable[[], int]) -> None:
        self._at_freeze = middle_collections
        self._blocks = blocks
        self._measured_s = now_s
        self._base: int | None = MIN_BLOCKS
        """What there was after all was looked at; ``None`` until that is measured."""

    def step(self, middle_collections: int, now_s: float) -> Step:
        """What is due; it counts as done."""
        if self._has_doubled(now_s):
            self._at_freeze, self._base = middle_collections, None
            return Step.THAW
        if middle_collections - self._at_freeze >= FREEZE_COLLECTIONS:
            self._at_freeze = middle_collections
            return Step.FREEZE
        return Step.NOTHING

    def _has_doubled(self, now_s: float) -> bool:
        if self._base is None:
            self._base, self._measured_s = max(MIN_BLOCKS, self._blocks()), now_s
            return False
        if now_s - self._measured_s < SIZE_INTERVAL_S:
            return False
        self._measured_s = now_s
        return self._blocks() >= GROWTH * self._base
