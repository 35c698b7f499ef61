"""Whether a post's task still comes forward, and when its heartbeats come. One that hangs loses its lease. Pure."""

from inkwire_contracts.subjects import BUCKETS


class Pulse:
    """Touched at each step; a step that may take long says for how long it may be silent."""

    def __init__(self, now_s: float, stall_limit_s: float) -> None:
        self._stall_limit_s = stall_limit_s
        self._deadline_s = now_s + stall_limit_s

    def touch(self, now_s: float) -> None:
        """A step was made. What :meth:`expect` allowed stays allowed: text stored now says nothing about the model."""
        self._deadline_s = max(self._deadline_s, now_s + self._stall_limit_s)

    def expect(self, now_s: float, within_s: float) -> None:
        """The next step comes within ``within_s`` seconds, and the usual limit after that."""
        self._deadline_s = now_s + within_s + self._stall_limit_s

    def alive(self, now_s: float) -> bool:
        """Whether the lease may be kept."""
        return now_s < self._deadline_s


class Beats:
    """When a job's heartbeats come: with those of all jobs that the same consumer gave us.

    The broker writes a consumer's state through to the disk, twice each time, up to ten times a second for as long as
    something of it changes: 120 times a second for 400 posts of which each beat in its own time, 32 together.
    """

    def __init__(self, interval_s: float, bucket: int, now_s: float) -> None:
        self._interval_s = interval_s
        self._offset_s = interval_s * bucket / BUCKETS  # not all at once: the posts of this process would stand still
        self.next_s = self._before(now_s) + interval_s
        """The next one, on the clock that ``now_s`` is from."""

    def passed(self, now_s: float) -> None:
        """A heartbeat was sent; those that were missed are not sent later."""
        self.next_s = max(self.next_s, self._before(now_s)) + self._interval_s

    def _before(self, now_s: float) -> float:
        return (now_s - self._offset_s) // self._interval_s * self._interval_s + self._offset_s
