"""Bounds that are counted: frames of a connection, connections of an owner. Pure; time is passed in."""

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

RING_TOTAL_BYTES = 512 * 1024 * 1024
"""Recent events of all channels together, where nothing else was chosen."""

H = TypeVar("H", bound=Hashable)


class FrameRate:
    """A token bucket.

    Args:
        per_s: frames a second in the long run.
        burst: frames at once.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._left = float(burst)
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Count one frame at a monotonic time; False if it is one too many."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class ConnectionCount:
    """Connections in total and per owner."""

    def __init__(self, total: int, per_owner: int) -> None:
        self._max_total = total
        self._max_per_owner = per_owner
        self._owners: Counter[str] = Counter()
        self.total = 0

    def enter(self) -> bool:
        """Count a connection; False if there are too many (it counts until :meth:`leave` all the same)."""
        self.total += 1
        return self.total <= self._max_total

    def leave(self, owner: str | None) -> None:
        """A connection is gone; ``owner`` if it had been admitted as one's."""
        self.total -= 1
        if owner is not None:
            self._owners[owner] -= 1
            if self._owners[owner] <= 0:
                del self._owners[owner]

    def admit(self, owner: str) -> bool:
        """Count an authenticated connection; False, and not counted, if the owner has too many."""
        if self._owners[owner] >= self._max_per_owner:
            return False
        self._owners[owner] += 1
        return True


class Handshakes(Generic[H]):
    """Connections that have not finished their opening handshake.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: set[H] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def enter(self, connection: H) -> bool:
        """Count a connection; False, and not counted, if there are too many."""
        if len(self._under_way) >= self._most:
            return False
        self._under_way.add(connection)
        return True

    def leave(self, connection: H) -> bool:
        """It has finished or is gone; whether it had been under way until now."""
        known = connection in self._under_way
        self._under_way.discard(connection)
        return known

    def all(self) -> list[H]:
        """Who is under way."""
        return list(self._under_way)
