"""Starts a service with one rule broken on purpose: `python -m tests.chaos.broken fence generator`.

Only tests start this. It shows that the matrix can fail: each of these rules, left out, must be caught.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Any, Final

from inkwire_chassis.event_log import EventLog, Held
from inkwire_chassis.jetstream import H_MSG_ID
from inkwire_contracts import fold as folding
from inkwire_contracts import subjects
from inkwire_contracts.events import Event

BROKEN_IN: Final[Mapping[str, str]] = {"fence": "generator", "tail-check": "gateway", "prev-check": "persister"}
"""Each rule and the service that keeps it."""

SHORT_BUSY_TIMEOUT_MS: Final = 400


def break_fence() -> None:
    """Events are written without the claim's token as an expectation: a zombie's writes are accepted."""

    async def append(self: EventLog, event: Event, held: Held, **_: Any) -> int:
        headers = {H_MSG_ID: f"{event.post}.{held.token}.{event.seq}"}
        subject = subjects.post_event(event.owner, event.post, event.type)
        return await self._until_verdict(subject, event, headers)

    EventLog.append = append  # type: ignore[method-assign]


def break_tail_check() -> None:
    """A channel is never compared with the log: neither after silence nor after a lost connection."""
    from inkwire_gateway.channels import Channels

    def nothing(*_: object) -> None:
        return None

    def only_what_is_new(_channel: object, upkeep: Any) -> bool:
        return bool(upkeep.anew)

    replace: Any = setattr  # a type checker must not mind: this is the point
    replace(Channels, "suspect", nothing)
    replace(Channels, "reconnected", nothing)
    replace(Channels, "_may_have_missed", staticmethod(only_what_is_new))


def break_prev_check() -> None:
    """A key event is folded whether or not it follows the one before.

    The store gives up after a shorter wait too, so that short locks bring events into the wrong order: with the rule,
    that is harmless.
    """
    from inkwire_persister import projector
    from inkwire_stores import sqlite_file

    def unchecked(snapshot: folding.Snapshot, event: Any) -> folding.Outcome:
        return folding.fold(snapshot, event.model_copy(update={"prev": snapshot.key_seq}))

    replace: Any = setattr
    replace(projector, "fold", unchecked)
    replace(sqlite_file, "BUSY_TIMEOUT_MS", SHORT_BUSY_TIMEOUT_MS)


BREAKS: Final = {"fence": break_fence, "tail-check": break_tail_check, "prev-check": break_prev_check}


def main(arguments: list[str]) -> int:
    """Break the rule, then be the service."""
    rule, service = arguments
    BREAKS[rule]()
    sys.argv = sys.argv[:1]  # a service may read a command line of its own
    return int(importlib.import_module(f"inkwire_{service}.main").main())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
