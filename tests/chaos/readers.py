"""Readers of one post in five manners. Each folds with the client's own fold and notes what it shows at each step."""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from inkwire.following import OutOfStep, PostFold, Update
from inkwire_contracts.client_frames import (
    SERVER_FRAME,
    SUBPROTOCOL,
    TOKEN_SUBPROTOCOL_PREFIX,
    ErrorFrame,
    Live,
    Subscribe,
    Unsubscribed,
)
from inkwire_contracts.close_codes import reconnect_rule
from inkwire_contracts.errors import ERROR_CODES
from inkwire_contracts.fold import document
from tests.chaos.oracle import ReaderHistory, Sight, view
from tests.chaos.pacing import pause
from tests.chaos.steering import Way
from tests.support.wait import scaled_s

OPEN_TIMEOUT_S: Final = 5.0
RETRY_S: Final = (0.05, 0.3)
"""Between two connections."""
MAX_FRAME_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manner:
    """How somebody reads. Ranges are drawn from evenly, in seconds."""

    name: str
    join_after_s: tuple[float, float] = (0.0, 0.0)
    stay_s: tuple[float, float] | None = None
    """Leaves after so long and comes back with its position; None: stays."""
    frame_pause_s: float = 0.0
    receive_buffer_bytes: int | None = None
    returns: bool = False
    """Comes back once more after the end, with its position."""


STEADY: Final = Manner("steady")
SLOW: Final = Manner("slow", frame_pause_s=0.02, receive_buffer_bytes=2_048)
FLAPPING: Final = Manner("flapping", stay_s=(0.1, 2.5), returns=True)
LATE: Final = Manner("late", join_after_s=(1.0, 12.0))
AFTER: Final = Manner("after")
"""Joins when the run is over: served from the store, or from the log if that is ahead."""

LIVE_MANNERS: Final = (STEADY, SLOW, FLAPPING, LATE)


class Reader:
    """One reader of one post until it has seen the end of its last run. Gateways are taken by turns."""

    def __init__(
        self,
        name: str,
        post: str,
        manner: Manner,
        gateways: Sequence[str],
        token: str,
        rng: random.Random,
        over: asyncio.Event,
        way: Way,
    ) -> None:
        self.history = ReaderHistory(name, manner.name)
        self._fold = PostFold(post)
        self._manner = manner
        self._gateways = gateways
        self._token = token
        self._rng = rng
        self._over = over
        self._way = way
        self._turn = rng.randrange(len(gateways))
        self._returned = not manner.returns

    @property
    def done(self) -> bool:
        """Whether it has seen the end (and, if that is its manner, came back once more)."""
        return self.history.gone or (self.history.final_text is not None and self._returned)

    async def run(self) -> None:
        """Read until the end; `over` ends it early."""
        if await pause(self._over, self._rng.uniform(*self._manner.join_after_s)):
            return
        while not self.done and not self._over.is_set():
            url = self._gateways[self._turn % len(self._gateways)]
            self._turn += 1
            try:
                await self._visit(url)
            except OutOfStep as error:
                self._out_of_step(error)
            except (OSError, TimeoutError, WebSocketException):
                pass  # killed, cut, not there yet, or our own leaving: the next gateway
            if not self.done:
                await pause(self._over, self._rng.uniform(*RETRY_S))

    def _out_of_step(self, error: OutOfStep) -> None:
        self.history.gaps += 1
        if not error.keep:
            self.history.refusals.append(f"frames that do not fit together: {error}")
            self._fold.forget()

    async def _visit(self, url: str) -> None:
        """One connection: subscribe with the position, read until it breaks, the reader leaves, or the run ends."""
        self._fold.reconnected()
        stay_s = None if self._manner.stay_s is None else self._rng.uniform(*self._manner.stay_s)
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(scaled_s(OPEN_TIMEOUT_S)):
                websocket = await stack.enter_async_context(await self._open(url))
            self.history.connections += 1
            channel = f"post:{self._fold.snapshot.post}"
            subscribe = Subscribe(type="subscribe", channel=channel, position=self._fold.position)
            await websocket.send(subscribe.model_dump_json(exclude_none=True))
            reading = asyncio.ensure_future(self._read(websocket))
            over = asyncio.ensure_future(self._over.wait())
            try:
                await asyncio.wait({reading, over}, timeout=stay_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                over.cancel()
                if not reading.done():
                    reading.cancel()
                    if self._rng.random() < 0.5:
                        websocket.transport.abort()  # as when the network is gone, without a goodbye
                (outcome,) = await asyncio.gather(reading, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome
        code = websocket.close_code
        if code is not None and code >= 4000 and reconnect_rule(code) == "never":
            self.history.refusals.append(f"closed for good: {code} {websocket.close_reason}")

    async def _open(self, url: str) -> connect:
        """A connection to be entered; a slow reader's has a small receive buffer and takes one frame at a time."""
        options: dict[str, object] = {}
        if self._manner.receive_buffer_bytes is not None:
            parts = urlsplit(url)
            plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._manner.receive_buffer_bytes)
            plain.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(plain, (parts.hostname, parts.port))
            except BaseException:
                plain.close()
                raise
            options = {"sock": plain, "max_queue": 1}
        return connect(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL), Subprotocol(TOKEN_SUBPROTOCOL_PREFIX + self._token)],
            open_timeout=scaled_s(OPEN_TIMEOUT_S),
            close_timeout=0.5,
            max_size=MAX_FRAME_BYTES,
            compression=None,
            proxy=None,
            process_exception=lambda error: error,
            **options,  # type: ignore[arg-type]
        )

    async def _read(self, websocket: ClientConnection) -> None:
        channel = f"post:{self._fold.snapshot.post}"
        async for message in websocket:
            try:
                frame = SERVER_FRAME.validate_json(message)
            except ValidationError:
                continue  # of a type this client does not know
            if isinstance(frame, ErrorFrame | Unsubscribed):
                self._refused(frame)
                return
            if getattr(frame, "channel", None) != channel:
                continue
            had_the_end = self.history.final_text is not None
            update = self._fold.receive(frame)
            if update is not None:
                self._note(update)
            self._returned = self._returned or (had_the_end and isinstance(frame, Live))
            if had_the_end and not self._returned:
                continue
            if self.history.final_text is not None:
                return
            if self._manner.frame_pause_s:
                await pause(self._over, self._manner.frame_pause_s)

    def _note(self, update: Update) -> None:
        kind = "text" if update.event is not None and update.event.type == "chunk" else update.kind
        if kind == "lost":
            return
        snapshot = update.snapshot
        self.history.sights.append(Sight(time.time(), kind, snapshot.seq, view(snapshot)))
        if self._way.over(snapshot):
            self.history.final_text = document(snapshot)

    def _refused(self, frame: ErrorFrame | Unsubscribed) -> None:
        """An outage is told by a code that says so, a deleted post by `gone`; anything else is wrong."""
        if frame.code == "gone" and self._way.deleted:
            self.history.gone = True
            return
        spec = ERROR_CODES.get(frame.code or "")
        if frame.code == "internal" or spec is None or spec.status not in (429, 502, 503, 504):
            self.history.refusals.append(f"{frame.type} {frame.code}: {frame.message}")
