"""Whether a post's task still comes forward. Heartbeats follow it, so a task that hangs loses its lease. Pure."""


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
