"""What the generator's core needs from the world, as protocols."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from inkwire_contracts.commands import Job
from inkwire_contracts.conversations import Conversation, ConversationEvent
from inkwire_contracts.data import Data
from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.events import Event, Usage
from inkwire_contracts.fold import Snapshot
from inkwire_generator.claim import Standing, Verdict
from inkwire_generator.pulse import Pulse
from inkwire_recipes.material import Excerpt
from inkwire_recipes.recipe import Prompt

OnWait = Callable[[float], Awaitable[None]]
"""Told for how many seconds a call has to wait for its turn; again if that changes; 0 when the wait is over."""


@dataclass(frozen=True, slots=True)
class Finish:
    """How a provider's stream ended well: usage (estimated where none was reported) and the model that answered.

    ``truncated``: the model stopped at its length limit, so the text is good but not whole.
    """

    usage: Usage
    model: str
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has begun: the model that was asked, and the pieces as they come."""

    model: str
    pieces: AsyncIterator[str | Finish]


class Held(Protocol):
    """A claim that is ours."""

    @property
    def post(self) -> str:
        """The post."""
        ...

    @property
    def token(self) -> int:
        """Stream sequence of the claim, which every event carries."""
        ...

    @property
    def attempt(self) -> int:
        """Number of the claim, from 1."""
        ...


class Provider(Protocol):
    """A model behind an API."""

    @property
    def patience_s(self) -> float:
        """The longest silence that its own watchdogs let pass, in seconds."""
        ...

    @property
    def model(self) -> str:
        """The model that is asked first."""
        ...

    def stream(self, prompt: Prompt, on_wait: OnWait) -> AbstractAsyncContextManager[Answer]:
        """Ask, once it is this call's turn; the answer's iterator gives pieces of text, and last one :class:`Finish`.

        Leaving the block closes the connection, whatever has been read. Entering and iterating raise ProviderError
        when nothing comes, or not all of it.
        """
        ...


class Prices(Protocol):
    """What tokens cost."""

    def cost_usd(self, model: str, tokens_in: int, tokens_out: int) -> float | None:
        """US dollars, or ``None`` where the model's price is not known."""
        ...


@dataclass(frozen=True, slots=True)
class Passages:
    """What was found in documents, in their order; and the documents that are gone, by id."""

    excerpts: tuple[Excerpt, ...] = ()
    missing: frozenset[str] = frozenset()


class Shelf(Protocol):
    """The documents that one request names, for one attempt."""

    async def load(self) -> None:
        """Read them. Those that do not fit into memory together are read again with each search.

        Raises:
            StoreUnavailable: they cannot be read now.
        """
        ...

    async def find(self, query: str, *, limit_chars: int) -> Passages:
        """The passages that fit best, of each document at least one, with at most so much text. Raises as load()."""
        ...


class Library(Protocol):
    """The documents that authors uploaded, each read under the owner that the request names."""

    @property
    def patience_s(self) -> float:
        """The longest time that a shelf is silent before it raises, in seconds."""
        ...

    def shelf(self, documents: Sequence[DocumentRef]) -> Shelf:
        """A shelf for these documents; nothing is read yet."""
        ...


class Talks(Protocol):
    """Conversations, as far as a reply in one needs them."""

    async def read(self, conversation: str) -> Conversation | None:
        """The conversation as it stands now, deleted ones included; ``None`` if there was never one.

        Raises:
            BrokerError, StoreUnavailable: it cannot be read now.
        """
        ...

    async def publish(self, event: ConversationEvent) -> None:
        """Store an event, once for its id; again is harmless. Raises BrokerError."""
        ...

    async def post(self, owner: str, post: str) -> Snapshot | None:
        """A post as it stands now; ``None`` if nothing is known of it. Raises as read()."""
        ...


class Log(Protocol):
    """The posts' log, as far as one post's run needs it."""

    async def open(self, job: Job) -> Verdict | None:
        """Write run 1's ``requested`` if neither the log nor the store knows the post.

        Returns what is known without a claim: ``DONE`` where the run has ended and was purged from the log, ``WAIT``
        where the run before it is still being written (a claim of ours would take it from its worker), else ``None``.

        Raises:
            BrokerError, StoreUnavailable: no answer; nothing was claimed.
        """
        ...

    async def claim(self, job: Job, deliveries: int) -> Held:
        """Take the right to write. Raises Fenced or BrokerError."""
        ...

    async def snapshot(self, job: Job, held: Held | None) -> Snapshot:
        """The post folded to its end, as the holder of the claim must see it (``None``: as anybody may).

        Raises:
            LogDamaged: it does not fold.
            BrokerError: it could not be read.
        """
        ...

    async def standing(self, job: Job, held: Held) -> Standing:
        """How far the attempts before this one came."""
        ...

    def writer(self, job: Job, held: Held, snapshot: Snapshot, pulse: Pulse) -> AbstractAsyncContextManager["Writer"]:
        """A writer under the claim, for the length of a block; leaving it abandons what is not stored yet."""
        ...

    async def release(self, held: Held) -> None:
        """Give the claim back, so that this attempt does not count against the post. Raises BrokerError."""
        ...

    async def cancel_wanted(self, job: Job) -> bool:
        """Whether somebody wants this run to stop. Raises BrokerError."""
        ...

    async def cancels_wanted(self, jobs: Sequence[Job]) -> set[str]:
        """The posts among these, which are claimed, whose run somebody wants to stop. Raises BrokerError."""
        ...


class Writer(Protocol):
    """Writes one post's log in order, one event in flight, and folds what was accepted. Methods raise Fenced."""

    @property
    def snapshot(self) -> Snapshot:
        """The post as far as it is acknowledged."""
        ...

    async def push(self, section: str, text: str) -> None:
        """Append text to the open section; returns before it is stored, waits while too much is buffered."""
        ...

    async def settle(self) -> None:
        """Wait until pushed text is about to go, but not for long: what comes meanwhile is better read in one go."""
        ...

    async def write(self, event_type: type[Event], data: Data) -> None:
        """Write one event after all text before it; returns once it is stored and folded."""
        ...

    async def drain(self) -> None:
        """Wait until everything is stored and folded."""
        ...
