"""Waiting for a condition, the only place in the tests that sleeps; one factor scales every time-out."""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")

TIME_FACTOR_VARIABLE: Final = "INKWIRE_TEST_TIME_FACTOR"
DEFAULT_TIMEOUT_S: Final = 20.0
INTERVAL_S: Final = 0.02

_UNSET: Final = object()


def time_factor() -> float:
    """What every time-out is multiplied by; 1 unless INKWIRE_TEST_TIME_FACTOR says otherwise.

    Raises ValueError for a value that is not a positive number.
    """
    text = os.environ.get(TIME_FACTOR_VARIABLE, "1")
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise ValueError(f"{TIME_FACTOR_VARIABLE} must be a positive number, it is {text!r}")
    return factor


def scaled_s(seconds: float) -> float:
    """`seconds` times the factor: use it for every time-out that a slow machine may need longer for."""
    return seconds * time_factor()


@overload
async def eventually(
    probe: Callable[[], Awaitable[T | None]],
    *,
    what: str,
    timeout_s: float = ...,
    interval_s: float = ...,
    ignoring: tuple[type[Exception], ...] = ...,
) -> T: ...


@overload
async def eventually(
    probe: Callable[[], T | None],
    *,
    what: str,
    timeout_s: float = ...,
    interval_s: float = ...,
    ignoring: tuple[type[Exception], ...] = ...,
) -> T: ...


async def eventually(
    probe: Callable[[], Any],
    *,
    what: str,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    interval_s: float = INTERVAL_S,
    ignoring: tuple[type[Exception], ...] = (),
) -> Any:
    """Call `probe` until it returns something true, and return that.

    `probe` may be sync or async. An AssertionError inside it, or an error of a type in `ignoring`, means "not yet".
    `timeout_s` (scaled) bounds the whole wait, a hanging probe included. Raises AssertionError that names `what` and
    the last thing seen.
    """
    attempt = _Attempt(what, timeout_s)
    not_yet: tuple[type[Exception], ...] = (AssertionError, *ignoring)
    while not attempt.over:
        limit = asyncio.timeout(attempt.left_s)
        try:
            async with limit:
                found = probe()
                value = await found if inspect.isawaitable(found) else found
        except TimeoutError as error:
            if not limit.expired() and not issubclass(TimeoutError, ignoring):
                raise
            attempt.saw(error)
        except not_yet as error:
            attempt.saw(error)
        else:
            if value:
                return value
            attempt.saw(value)
        await asyncio.sleep(interval_s)
    raise attempt.failure()


def eventually_sync(
    probe: Callable[[], T | None],
    *,
    what: str,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    interval_s: float = INTERVAL_S,
    ignoring: tuple[type[Exception], ...] = (),
) -> T:
    """Like `eventually` for code without an event loop; it cannot interrupt a hanging probe."""
    attempt = _Attempt(what, timeout_s)
    not_yet: tuple[type[Exception], ...] = (AssertionError, *ignoring)
    while not attempt.over:
        try:
            value = probe()
        except not_yet as error:
            attempt.saw(error)
        else:
            if value:
                return value
            attempt.saw(value)
        time.sleep(interval_s)
    raise attempt.failure()


class _Attempt:
    """Deadline and last sight of one wait; a wait whose time-out is 0 still tries once."""

    def __init__(self, what: str, timeout_s: float) -> None:
        self._what = what
        self._timeout_s = scaled_s(timeout_s)
        self._ends_at_s = time.monotonic() + self._timeout_s
        self._last: object = _UNSET

    @property
    def left_s(self) -> float:
        return max(0.001, self._ends_at_s - time.monotonic())

    @property
    def over(self) -> bool:
        return self._last is not _UNSET and time.monotonic() >= self._ends_at_s

    def saw(self, value: object) -> None:
        self._last = value

    def failure(self) -> AssertionError:
        error = AssertionError(f"not within {self._timeout_s:g} s: {self._what}; last seen: {self._last!r}")
        if isinstance(self._last, BaseException):
            error.__cause__ = self._last
        return error
