"""A client of Inkwire for Python: have a post written, follow it, and hold its text to the published digest.

async with Client("http://127.0.0.1:8080") as client:
    accepted = await client.create_post("Top 10 Laravel tips")
    async for update in client.follow(accepted["id"]):
        print(update.kind, update.snapshot.progress.percent)
"""

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from inkwire.calls import Backoff, Calls, ClientError, Unavailable, is_local, reason_of
from inkwire.following import OutOfStep, PostFold, Update
from inkwire_contracts.client_frames import (
    SERVER_FRAME,
    SUBPROTOCOL,
    TOKEN_SUBPROTOCOL_PREFIX,
    ErrorFrame,
    ServerFrame,
    Subscribe,
    Unsubscribed,
)
from inkwire_contracts.close_codes import CLOSE_CODES, reconnect_rule
from inkwire_contracts.errors import ERROR_CODES

__all__ = ["Backoff", "Client", "ClientError", "Unavailable"]

CONNECT_TIMEOUT_S = 20.0
"""The proxy holds a handshake for some 12 s while no gateway is there."""

DEFAULT_OUTAGE_S = 120.0
"""How long :meth:`Client.follow` goes on without a sign of life."""

MAX_FRAME_BYTES = 2 * 1024 * 1024
MAX_OUT_OF_STEP = 5
"""Times in a row that what came did not follow, until we give up."""

_NEEDS_TOKEN = frozenset({CLOSE_CODES["unauthenticated"].code, CLOSE_CODES["token_expired"].code})
_NO_CODE = 1006


class _Interrupted(Exception):
    """The connection is of no use any more; ``at_once``: another one is waiting for us."""

    def __init__(self, reason: str, *, at_once: bool = False, new_token: bool = False) -> None:
        super().__init__(reason)
        self.at_once = at_once
        self.new_token = new_token


class Client(Calls):
    """One caller of one Inkwire. Without a token it signs in, which works on the developer's own machine only.

    Args:
        url: the public address.
        token: a bearer token.
        websocket_url: where the gateway is, if not under ``url``.
        outage_s: how long to try to reconnect before giving up.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        websocket_url: str | None = None,
        outage_s: float = DEFAULT_OUTAGE_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(url, token=token, jitter=jitter)
        self.websocket_url = websocket_url or f"ws{self.url.removeprefix('http')}/ws"
        self._outage_s = outage_s

    async def follow(
        self, post: str, *, start: PostFold | None = None, channel: str | None = None
    ) -> AsyncGenerator[Update, None]:
        """Follow a post to the end of its run, over lost connections, without a gap or a double.

        ``start``: go on from what an earlier call had. ``channel``: where it is followed, for a reply that belongs to a
        conversation's owner. A published text is checked against its digest.

        Raises:
            ClientError: the post cannot be followed.
            Unavailable: no connection for ``outage_s``.
            DigestMismatch: the text is not what was published.
        """
        state = start or PostFold(post)
        backoff = Backoff(self._jitter)
        loop = asyncio.get_running_loop()
        alive_s = loop.time()
        steps = 0
        while not (state.epoch is not None and state.snapshot.is_final):
            try:
                async with aclosing(self._connection(state, channel or f"post:{post}")) as updates:
                    async for update in updates:
                        backoff.reset()
                        alive_s, steps = loop.time(), 0
                        yield update
            except OutOfStep as error:
                steps += 1
                if steps > MAX_OUT_OF_STEP:
                    raise ClientError("internal", f"the server's answers do not fit together: {error}") from None
                if not error.keep or steps > 1:
                    state.forget()
            except _Interrupted as error:
                if error.new_token:
                    self._renew_token(str(error))
                if loop.time() - alive_s > self._outage_s:
                    raise Unavailable(f"no connection to {self.websocket_url} ({error})") from None
                delay_s = backoff.delay_s(at_once=error.at_once)
                yield Update("lost", state.snapshot, state.position, reason=str(error), delay_s=delay_s)
                await asyncio.sleep(delay_s)
        state.verify()

    def _renew_token(self, reason: str) -> None:
        """The token was refused: sign in again, if signing in is how we got it."""
        if self._given_token is not None or self._token is None:
            raise ClientError("invalid_token", f"the token is not accepted ({reason}): get a new one", 401)
        self._token = None

    async def _connection(self, state: PostFold, channel: str) -> AsyncGenerator[Update, None]:
        """One connection, from subscribe until it breaks or the run ends."""
        state.reconnected()
        try:
            token = await self.sign_in()
        except Unavailable as error:
            raise _Interrupted(str(error)) from None
        async with AsyncExitStack() as stack:
            socket = await self._open(stack, token)
            subscribe = Subscribe(type="subscribe", channel=channel, position=state.position)
            try:
                await socket.send(subscribe.model_dump_json(exclude_none=True))
                async for message in socket:
                    frame = _frame(message)
                    if isinstance(frame, ErrorFrame | Unsubscribed):
                        _raise_refusal(frame)
                    elif frame is not None and getattr(frame, "channel", None) == channel:
                        update = state.receive(frame)
                        if update is not None:
                            yield update
                            if state.snapshot.is_final:
                                return
            except ConnectionClosed:
                pass  # the code tells what to do, however the connection ended
            raise _ended(socket.close_code or _NO_CODE, socket.close_reason or "")

    async def _open(self, stack: AsyncExitStack, token: str) -> ClientConnection:
        subprotocols = [Subprotocol(SUBPROTOCOL), Subprotocol(TOKEN_SUBPROTOCOL_PREFIX + token)]
        local = is_local(self.websocket_url)
        try:
            return await stack.enter_async_context(
                connect(
                    self.websocket_url,
                    subprotocols=subprotocols,
                    open_timeout=CONNECT_TIMEOUT_S,
                    close_timeout=1,
                    max_size=MAX_FRAME_BYTES,
                    proxy=None if local else True,
                    process_exception=lambda error: error,
                )
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if status >= 500 or status == 429:
                raise _Interrupted(f"HTTP {status}") from None
            raise ClientError("internal", f"{self.websocket_url} refuses connections (HTTP {status})", status) from None
        except ssl.SSLCertVerificationError:
            raise ClientError("internal", f"the certificate of {self.websocket_url} is not trusted") from None
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            raise _Interrupted(reason_of(error)) from None


def _frame(message: str | bytes) -> ServerFrame | None:
    """A frame, or nothing if it is of a type that we do not know."""
    try:
        return SERVER_FRAME.validate_json(message)
    except ValidationError:
        return None


def _raise_refusal(frame: ErrorFrame | Unsubscribed) -> None:
    """A refusal ends the following, unless the server is at fault and may be better in a moment."""
    code, message = frame.code or "unsubscribed", frame.message or "the server ended the channel"
    spec = ERROR_CODES.get(code)
    if spec is None or spec.status >= 500 or spec.status == 429:
        raise _Interrupted(message)
    if spec.status == 401:
        raise _Interrupted(message, new_token=True)
    raise ClientError(code, message, spec.status)


def _ended(code: int, reason: str) -> Exception:
    """What a close code asks for."""
    told = f"{reason or 'the connection broke'} ({code})"
    if code in _NEEDS_TOKEN:
        return _Interrupted(told, new_token=True)
    rule = reconnect_rule(code)
    if rule == "never":
        return ClientError("closed", f"the server closed the connection for good: {told}")
    return _Interrupted(told, at_once=rule == "now")
