"""How fast one provider key may be asked: a value that all workers share, and the steps that change it. Pure.

Requests and tokens are buckets that fill evenly. A bucket is told by one moment, when it will be full if nobody asks
any more; so a call that must wait takes its place in time at once, knows how long it waits, and asks nobody again.
All times are seconds on one clock, the broker's (adapters/budget.py says how a worker knows it).
"""

import hashlib
from base64 import b32encode
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from inkwire_generator.rate_headers import Reading

BURST_S = 5.0
"""How much of a configured limit may be used at once: what five seconds bring."""
USABLE_RATIO = 0.9
"""How much of a reported limit is used: calls arrive in another order than they are sent."""
MATERIAL_RATIO = 0.05
"""A provider that counts differently by less than this share of its limit is not worth a word to the others."""
TOLERANCE_RATIO = 0.05
MINUTE_S = 60.0
PERIODS_S = (1.0, 10.0, MINUTE_S, 3_600.0, 86_400.0)
FEWEST_TO_TELL = 3
EMPTY_RATIO = 0.01

FIRST_HOLD_S = 0.5
"""How long a refusal that names no time holds everybody back."""
MAX_HOLD_S = 60.0
"""Nobody is held back for longer, whatever the provider asks for: then one asks again."""
FIRST_SPACING_S = 0.05
"""Time between calls after a first refusal; it doubles with each that follows, and halves with time."""
MAX_SPACING_S = 5.0
SPACING_HALF_LIFE_S = 5.0
MIN_SPACING_S = 0.01
MAX_AHEAD_S = 60.0
"""No place is given further ahead, so that a worker that dies takes no more than this with it."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What the operator allows, per minute; ``None``: nothing is known but what the provider says."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


NO_LIMITS = RateLimits()


class _Value(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Lane(_Value):
    """The bucket of requests or of tokens. ``limit`` and ``period_s`` are the provider's own words; 0: none yet."""

    full_at_s: float = 0.0
    limit: float = 0.0
    period_s: float = MINUTE_S


class Budget(_Value):
    """One provider key. ``shifted_s`` is how long all were held so far, so that places given before move with it."""

    requests: Lane = Lane()
    tokens: Lane = Lane()
    next_s: float = 0.0
    spacing_s: float = 0.0
    refused_s: float = 0.0
    held_until_s: float = 0.0
    shifted_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """A call of ``tokens`` tokens may be made from ``start_s`` on. One that is not ``given`` was not counted."""

    start_s: float
    tokens: float
    shifted_s: float
    given: bool = True

    def begins_s(self, budget: Budget) -> float:
        """When it may be made now: later than it was promised, if all were held back meanwhile."""
        return self.start_s + max(0.0, budget.shifted_s - self.shifted_s)


@dataclass(frozen=True, slots=True)
class _Pace:
    per_s: float
    depth_s: float


def budget_key(base_url: str, api_key: str, model: str) -> str:
    """Name of a provider key's budget; it does not tell the key."""
    digest = hashlib.sha256("\0".join((base_url.rstrip("/"), api_key, model)).encode()).digest()
    return b32encode(digest[:15]).decode().lower()


def unlimited(budget: Budget, tokens: float, now_s: float, limits: RateLimits) -> Place | None:
    """A place that nobody need be asked for, while there is nothing to keep to."""
    known = budget.requests.limit or budget.tokens.limit or limits.requests_per_minute or limits.tokens_per_minute
    if known or budget.next_s > now_s or spacing_s(budget, now_s) > 0:
        return None
    return Place(now_s, tokens, budget.shifted_s, given=False)


def reserve(budget: Budget, tokens: float, now_s: float, limits: RateLimits) -> tuple[Budget, Place]:
    """The next place for a call, and the budget without it. A place beyond MAX_AHEAD_S is told, but not given."""
    lanes = (
        (budget.requests, 1.0, _pace(budget.requests, limits.requests_per_minute)),
        (budget.tokens, tokens, _pace(budget.tokens, limits.tokens_per_minute)),
    )
    start_s = max(now_s, budget.held_until_s, budget.next_s)
    for lane, amount, pace in lanes:
        if pace is not None:
            start_s = max(start_s, lane.full_at_s - max(0.0, pace.depth_s - amount / pace.per_s))
    if start_s - now_s > MAX_AHEAD_S:
        return budget, Place(start_s, tokens, budget.shifted_s, given=False)
    requests, tokens_left = (
        lane if pace is None else _at(lane, max(lane.full_at_s, start_s) + amount / pace.per_s)
        for lane, amount, pace in lanes
    )
    space_s = spacing_s(budget, now_s)
    next_s = start_s + space_s if space_s else budget.next_s
    taken = budget.model_copy(update={"requests": requests, "tokens": tokens_left, "next_s": next_s})
    return taken, Place(start_s, tokens, budget.shifted_s)


