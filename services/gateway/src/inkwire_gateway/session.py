"""One client's side of the native protocol: frames in, effects out. Pure; tokens and time are passed in.

A frame that is refused changes nothing: it is answered with an ``error`` frame that says what to do.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from inkwire_chassis.auth import LEEWAY_S, Principal
from inkwire_chassis.clock import rfc3339
from inkwire_contracts.client_frames import (
    CLIENT_FRAME,
    Authenticate,
    Cancel,
    ErrorFrame,
    Ping,
    Pong,
    Position,
    Refresh,
    Refreshed,
    Subscribe,
    Unsubscribe,
    Unsubscribed,
    Welcome,
    Whisper,
)
from inkwire_contracts.errors import InkwireError, render
from inkwire_contracts.ids import ID_PATTERN, OWNER_PATTERN
from inkwire_gateway.limits import FrameRate

_ID, _OWNER = ID_PATTERN.strip("^$"), OWNER_PATTERN.strip("^$")
_POST = re.compile(rf"^(?:post|reply:(?P<conversation>{_ID})):(?P<post>{_ID})\Z")
"""What can be cancelled."""
_PRESENCE = re.compile(rf"^presence:{_ID}\Z")
_CHANNEL = re.compile(rf"^(?:(?:post|conversation|presence):{_ID}|reply:{_ID}:{_ID}|user:{_OWNER})\Z")

MAX_WHISPER_BYTES = 2 * 1024
"""JSON of what one whisper carries."""

TOO_MANY_WHISPERS = {"retry_after_s": 1}
TOO_MANY_CANCELS = {"retry_after_s": 1}
"""What ``rate_limited`` says where too many cancels wait for the api."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of one connection."""

    max_channels: int = 100
    frames_per_s: float = 20.0
    frame_burst: int = 200
    max_invalid_frames: int = 10
    authenticate_within_s: float = 10.0
    idle_timeout_s: float = 300.0
    """How long a connection may follow nothing and send nothing."""
    max_cancels: int = 10
    """Cancels that wait for their answer."""
    whispers_per_s: float = 5.0
    whisper_burst: int = 20


@dataclass(frozen=True, slots=True)
class Send:
    """Answer the client."""

    frame: BaseModel


@dataclass(frozen=True, slots=True)
class Join:
    """Follow a channel; the hub answers."""

    owner: str
    channel: str
    position: Position | None
    request_id: int | None
    name: str = ""
    avatar: str = ""
    """What the token tells others of the reader."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Stop following a channel."""

    channel: str


@dataclass(frozen=True, slots=True)
class AskCancel:
    """Have the api cancel a post, with the caller's own token; :meth:`Session.cancel_answered` follows."""

    post: str
    run: int | None
    token: str = field(repr=False)
    request_id: int | None
    conversation: str | None = None
    """Where the post is an answer; then any member may."""

    @property
    def channel(self) -> str:
        """The channel that was named."""
        return f"post:{self.post}" if self.conversation is None else f"reply:{self.conversation}:{self.post}"


