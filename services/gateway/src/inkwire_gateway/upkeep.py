"""What the keepers of all kinds of channels share: housekeeping, patience with the broker, and which log it has."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import get_logger
from inkwire_gateway.channel import Channel
from inkwire_gateway.hub import Hub
from inkwire_gateway.ports import Unavailable, Watch
from inkwire_gateway.subscription import Subscription

RETRY_FIRST_S = 0.05
RETRY_MAX_S = 1.0
TELL_AFTER_TRIES = 3
REFILL_TRIES = 20
"""Reads of one repair; what is still missing then is read at the next tail check."""

LOG_TRIES = 4
"""Loads of one channel in a row that may be of another log than the newest one known."""

T = TypeVar("T")


class OfALog(Protocol):
    """Something that was read of a log."""

    @property
    def epoch(self) -> str:
        """That log's identity."""
        ...


L = TypeVar("L", bound=OfALog)
Refuse = Callable[[Subscription, str], None]


class NotFollowable(Exception):
    """The channel cannot be followed, by anybody; ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class ChannelTimes:
    """When things are checked and let go; in seconds."""

    sweep_interval_s: float = 0.5
    silence_s: float = 2.0
    """A channel that was silent for so long is compared with the log."""
    max_silence_s: float = 32.0
    """A conversation that stays silent is compared less and less often, at least so often."""
    linger_s: float = 30.0
    """A channel without readers is kept for so long, for those who reload a page."""
    load_timeout_s: float = 10.0
    """A reader waits at most so long for a channel; then it is told to try again."""
    max_loads: int = 64
    """Questions to the broker at the same time; and as many that may need the store, which may hang."""


class Upkeep:
    """What belongs to a channel besides what its readers see."""

    __slots__ = ("again", "anew", "idle_since_s", "patience_s", "silent_since_s", "task", "watch")

    def __init__(self, now_s: float, patience_s: float) -> None:
        self.watch: Watch | None = None
        self.task: asyncio.Task[None] | None = None
        self.again = False
        """There is more to do when the task ends."""
        self.anew = True
        """What is here cannot be built upon: load the post, or list the posts, for all readers."""
        self.silent_since_s = now_s
        self.patience_s = patience_s
        """How long it may be silent before it is compared with the log."""
        self.idle_since_s: float | None = None


@contextmanager
def read_anew(upkeep: Upkeep) -> Iterator[None]:
    """Around what reads a channel anew: it stays due if that fails, and is due again if somebody says so meanwhile."""
    due, upkeep.anew = upkeep.anew, False
    try:
        yield
    except BaseException:
        upkeep.anew = upkeep.anew or due
        raise


class Desk:
    """What the keepers share.

    Args:
        refuse: tells a reader with an error code that its channel cannot be followed, and forgets it.
        work: has a channel's task see to it.
        compare: asks the logs which they are, and tells it here and to all channels.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        clock: Clock,
        times: ChannelTimes,
        refuse: Refuse,
        work: Callable[[Channel], None],
        compare: Callable[[], Awaitable[None]],
    ) -> None:
        self.hub = hub
        self.clock = clock
        self.times = times
        self.refuse = refuse
        self.work = work
        self.compare = compare
        self.certain = asyncio.Event()
        """Not set from a disconnect until it is known which logs have come back."""
        self.certain.set()
        self.outages = 0
        """Grows whenever what comes from the log may be of another one than what came before."""
        self._asking = asyncio.Semaphore(times.max_loads)
        self._loading = asyncio.Semaphore(times.max_loads)
        self.post_epoch: str | None = None
        """The posts' log's identity as it was told last, by a comparison; ``None`` if there was none yet."""
        self.conversation_epoch: str | None = None
        """The same of the conversations' log."""

    async def insist(self, ask: Callable[[], Awaitable[T]], *, load: bool = False) -> T:
        """Ask until there is an answer; the patience around it is the bound. Who waits to ask again takes no turn.

        Where the store may be needed it is a ``load``: those have their own turns, for which nobody live waits.
        """
        attempt, turns = 0, self._loading if load else self._asking
        while True:
            try:
                async with turns:
                    return await ask()
            except Unavailable as error:
                get_logger().debug("asking again", error=str(error))
            attempt += 1
            await asyncio.sleep(delay_s(attempt))

    async def of_this_log(self, load: Callable[[], Awaitable[L | None]], known: Callable[[], str | None]) -> L | None:
        """What was loaded; once more where the broker was being replaced meanwhile.

        Another log than the ``known`` one without an outage in between was made anew under a broker that stayed.

        Raises:
            Unavailable: the log is another one each time.
        """
        for attempt in range(LOG_TRIES):
            if attempt:
                await asyncio.sleep(delay_s(attempt))
            outages = self.outages
            loaded = await self.insist(load, load=True)
            await self.certain.wait()
            if loaded is None or known() in (None, loaded.epoch):
                return loaded
            if outages == self.outages:
                await self.compare()
                if known() == loaded.epoch:
                    return loaded
        raise Unavailable("the log does not stay the same")

    async def insist_for_ever(self, ask: Callable[[], Awaitable[T]], what: str) -> T:
        """Without bound: streams may be provisioned an hour later. Told once; readiness says it all the while."""
        attempt = 0
        while True:
            try:
                return await ask()
            except Unavailable as error:
                if attempt == TELL_AFTER_TRIES:
                    get_logger().warning(f"{what} does not tell which one it is; asking on", error=str(error))
            attempt += 1
            await asyncio.sleep(delay_s(attempt))

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """A bound around what is insisted on.

        Raises:
            Unavailable: it is reached.
        """
        try:
            async with asyncio.timeout(self.times.load_timeout_s):
                yield
        except TimeoutError:
            raise Unavailable("no answer in time") from None


def delay_s(attempt: int) -> float:
    """How long to wait before a next try."""
    return float(min(RETRY_FIRST_S * 2 ** min(attempt, 10), RETRY_MAX_S))
