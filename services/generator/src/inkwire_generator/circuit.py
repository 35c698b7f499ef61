"""Circuit breaker of one provider key, shared by all posts of a worker. Pure; times are given in monotonic seconds.

Closed, it lets every call pass and counts failures in a row. Open, it lets none pass until a while is over; then one
call may probe. An answer to the probe closes it, a failure opens it again for twice as long.
"""

from dataclasses import dataclass

MAX_TOLD_S = 3_600.0
"""The longest that a provider's own word keeps it out without a probe."""


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """Bounds. Durations in seconds."""

    failures_count: int = 5
    """Failures in a row, over all posts, that open it."""
    first_open_s: float = 5.0
    max_open_s: float = 60.0


class Circuit:
    """Ask :meth:`refusal_s`, take a permit from :meth:`ask`, and tell with it what became of the call.

    What is told of calls that began before the circuit last opened is ignored: they are old news.
    """

    def __init__(self, policy: CircuitPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._openings = 0
        self._open_until_s: float | None = None
        self._probing = False
        self._permit = 0
        self.code = ""
        """Why it is open, or was last."""

    @property
    def is_open(self) -> bool:
        """Whether calls are refused; true while one probes."""
        return self._open_until_s is not None

    def refusal_s(self, now_s: float) -> float:
        """How long to wait before asking again; 0 if a call may be made now."""
        if self._open_until_s is None:
            return 0.0
        return self._policy.first_open_s if self._probing else max(0.0, self._open_until_s - now_s)

    def ask(self) -> int:
        """A call is made, after :meth:`refusal_s` said 0: its permit."""
        if self._open_until_s is not None:
            self._probing = True
            self._permit += 1
        return self._permit

    def answered(self, permit: int) -> None:
        """Text arrived. It closes an open circuit, for now: until an answer is whole, one failure opens it again."""
        if permit == self._permit and self.is_open:
            self._open_until_s, self._probing = None, False
            self._failures = self._policy.failures_count - 1

    def finished(self, permit: int) -> None:
        """The answer is whole."""
        if permit == self._permit:
            self._open_until_s, self._probing = None, False
            self._failures = self._openings = 0

    def failed(self, permit: int, now_s: float, code: str) -> None:
        """The provider did not answer, or not to the end."""
        if permit != self._permit:
            return
        self._failures += 1
        if self._probing or self._failures >= self._policy.failures_count:
            open_s = self._policy.first_open_s * 2 ** min(self._openings, 16)
            self._open(now_s, min(open_s, self._policy.max_open_s), code)

    def tripped(self, permit: int, now_s: float, code: str, open_s: float | None = None) -> None:
        """The provider said that no call can succeed: open at once, as long as it said, or for the longest time.

        What it said counts up to ``MAX_TOLD_S``; then one call probes.
        """
        if permit == self._permit:
            self._open(now_s, self._policy.max_open_s if open_s is None else min(open_s, MAX_TOLD_S), code)

    def left(self, permit: int) -> None:
        """The call is over, whatever was told of it; a probe that ended without a verdict makes room for another."""
        if permit == self._permit:
            self._probing = False

    def _open(self, now_s: float, open_s: float, code: str) -> None:
        self._open_until_s = now_s + open_s
        self._probing = False
        self._permit += 1
        self._openings += 1
        self._failures = 0
        self.code = code