@dataclass(frozen=True, slots=True)
class Say:
    """Whisper to the others of a presence channel, if this connection is there already."""

    channel: str
    name: str
    data: bytes
    request_id: int | None


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection with a row of the close code table, by name."""

    code: str


Effect = Send | Join | Leave | AskCancel | Say | Close
Verify = Callable[[str, datetime], Principal]


class Session:
    """See the module's docstring.

    Args:
        connection: an opaque id, for logs and support.
        verify: turns a token into a principal or raises InkwireError.
        admit: whether one more connection of this owner fits.
        opened_s: monotonic time at which the connection was opened.
    """

    def __init__(
        self,
        connection: str,
        limits: SessionLimits,
        *,
        verify: Verify,
        admit: Callable[[str], bool],
        opened_s: float,
    ) -> None:
        self.connection = connection
        self.principal: Principal | None = None
        self.channels: set[str] = set()
        self._limits = limits
        self._verify = verify
        self._admit = admit
        self._opened_s = opened_s
        self._active_s = opened_s
        self._ends_unix_s = 0.0
        self._rate = FrameRate(limits.frames_per_s, limits.frame_burst)
        self._whispers = FrameRate(limits.whispers_per_s, limits.whisper_burst)
        self._invalid = 0
        self._token = ""
        self._cancels = 0

    @property
    def owner(self) -> str | None:
        """Who is connected, once known."""
        return None if self.principal is None else self.principal.owner

    def open(self, token: str | None, now: datetime) -> list[Effect]:
        """The handshake's token, if it carried one; without one the first frame must."""
        return [] if token is None else self._authenticate(token, now)

    def receive(self, message: str | bytes, now: datetime, now_s: float) -> list[Effect]:
        """One message of the client."""
        self._active_s = now_s
        if not self._rate.take(now_s):
            return [Close("rate_limited")]
        if isinstance(message, bytes):
            return self._invalid_frame("Send text frames, not binary ones.")
        try:
            frame = CLIENT_FRAME.validate_json(message)
        except ValidationError as error:
            return self._invalid_frame(_detail(error), *_told_apart_by(message))
        if isinstance(frame, Authenticate):
            if self.principal is not None:
                return self._invalid_frame("Already authenticated; send refresh to replace the token.")
            return self._authenticate(frame.token, now)
        if isinstance(frame, Ping):
            return [Send(Pong(id=frame.id))]
        if self.principal is None:
            return self._count_invalid(self._refuse("unauthenticated", request_id=frame.id))
        if isinstance(frame, Refresh):
            return self._refresh(frame, self.principal, now)
        if isinstance(frame, Subscribe):
            return self._subscribe(frame, self.principal)
        if isinstance(frame, Cancel):
            return self._cancel(frame, self.principal)
        if isinstance(frame, Whisper):
            return self._whisper(frame, now_s)
        return self._unsubscribe(frame)

    def count_frame(self, now_s: float) -> list[Effect]:
        """A frame that is no message: a ping, a pong, or a part of a message that is not its last."""
        return [] if self._rate.take(now_s) else [Close("rate_limited")]

    def overdue(self, unix_s: float, now_s: float) -> str | None:
        """The close code that time alone brings, by name. Asked of every connection all the time, so it is cheap.

        Args:
            unix_s: wall time, which tokens end by.
            now_s: monotonic time.
        """
        if self.principal is None:
            return "unauthenticated_timeout" if now_s - self._opened_s > self._limits.authenticate_within_s else None
        if unix_s >= self._ends_unix_s:
            return "token_expired"
        if self.channels:
            self._active_s = now_s
        elif now_s - self._active_s > self._limits.idle_timeout_s:
            return "idle"
        return None

    def ended(self, channel: str) -> None:
        """The server ended a channel, or could not follow it."""
        self.channels.discard(channel)

    def cancel_answered(self) -> None:
        """The answer to an :class:`AskCancel` is there, whatever it is."""
        self._cancels -= 1

    # -- frames ------------------------------------------------------------------------------------------------

    def _authenticate(self, token: str, now: datetime) -> list[Effect]:
        try:
            principal = self._verify(token, now)
        except InkwireError as error:
            code = "token_expired" if error.code == "token_expired" else "unauthenticated"
            return [_error(error.code), Close(code)]
        if "post:read" not in principal.scopes:
            return [_error("forbidden", {"scope": "post:read"}), Close("forbidden")]
        if not self._admit(principal.owner):
            return [Close("over_capacity")]
        self._follow_token(principal, token)
        welcome = Welcome(
            connection=self.connection,
            owner=principal.owner,
            expires_at=rfc3339(principal.expires_at),
            max_channels=self._limits.max_channels,
        )
        return [Send(welcome)]

    def _follow_token(self, principal: Principal, token: str) -> None:
        self.principal, self._token = principal, token
        self._ends_unix_s = principal.expires_at.timestamp() + LEEWAY_S

    def _refresh(self, frame: Refresh, current: Principal, now: datetime) -> list[Effect]:
        try:
            principal = self._verify(frame.token, now)
        except InkwireError as error:
            return self._refuse(error.code, request_id=frame.id)
        if principal.owner != current.owner:
            return self._refuse("invalid_token", request_id=frame.id)
        if "post:read" not in principal.scopes:
            return self._refuse("forbidden", {"scope": "post:read"}, request_id=frame.id)
        self._follow_token(principal, frame.token)
        effects: list[Effect] = [Send(Refreshed(expires_at=rfc3339(principal.expires_at), id=frame.id))]
        for channel in sorted(c for c in self.channels if not principal.may_follow(c)):
            self.channels.discard(channel)
            ended = Unsubscribed(channel=channel, code="forbidden_channel", message=render("forbidden_channel"))
            effects += [Leave(channel), Send(ended)]
        return effects

    def _subscribe(self, frame: Subscribe, principal: Principal) -> list[Effect]:
        channel = frame.channel
        if _CHANNEL.match(channel) is None:
            return self._refuse("invalid_channel", request_id=frame.id)
        if not principal.may_follow(channel):
            return self._refuse("forbidden_channel", channel=channel, request_id=frame.id)
        if channel in self.channels:
            return self._refuse("already_subscribed", channel=channel, request_id=frame.id)
        if len(self.channels) >= self._limits.max_channels:
            limit = {"limit": self._limits.max_channels}
            return self._refuse("too_many_channels", limit, channel=channel, request_id=frame.id)
        self.channels.add(channel)
        return [Join(principal.owner, channel, frame.position, frame.id, principal.name, principal.avatar)]

    def _unsubscribe(self, frame: Unsubscribe) -> list[Effect]:
        if frame.channel not in self.channels:
            known = frame.channel if _CHANNEL.match(frame.channel) else None
            return self._refuse("not_subscribed", channel=known, request_id=frame.id)
        self.channels.discard(frame.channel)
        return [Leave(frame.channel), Send(Unsubscribed(channel=frame.channel, id=frame.id))]

    def _cancel(self, frame: Cancel, principal: Principal) -> list[Effect]:
        channel = frame.channel
        named = _POST.match(channel)
        if named is None:
            return self._refuse("invalid_channel", request_id=frame.id)
        if "post:cancel" not in principal.scopes:
            return self._refuse("forbidden", {"scope": "post:cancel"}, channel=channel, request_id=frame.id)
        if principal.channels and channel not in principal.channels:
            return self._refuse("forbidden_channel", channel=channel, request_id=frame.id)
        if self._cancels >= self._limits.max_cancels:
            return self._refuse("rate_limited", TOO_MANY_CANCELS, channel=channel, request_id=frame.id)
        self._cancels += 1
        return [AskCancel(named["post"], frame.run, self._token, frame.id, named["conversation"])]

    def _whisper(self, frame: Whisper, now_s: float) -> list[Effect]:
        channel = frame.channel
        if _PRESENCE.match(channel) is None:
            return self._refuse("invalid_channel", request_id=frame.id)
        if channel not in self.channels:
            return self._refuse("not_subscribed", channel=channel, request_id=frame.id)
        try:
            data = orjson.dumps(frame.data)
        except TypeError:  # numbers beyond 64 bits, nesting beyond reason
            return self._invalid_frame("data: it cannot be passed on.", channel, frame.id)
        if len(data) > MAX_WHISPER_BYTES:
            return self._invalid_frame(f"data: at most {MAX_WHISPER_BYTES} bytes of JSON.", channel, frame.id)
        if not self._whispers.take(now_s):
            return self._refuse("rate_limited", TOO_MANY_WHISPERS, channel=channel, request_id=frame.id)
        return [Say(channel, frame.name, data, frame.id)]

    # -- refusals ----------------------------------------------------------------------------------------------

    def _invalid_frame(self, detail: str, channel: str | None = None, request_id: int | None = None) -> list[Effect]:
        refusal = self._refuse("invalid_frame", {"detail": detail}, channel=channel, request_id=request_id)
        return self._count_invalid(refusal)

    def _count_invalid(self, effects: list[Effect]) -> list[Effect]:
        self._invalid += 1
        return [*effects, Close("invalid_frame")] if self._invalid >= self._limits.max_invalid_frames else effects

    @staticmethod
    def _refuse(
        code: str,
        params: Mapping[str, Any] | None = None,
        *,
        channel: str | None = None,
        request_id: int | None = None,
    ) -> list[Effect]:
        return [_error(code, params, channel, request_id)]


