"""When the garbage collector looks at what, so that it never stalls thousands of readers. Pure.

A full collection looks at every object there is: a third of a second with 5,000 connections, and nobody is sent
anything meanwhile. So whatever has survived one is frozen, that is not looked at again, and the next one is due before
much that is new has come together. Frozen objects are freed as others are, when nothing refers to them any more; only
cycles of them are not, and connections make none (see ``GatewayConnection``). For whatever else might, all is looked at
once in a long while.
"""

from enum import Enum

FREEZE_COLLECTIONS = 3
"""A full collection is due after so many of the middle generation, of some 7,000 surviving objects each: 15 ms."""

THAW_INTERVAL_S = 3600.0
"""How long a cycle that was frozen may stay at most."""


class Step(Enum):
    """What to do now."""

    NOTHING = "nothing"
    FREEZE = "freeze"  # collect what is not frozen, then freeze what is left
    THAW = "thaw"  # the same with all there is


class HeapPolicy:
    """Told how many collections of the middle generation there were since the process began."""

    def __init__(self, middle_collections: int, now_s: float) -> None:
        self._at_freeze = middle_collections
        self._thawed_s = now_s

    def step(self, middle_collections: int, now_s: float) -> Step:
        """What is due; it counts as done."""
        if now_s - self._thawed_s >= THAW_INTERVAL_S:
            self._thawed_s, self._at_freeze = now_s, middle_collections
            return Step.THAW
        if middle_collections - self._at_freeze >= FREEZE_COLLECTIONS:
            self._at_freeze = middle_collections
            return Step.FREEZE
        return Step.NOTHING
