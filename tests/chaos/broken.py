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


def break_fence() -> None:
    """Events are written without the claim's token as an expectation: a zombie's writes are accepted."""

    async def append(self: EventLog, event: Event, held: Held) -> int:
        headers = {H_MSG_ID: f"{event.post}.{held.token}.{event.seq}"}
        subject = subjects.post_event(event.owner, event.post, event.type)
        return await self._until_verdict(subject, event, headers)

    EventLog.append = append  # type: ignore[method-assign]


def break_tail_check() -> None:
    """A channel is never compared with the log: neither after silence nor after a lost connection."""
    from inkwire_gateway.channels import Channels

    async def reconnected(_self: Channels) -> None:
        return None

    Channels.suspect = lambda _self, owner=None, post=None: None  # type: ignore[method-assign]
    Channels.reconnected = reconnected  # type: ignore[method-assign]
    Channels._may_have_missed = staticmethod(lambda _channel, upkeep: upkeep.anew)  # type: ignore[method-assign]


def break_prev_check() -> None:
    """A key event is folded whether or not it follows the one before."""
    from inkwire_persister import projector

    def unchecked(snapshot: folding.Snapshot, event: Any) -> folding.Outcome:
        return folding.fold(snapshot, event.model_copy(update={"prev": snapshot.key_seq}))

    projector.fold = unchecked  # type: ignore[attr-defined]


BREAKS: Final = {"fence": break_fence, "tail-check": break_tail_check, "prev-check": break_prev_check}


def main(arguments: list[str]) -> int:
    """Break the rule, then be the service."""
    rule, service = arguments
    BREAKS[rule]()
    return int(importlib.import_module(f"inkwire_{service}.main").main())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
