"""What the gateway needs from outside: live events, history, lists of posts, presence, and the api."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inkwire_contracts.client_frames import PresentMember
from inkwire_gateway.live_conversation import ConversationLogEvent, LoadedConversation
from inkwire_gateway.live_post import Loaded, LogEvent


class Unavailable(Exception):
    """The broker or the store did not answer; asking again later is right."""


class Damaged(Exception):
    """A post's history does not fold, though all of it was read."""


OnMessage = Callable[[bytes, int], None]
"""(payload, stream sequence) of a live message of a post."""


OnLifecycle = Callable[[str, bytes], None]
"""(event type, payload) of a live message of an owner's channel."""


OnConversation = Callable[[bytes, int, int], None]
"""(payload, stream sequence, sequence of the message before it) of a live message of a conversation."""


class PresenceListener(Protocol):
    """Takes what other processes say of a conversation's presence; nothing of it may raise or wait."""

    def heard(self, who: PresentMember, connection: str) -> None:
        """That connection is there."""
        ...

    def gone(self, user: str, connection: str) -> None:
        """That connection is gone."""
        ...

    def whispered(self, who: PresentMember, connection: str, name: str, data: Any) -> None:
        """That connection whispers; it may be one of this process."""
        ...


class Watch(Protocol):
    """An interest in live messages."""

    async def stop(self) -> None:
        """Give it up; nothing is delivered any more."""
        ...


class LiveTail(Protocol):
    """Live messages, in the order in which they were stored, as far as they arrive at all.

    Who is cancelled while an interest is being made has none.
    """

    async def watch_post(self, owner: str, post: str, on_message: OnMessage) -> Watch:
        """Follow a post. When this returns, everything stored from now on will be delivered or be missing later.

        Raises:
            Unavailable: the broker did not confirm.
        """
        ...

    async def watch_owner(self, owner: str, on_message: OnLifecycle) -> Watch:
        """Follow the lifecycle events of all posts of an owner.

        Raises:
            Unavailable: the broker did not confirm.
        """
        ...

    async def watch_conversation(self, conversation: str, on_message: OnConversation) -> Watch:
        """Follow a conversation, as :meth:`watch_post` does a post.

        Raises:
            Unavailable: the broker did not confirm.
        """
        ...

    async def watch_presence(self, conversation: str, listener: PresenceListener) -> Watch:
        """Follow who comes and goes in a conversation, and what is whispered there.

        Raises:
            Unavailable: the broker did not confirm.
        """
        ...


class History(Protocol):
    """What was stored before. Each method may raise :class:`Unavailable`."""

    async def epoch(self) -> str:
        """The identity of the log."""
        ...

    async def load(self, owner: str, post: str) -> Loaded | None:
        """A post up to its newest event; ``None`` if neither log nor store knows such a post of this owner.

        Raises:
            Damaged: its history does not fold.
        """
        ...

    async def newest_seq(self, owner: str, post: str, *, now: bool) -> int:
        """``seq`` of a post's newest event in the log; 0 if the log has none.

        ``now``: as it stands; else a replica that lags may answer, which is cheaper.
        """
        ...

    async def events_after(self, owner: str, post: str, stream_seq: int) -> Sequence[LogEvent]:
        """A post's events after a stream sequence.

        Raises:
            Damaged: one of them cannot be read.
        """
        ...

    async def newest_posts(self, owner: str) -> list[dict[str, Any]]:
        """Summaries of an owner's newest posts, newest first, without answers in conversations."""
        ...

    async def is_reply(self, owner: str, post: str) -> bool:
        """Whether a post is an answer in a conversation; False if nothing is known of it any more."""
        ...


class ConversationHistory(Protocol):
    """What was stored of conversations. Each method may raise :class:`Unavailable`."""

    async def epoch(self) -> str:
        """The identity of the conversations' log."""
        ...

    async def load(self, conversation: str, *, since: int | None) -> LoadedConversation | None:
        """A conversation up to its newest event, ``None`` if there is none; with recent events ``since`` a sequence.

        Raises:
            Damaged: an event cannot be read.
        """
        ...

    async def newest_seq(self, conversation: str) -> int:
        """Sequence of a conversation's newest event, as the log's leader has it; 0 if the log has none."""
        ...

    async def events_after(self, conversation: str, seq: int, *, newest: int) -> Sequence[ConversationLogEvent]:
        """A conversation's events after a sequence, at least up to ``newest``.

        Raises:
            Damaged: one of them cannot be read.
        """
        ...

    async def message_of(self, conversation: str, post: str) -> str | None:
        """The message of a conversation whose words are a post; ``None`` if there is none."""
        ...


class Presence(Protocol):
    """Where connections say that they are there, for all processes to hear. Takes no time worth naming."""

    async def present(self, conversation: str) -> Sequence[tuple[PresentMember, str]]:
        """Whose connections said so lately in other processes: (who, connection).

        Raises:
            Unavailable: the broker did not answer.
        """
        ...

    async def say(self, conversation: str, who: PresentMember, connection: str) -> None:
        """A connection of this process is there.

        Raises:
            Unavailable: it could not be said.
        """
        ...

    async def take_leave(self, conversation: str, user: str, connection: str) -> None:
        """A connection of this process is gone.

        Raises:
            Unavailable: it could not be said.
        """
        ...

    async def whisper(self, conversation: str, who: PresentMember, connection: str, name: str, data: bytes) -> None:
        """Tell what a connection whispers; ``data`` is JSON.

        Raises:
            Unavailable: it could not be said.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What the api made of a cancel: the latest run, the post's status now, and whether that run will stop."""

    run: int
    status: str
    accepted: bool


class PostApi(Protocol):
    """What changes a post's course. The api checks whose post it is."""

    async def cancel(self, post: str, token: str, *, run: int | None) -> Cancelled:
        """Have a run stop, as the token's bearer. May be repeated. Takes a bounded time.

        Raises:
            InkwireError: the api's own refusal, or ``api_unavailable``.
        """
        ...

    async def cancel_reply(self, conversation: str, message: str, token: str, *, run: int | None) -> Cancelled:
        """As :meth:`cancel`, for an answer in a conversation; the api checks who is a member.

        Raises:
            InkwireError: as :meth:`cancel`.
        """
        ...
