"""How fast deltas leave: a speed that can change while streams run, and the arithmetic of being on time. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SHORTEST_WAIT_S: Final = 0.001  # deltas due closer together than this leave in one write
LONGEST_WAIT_S: Final = 0.1  # a change of speed is noticed after this at the latest
MAX_BATCH: Final = 64  # deltas in one write
MAX_TOKENS_PER_S: Final = 1_000_000.0
MAX_TTFT_MS: Final = 3_600_000.0
_EPSILON: Final = 1e-6  # deltas; absorbs the rounding of clock arithmetic


@dataclass(frozen=True, slots=True)
class Speed:
    """`tokens_per_s` 0 means as fast as possible; `ttft_ms` is the wait before the first chunk."""

    tokens_per_s: float = 60.0
    ttft_ms: float = 250.0


class Pacer:
    """Says how many deltas may be out by now and how long to wait for the next one."""

    def __init__(self, speed: Callable[[], Speed], now_s: Callable[[], float]) -> None:
        self._speed_of, self._now_s = speed, now_s
        self.start(0)

    def start(self, sent: int) -> None:
        """Begin to count here: the next delta is due now."""
        self._anchor_s, self._anchor_sent, self._speed = self._now_s(), sent, self._speed_of()

    def allowed(self, sent: int) -> int:
        """How many deltas may be out in total, at most MAX_BATCH more than `sent`."""
        if self._speed_of() != self._speed:
            self.start(sent)
        rate = self._speed.tokens_per_s
        if rate <= 0:
            return sent + MAX_BATCH
        elapsed_s = self._now_s() - self._anchor_s
        return min(sent + MAX_BATCH, self._anchor_sent + 1 + int(elapsed_s * rate + _EPSILON))

    def wait_s(self, sent: int) -> float:
        """Seconds until delta number `sent` (from 0) is due; 0 where no pause is wanted at all."""
        rate = self._speed.tokens_per_s
        if rate <= 0:
            return 0.0
        due_s = self._anchor_s + (sent - self._anchor_sent) / rate
        return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, due_s - self._now_s()))
