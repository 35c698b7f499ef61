"""Places that a worker has taken ahead, so that it need not ask the shared budget for each call. Pure."""

from collections import deque

from inkwire_generator.budget import Budget, Place

DEMAND_S = 1.0
"""As many are taken ahead as were asked for within this time."""
MAX_AHEAD = 32
KEPT_S = 2.0
"""One that nobody wanted for this long is given back."""


class Slice:
    """One worker's part of one budget."""

    def __init__(self) -> None:
        self._places: deque[Place] = deque()
        self._asked_s: deque[float] = deque(maxlen=MAX_AHEAD)

    def take(self, tokens: float, budget: Budget, now_s: float) -> Place | None:
        """A place for a call of that size that may be made now, if there is one."""
        self._asked_s.append(now_s)
        for place in self._places:
            if place.tokens >= tokens and place.begins_s(budget) <= now_s:
                self._places.remove(place)
                return place
        return None

    def wanted_ahead(self, now_s: float) -> int:
        """How many more to take with the next ones."""
        recent = sum(asked_s > now_s - DEMAND_S for asked_s in self._asked_s)
        return max(0, recent - len(self._places) - 1)

    def put(self, places: list[Place]) -> None:
        """Places taken ahead."""
        self._places.extend(places)

    def unwanted(self, now_s: float) -> list[Place]:
        """Those that lie about for too long, no longer here."""
        old = [place for place in self._places if place.start_s < now_s - KEPT_S]
        for place in old:
            self._places.remove(place)
        return old
