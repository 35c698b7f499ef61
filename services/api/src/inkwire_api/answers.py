"""Messages with what the assistant says in them: each answer is a post, read where posts are read."""

from collections.abc import Sequence
from dataclasses import dataclass

from inkwire_api.asking import in_time
from inkwire_api.ports import Folded
from inkwire_api.reading import Reader
from inkwire_api.side_by_side import for_each
from inkwire_contracts.conversations import Conversation, Message
from inkwire_contracts.errors import InkwireError, render
from inkwire_contracts.fold import Problem, Snapshot, document

READS_AT_ONCE = 8
MAX_PAGE_CHARS = 2_000_000
"""Text of one page; it ends early where that is reached, and goes on with its cursor."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A message, and the post that is its words (None: a person wrote it)."""

    message: Message
    answer: Folded | None

    @property
    def text(self) -> str:
        """What is said, as far as it is written."""
        return self.message.content if self.answer is None else document(self.answer.snapshot)


class Answers:
    """Reads the answers of a conversation for all who take part in it."""

    def __init__(self, reader: Reader, *, timeout_s: float) -> None:
        self._reader = reader
        self._timeout_s = timeout_s

    async def joined(
        self, conversation: Conversation, messages: Sequence[Message], *, max_chars: int = MAX_PAGE_CHARS
    ) -> list[Joined]:
        """The messages in their order with their answers, fewer where their text is beyond ``max_chars``.

        There is always a first one.

        Raises:
            InkwireError: ``broker_unavailable`` or ``store_unavailable``.
        """
        async with in_time(self._timeout_s):
            return await self._joined(conversation, messages, max_chars)

    async def _joined(self, conversation: Conversation, messages: Sequence[Message], max_chars: int) -> list[Joined]:
        async def join(message: Message) -> Joined:
            return Joined(message, await self.answer(conversation, message))

        found: list[Joined] = []
        chars = 0
        for start in range(0, len(messages), READS_AT_ONCE):
            for one in await for_each(messages[start : start + READS_AT_ONCE], READS_AT_ONCE, join):
                chars += len(one.text)
                if found and chars > max_chars:
                    return found
                found.append(one)
        return found

    async def answer(self, conversation: Conversation, message: Message) -> Folded | None:
        """The post that a message names, up to this moment; one that was deleted, or is unreadable, as what it is.

        Raises:
            InkwireError: ``broker_unavailable`` or ``store_unavailable``.
        """
        if message.post is None:
            return None
        try:
            found = await self._reader.post(conversation.owner, message.post)
        except InkwireError as error:
            if error.code not in _STANDS_FOR:
                raise
            return Folded(_STANDS_FOR[error.code](conversation.owner, message.post), "")
        turn = found.snapshot.turn
        if turn is None or (turn.conversation, turn.reply) != (conversation.conversation, message.message):
            return Folded(_unreadable(conversation.owner, message.post), "")
        return found


def _about_to_begin(owner: str, post: str) -> Snapshot:
    """Its job is stored; whoever takes that writes its beginning."""
    return Snapshot(post=post, owner=owner, status="queued", run=1)


def _deleted(owner: str, post: str) -> Snapshot:
    return Snapshot(post=post, owner=owner, status="deleted")


def _unreadable(owner: str, post: str) -> Snapshot:
    problem = Problem(code="corrupt", message=render("corrupt", {}))
    return Snapshot(post=post, owner=owner, status="failed", error=problem)


_STANDS_FOR = {"not_found": _about_to_begin, "gone": _deleted, "corrupt": _unreadable}
