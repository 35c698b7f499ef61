"""Close codes of the WebSocket, one table, whose ranges tell a client what to do (as in Pusher's protocol).

4000-4099: do not reconnect with the same credentials; 4100-4199: reconnect after a back-off; 4200-4299: at once.
Of the registered codes (RFC 6455) 1000 means never, as who sends it has finished; every other one means reconnect after
a back-off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Reconnect = Literal["never", "backoff", "now"]


@dataclass(frozen=True, slots=True)
class CloseCode:
    """One row: what is sent, and why."""

    code: int
    name: str
    reason: str

    @property
    def reconnect(self) -> Reconnect:
        """What a client should do."""
        return reconnect_rule(self.code)


def reconnect_rule(code: int) -> Reconnect:
    """The rule of a close code's range; the page's ``socket.js`` has the same function."""
    if code == 1000 or 4000 <= code <= 4099:
        return "never"
    return "now" if 4200 <= code <= 4299 else "backoff"


CLOSE_CODES: Mapping[str, CloseCode] = {
    row.name: row
    for row in (
        CloseCode(1009, "frame_too_large", "frame too large"),
        CloseCode(4000, "invalid_frame", "a frame was not valid"),
        CloseCode(4001, "unauthenticated", "no valid token; get a new one first"),
        CloseCode(4002, "unauthenticated_timeout", "no token was sent in time"),
        CloseCode(4003, "forbidden", "the token does not allow this"),
        CloseCode(4100, "over_capacity", "too many connections"),
        CloseCode(4101, "token_expired", "the token expired; get a new one and reconnect"),
        CloseCode(4102, "slow", "the connection is too slow; reconnect to resume"),
        CloseCode(4103, "rate_limited", "too many frames"),
        CloseCode(4104, "no_pong", "no answer to a ping"),
        CloseCode(4105, "lost_position", "the server lost its place; reconnect to resume"),
        CloseCode(4106, "idle", "nothing was followed or sent for too long; reconnect when needed"),
        CloseCode(4200, "draining", "the server restarts; reconnect now"),
    )
}
