"""What a worker does about the memory it uses: a pure decision.

A worker near its limit ends what it has and begins nothing; one beyond it hands its posts over and ends. So a crowd
of posts does not wander from one full worker to the next: whoever is nearly full takes none of them.
"""

from enum import StrEnum

TAKE_RATIO = 0.9
"""Share of the limit from which on no job is taken."""


class Action(StrEnum):
    """What follows from a look at the memory."""

    GO_ON = "go on"
    TAKE_NONE = "take none"
    """Write to the end what is being written, begin nothing."""
    HAND_OVER = "hand over"
    """Hand every post over and end, to be started anew."""


def decide(resident_bytes: int, limit_bytes: int, active_count: int) -> Action:
    """``active_count``: posts being written. A nearly full worker without posts will never get better, so it ends."""
    if resident_bytes >= limit_bytes:
        return Action.HAND_OVER
    if resident_bytes < TAKE_RATIO * limit_bytes:
        return Action.GO_ON
    return Action.TAKE_NONE if active_count else Action.HAND_OVER
