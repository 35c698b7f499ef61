"""What the api needs from the world outside, as it sees it; the adapters keep the drivers' errors to themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inkwire_contracts.commands import CancelIntent, Job
from inkwire_contracts.conversations import Conversation, ConversationEvent
from inkwire_contracts.dead_letters import LetterKind
from inkwire_contracts.events import Event
from inkwire_contracts.fold import Snapshot
from inkwire_documents.extracting import Extracted, OnProgress
from inkwire_documents.limits import Limits
from inkwire_stores.document_ports import Embeddings
from inkwire_stores.ports import StoredPost


class BrokerUnavailable(Exception):
    """No verdict: the broker did not answer, or not in time. Asking again in the same words is right."""


class Damaged(Exception):
    """Everything that there is of a post was read, and it makes no sense; asking again will not help."""


class NoRoom(Exception):
    """The broker refused for lack of space."""


class Newer(Exception):
    """Somebody else has written to the conversation since it was read; nothing was stored."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The job is stored at ``stream_seq``. ``duplicate``: it had been stored before under the same Msg-Id."""

    stream_seq: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record of a post that was requested before."""

    fingerprint: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Folded:
    """A post as far as it is known, and the epoch of the log that its ``seq`` belongs to."""

    snapshot: Snapshot
    epoch: str
    corrupt: bool = False


@dataclass(frozen=True, slots=True)
class FoldedConversation:
    """A conversation up to the log's newest event, and the log's epoch.

    ``newest_seq`` is what :meth:`ConversationLog.publish` takes for "nothing since it was read".
    """

    conversation: Conversation
    epoch: str
    newest_seq: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of the DLQ, as it lies there; ``stored_at`` is the broker's time."""

    stream_seq: int
    subject: str
    payload: bytes
    headers: Mapping[str, str]
    stored_at: str


class DeadLetterBox(Protocol):
    """The DLQ. All methods raise BrokerUnavailable."""

    async def newest_before(self, before: int | None, kind: LetterKind | None) -> Letter | None:
        """The newest letter of a kind (None: any) before a place in the stream (None: of all)."""
        ...

    async def get(self, stream_seq: int) -> Letter | None:
        """The letter at that place."""
        ...

    async def remove(self, stream_seq: int) -> bool:
        """Take the letter at that place away; false if there is none."""
        ...


class DocumentReader(Protocol):
    """Gets the text out of files that nobody has looked at yet, away from this process."""

    async def extract(
        self, data: bytes, name: str, media_type: str | None, limits: Limits, on_progress: OnProgress | None
    ) -> Extracted:
        """The passages of a file; ``on_progress`` is told how many of how many steps are done.

        Raises:
            InkwireError: it cannot be read, is too large, or too many wait for their turn.
        """
        ...


class Embedder(Protocol):
    """Vectors for passages, so that they are found by meaning too."""

    async def embed(self, texts: Sequence[str]) -> Embeddings | None:
        """Vectors of the texts in their order; None where there are none to be had, for whatever reason."""
        ...


class JobPublisher(Protocol):
    """The commit point."""

    async def publish(self, job: Job, *, msg_id: str | None = None) -> Receipt:
        """Store a job once, however often it is asked for under its Msg-Id (by default the job's own).

        Raises:
            BrokerUnavailable: no verdict; it may or may not be stored.
            NoRoom: refused, not stored.
        """
        ...


class PostLog(Protocol):
    """The log and the queue, as far as the api reads and writes them. All methods raise BrokerUnavailable."""

    async def ensure_requested(self, job: Job) -> None:
        """Have ``requested`` of run 1 in the log, whoever writes it; keeps asking until there is a verdict."""
        ...

    async def stored_job(self, stream_seq: int) -> Job | None:
        """The job at a stream sequence, read at the leader; None once a worker has finished it."""
        ...

    async def look_up(self, owner: str, post: str) -> Known | None:
        """What the log's leader knows of a post; None if it has nothing (any more)."""
        ...

    async def fold(self, owner: str, post: str, stored: StoredPost | None, *, at_least: int = 0) -> Folded | None:
        """The post up to the log's newest event, starting from ``stored``; None where neither knows it.

        A document that the persister calls corrupt is given as it is: its log does not carry it on.

        Raises:
            Damaged: the log cannot be folded, and nobody has said so yet.
        """
        ...

    async def fill_ratio(self) -> float:
        """How full the log is, 0 to 1; at most a second old."""
        ...


Compose = Callable[[Snapshot, int], Event | None]
"""The event that follows a folded post, written as the attempt of that number; None: nothing is to be written."""


class RunLog(Protocol):
    """The runs of posts, for who steers them. All methods raise BrokerUnavailable; reads also StoreUnavailable."""

    async def current(self, owner: str, post: str) -> Snapshot | None:
        """The post up to what the log's leader has now; None where neither log nor store knows it.

        Raises:
            Damaged: it makes no sense, so that nothing can be written after it.
        """
        ...

    async def running(self, owner: str, post: str) -> int | None:
        """The run that the newest event at the log's leader belongs to, if it does not end it; one read.

        None says nothing: the run has ended, the log has nothing of the post (any more), or its end is unreadable.
        """
        ...

    async def deliveries(self, post: str, run: int) -> int:
        """How often the job of a run had been delivered when it was last claimed; 0 if it never was."""
        ...

    async def wish_cancel(self, intent: CancelIntent) -> None:
        """Store the wish to cancel a run, once, and tell the workers."""
        ...

    async def write(self, owner: str, post: str, run: int, compose: Compose) -> Snapshot | None:
        """Claim a post for a run that no worker has claimed, and write what ``compose`` makes of it.

        Returns the post with that event folded in, or None: a worker holds this run or a later one, or has taken
        the claim meanwhile, and nothing was written.

        Raises:
            Damaged: as :meth:`current`.
        """
        ...


class ConversationLog(Protocol):
    """Conversations' log, with what the store has of them. All methods raise BrokerUnavailable."""

    async def read(self, conversation: str) -> FoldedConversation | None:
        """The conversation up to the newest event that the log's leader had when asked; None if there is none.

        Raises:
            Damaged: an event cannot be decoded.
            StoreUnavailable: the store does not answer, and the log alone does not tell.
        """
        ...

    async def publish(self, event: ConversationEvent, *, after: int | None = None) -> int:
        """Store an event, once for its id; ``after``: only if nothing newer than this sequence is in the log.

        Returns:
            Its sequence.

        Raises:
            Newer: ``after`` did not hold, or ``created`` and the conversation exists.
            NoRoom: refused, not stored.
        """
        ...

    async def fill_ratio(self) -> float:
        """How full the log is, 0 to 1; at most a second old."""
        ...
