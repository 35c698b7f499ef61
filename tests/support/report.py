"""Which servers a run used and what it skipped: chosen here, printed at the end of every run."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

import pytest

REQUIRE_VARIABLE: Final = "INKWIRE_TEST_REQUIRE"
THINGS: Final = ("nats", "mongo", "browser")
_MOST_REASONS: Final = 30


class Unavailable(Exception):
    """A server or browser cannot be had here; the text says why and what would help."""


class RunReport:
    """What was used, what was missing and why."""

    def __init__(self, required: frozenset[str] = frozenset()) -> None:
        self._required = required
        self._used: dict[str, list[str]] = {}
        self._missing: dict[str, str] = {}

    def use(self, thing: str, label: str) -> None:
        """Note that `thing` is served by `label`; a run may use several, a label that says less is left out."""
        labels = self._used.get(thing, [])
        if not any(known.startswith(label) for known in labels):
            self._used[thing] = [known for known in labels if not label.startswith(known)] + [label]

    def missing(self, thing: str, why: str) -> NoReturn:
        """Skip the test that asked for `thing`, or fail it where the run requires it."""
        self._missing[thing] = why
        if thing in self._required:
            pytest.fail(f"no {thing}, which {REQUIRE_VARIABLE} requires: {why}", pytrace=False)
        pytest.skip(f"no {thing}: {why}")

    def lines(self) -> Iterator[str]:
        """One line for each thing, whether or not this run asked for it."""
        for thing in THINGS:
            for label in self._used.get(thing, []):
                yield f"{thing}: {label}"
            if thing in self._used:
                continue
            if thing in self._missing:
                yield f"{thing}: MISSING, {self._missing[thing]}"
            else:
                yield f"{thing}: not asked for by the tests of this run"


REPORT: Final = pytest.StashKey[RunReport]()


def required_things() -> frozenset[str]:
    """The names in INKWIRE_TEST_REQUIRE. Raises UsageError for a name that means nothing."""
    names = frozenset(name.strip() for name in os.environ.get(REQUIRE_VARIABLE, "").split(",") if name.strip())
    if unknown := names - set(THINGS):
        raise pytest.UsageError(
            f"{REQUIRE_VARIABLE} names {', '.join(sorted(unknown))}; it may name {', '.join(THINGS)}"
        )
    return names


def skip_lines(skips: Iterable[pytest.TestReport]) -> Iterator[str]:
    """One line for each reason with the number of tests it skipped."""
    reasons = Counter(_reason(skip) for skip in skips)
    for reason, count in reasons.most_common(_MOST_REASONS):
        yield f"skipped {count}: {reason}"
    if len(reasons) > _MOST_REASONS:
        yield f"skipped for {len(reasons) - _MOST_REASONS} more reasons: see pytest -rs"


def _reason(skip: pytest.TestReport) -> str:
    text = skip.longrepr[2] if isinstance(skip.longrepr, tuple) else str(skip.longrepr)
    return text.removeprefix("Skipped: ")