def settle(budget: Budget, requests: float, tokens: float, now_s: float, limits: RateLimits) -> Budget:
    """Take as much more; negative amounts are given back: calls not made, tokens not used."""
    paces = _pace(budget.requests, limits.requests_per_minute), _pace(budget.tokens, limits.tokens_per_minute)
    lanes = [
        lane if pace is None else _at(lane, lane.full_at_s + amount / pace.per_s)
        for lane, amount, pace in zip((budget.requests, budget.tokens), (requests, tokens), paces, strict=True)
    ]
    if requests < 0 and paces[0] is not None and paces[1] is not None:
        # A call that waited for one lane kept the other one waiting too; that goes back with it.
        starts_s = [max(now_s, lane.full_at_s - pace.depth_s) for lane, pace in zip(lanes, paces, strict=True) if pace]
        last_s = min(starts_s)
        lanes = [
            _at(lane, min(lane.full_at_s, last_s + pace.depth_s)) if pace else lane
            for lane, pace in zip(lanes, paces, strict=True)
        ]
    changed = {"requests": lanes[0], "tokens": lanes[1]}
    return budget.model_copy(update=changed) if requests or tokens else budget


def observe(budget: Budget, requests: Reading | None, tokens: Reading | None, now_s: float) -> Budget:
    """Learn from an answer's headers; the same object if they say nothing new."""
    changed = {}
    for name, reading in (("requests", requests), ("tokens", tokens)):
        lane: Lane = getattr(budget, name)
        if reading is not None and (seen := _seen(lane, reading, now_s)) != lane:
            changed[name] = seen
    return budget.model_copy(update=changed) if changed else budget


def refuse(budget: Budget, retry_after_s: float | None, began_s: float, now_s: float) -> Budget:
    """A call that began at ``began_s`` was refused: all wait, places given before move, later calls are spaced."""
    hold_s = FIRST_HOLD_S if retry_after_s is None else min(retry_after_s, MAX_HOLD_S)
    until_s = max(budget.held_until_s, now_s + hold_s)
    longer_s = until_s - max(budget.held_until_s, now_s)
    spacing, refused_s = budget.spacing_s, budget.refused_s
    if began_s >= refused_s:  # else it was under way when we were told
        spacing = min(MAX_SPACING_S, max(FIRST_SPACING_S, 2 * spacing_s(budget, now_s)))
        refused_s = now_s
    return Budget(
        requests=_at(budget.requests, max(budget.requests.full_at_s, now_s) + longer_s),
        tokens=_at(budget.tokens, max(budget.tokens.full_at_s, now_s) + longer_s),
        next_s=max(budget.next_s + longer_s, until_s),
        spacing_s=spacing,
        refused_s=refused_s,
        held_until_s=until_s,
        shifted_s=budget.shifted_s + longer_s,
    )


def spacing_s(budget: Budget, now_s: float) -> float:
    """Time between calls that refusals taught; it is forgotten bit by bit."""
    calm_s = max(0.0, now_s - max(budget.refused_s, budget.held_until_s))
    space_s = budget.spacing_s * 0.5 ** min(64.0, calm_s / SPACING_HALF_LIFE_S)
    return float(space_s) if space_s >= MIN_SPACING_S else 0.0


def _pace(lane: Lane, per_minute: float | None) -> _Pace | None:
    """The slower, and the smaller burst, of what the operator allows and what the provider reports."""
    known = []
    if lane.limit:
        known.append((lane.limit / lane.period_s, lane.limit * USABLE_RATIO))
    if per_minute:
        known.append((per_minute / MINUTE_S, BURST_S * per_minute / MINUTE_S))
    if not known:
        return None
    per_s = min(rate for rate, _ in known)
    return _Pace(per_s, max(1.0, min(burst for _, burst in known)) / per_s)


def _seen(lane: Lane, reading: Reading, now_s: float) -> Lane:
    """The lane as the provider counts it. Ours counts calls that it has not seen yet, so the fuller count holds.

    A bucket fills evenly: what is missing, the time until all is there and the limit fit one of the usual periods.
    Where they do not, the provider counts in windows that begin anew as a whole.
    """
    missing = reading.limit - reading.remaining
    guess_s = reading.reset_s * reading.limit / missing if missing > 0 else 0.0
    period_s = next((period_s for period_s in PERIODS_S if period_s * (1 + TOLERANCE_RATIO) >= guess_s), MINUTE_S)
    told = missing >= FEWEST_TO_TELL
    # `remaining` is rounded down, so `missing` is up to one too many.
    is_window = told and guess_s / period_s < 1 - 1 / missing - TOLERANCE_RATIO
    if is_window:
        period_s = MINUTE_S
    elif guess_s == 0 or (lane.limit and not told):
        period_s = lane.period_s
    learned = lane.model_copy(update={"limit": reading.limit, "period_s": period_s})
    if is_window and reading.remaining < max(1.0, EMPTY_RATIO * reading.limit):
        full_at_s = now_s + reading.reset_s + period_s * USABLE_RATIO  # nothing before it begins anew, then evenly
    else:
        full_at_s = now_s + missing * period_s / reading.limit
    if full_at_s - max(now_s, lane.full_at_s) > MATERIAL_RATIO * period_s:
        return _at(learned, full_at_s)
    return learned if learned != lane else lane


def _at(lane: Lane, full_at_s: float) -> Lane:
    return lane.model_copy(update={"full_at_s": full_at_s})