def error_frame(
    code: str, params: Mapping[str, Any] | None = None, channel: str | None = None, request_id: int | None = None
) -> ErrorFrame:
    """A refusal as it goes to the client."""
    return ErrorFrame(
        code=code, message=render(code, params), params=dict(params or {}), channel=channel, id=request_id
    )


def _error(
    code: str, params: Mapping[str, Any] | None = None, channel: str | None = None, request_id: int | None = None
) -> Send:
    return Send(error_frame(code, params, channel, request_id))


def _told_apart_by(message: str) -> tuple[str | None, int | None]:
    """Channel and id of a frame that is not valid, as far as they are: an answer that can be told apart."""
    try:
        value = orjson.loads(message)
    except ValueError:
        return None, None
    if not isinstance(value, dict):
        return None, None
    channel, request_id = value.get("channel"), value.get("id")
    named = isinstance(channel, str) and _CHANNEL.match(channel) is not None
    numbered = isinstance(request_id, int) and not isinstance(request_id, bool)
    return channel if named else None, request_id if numbered else None


def _detail(error: ValidationError) -> str:
    """The first thing that is wrong, without repeating what was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return "The frame is not JSON."
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return "type: one of authenticate, subscribe, unsubscribe, refresh, cancel, whisper, ping."
    where = ".".join(str(part) for part in first["loc"][1:])
    return f"{where}: {first['msg']}." if where else f"{first['msg']}."
