"""What a reply must know of its conversation: the question, and what was said before it, read backwards. Pure.

Of the path to the question (what stood when it was written, the same at any later time) only so much is read as is
needed: back to where the newest summary on it ends, or to a bound. What an answer says is in its post.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inkwire_contracts.conversations import Conversation, Message
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import Turn
from inkwire_contracts.fold import Snapshot
from inkwire_generator.sources import SOURCES
from inkwire_recipes.chat import HISTORY, TITLE, title_from
from inkwire_recipes.recipe import Utterance, Work

MAX_TURNS = 400
MAX_TURNS_CHARS = 400_000
"""Bounds on what one reply reads; at them the older messages are left out, and the model is told how many."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What a post's recipe sees of its conversation; nothing, where the post is no reply. See :class:`Work`."""

    question: Utterance | None = None
    earlier: tuple[Utterance, ...] = ()
    summary: str = ""
    left_out: int = 0
    titled: bool = True

    def known_to(self, work: Work) -> Work:
        """The work of one who knows the conversation."""
        return replace(
            work,
            question=self.question,
            earlier=self.earlier,
            summary=self.summary,
            left_out=self.left_out,
            titled=self.titled,
        )


NO_TALK = Talk()


def standing(conversation: Conversation | None, turn: Turn) -> tuple[Conversation, list[Message]]:
    """The conversation that a reply is for, and the path to its question.

    Raises:
        InkwireError: ``conversation_gone`` where it was deleted, ``unknown_message`` where it has no such question.
    """
    if conversation is None or conversation.status != "active":
        raise InkwireError("conversation_gone")
    path = conversation.path_to(turn.message)
    if not path:
        raise InkwireError("unknown_message")
    return conversation, path


class Recollection:
    """Goes back from a question: ask :attr:`next` for a message, and :meth:`add` what its post says."""

    def __init__(self, conversation: Conversation, path: Sequence[Message]) -> None:
        self._conversation = conversation
        self._path = path
        self._place = len(path) - 2
        self._first = 0
        self._earlier: list[Utterance] = []
        self._summary: str | None = None
        self._chars = 0

    @property
    def next(self) -> Message | None:
        """The message to look at now; ``None`` when all is known that is needed, or a bound is reached."""
        full = len(self._earlier) >= MAX_TURNS or self._chars >= MAX_TURNS_CHARS
        return None if full or self._place < self._first else self._path[self._place]

    def add(self, post: Snapshot | None) -> None:
        """What the post of an answer tells; ``None`` for a message without one, or where nothing is left of it."""
        message = self._path[self._place]
        if post is not None and not self._belongs(post, message):
            post = None
        if post is not None and self._summary is None:
            self._take_summary(post)
        said = self._answer(message, post) if message.role == "assistant" else self._words(message)
        if said is not None:
            self._earlier.append(said)
            self._chars += len(said.text)
        self._place -= 1

    def talk(self) -> Talk:
        """All that was found."""
        return Talk(
            question=self._words(self._path[-1]),
            earlier=tuple(reversed(self._earlier)),
            summary=self._summary or "",
            left_out=max(0, self._place + 1 - self._first),
            titled=self._conversation.title != "",
        )

    def _belongs(self, post: Snapshot, message: Message) -> bool:
        """A message names its post; that one must say the same."""
        turn = post.turn
        mine = turn is not None and turn.conversation == self._conversation.conversation
        return mine and post.owner == self._conversation.owner and post.post == message.post

    def _take_summary(self, post: Snapshot) -> None:
        """It tells what was said up to a message on the way to here; from there on nothing need be read."""
        known = [told for section in post.sections if (told := summary_of(section.section, section.data)) is not None]
        if not known:
            return
        text, up_to = known[-1]
        places = {message.message: place for place, message in enumerate(self._path[: self._place])}
        if up_to in places:
            self._summary, self._first = text, places[up_to] + 1

    def _words(self, message: Message) -> Utterance:
        member = self._conversation.member(message.author or "")
        name = (member.name if member is not None else "") or message.author or ""
        return Utterance(message.role, message.content, name, message.message)

    def _answer(self, message: Message, post: Snapshot | None) -> Utterance | None:
        """One that is still being written, or that ended without a word, is left out."""
        if post is None or not post.is_final or not (text := words_of(post).rstrip()):
            return None
        return Utterance("assistant", text, "", message.message, unfinished=post.status != "published")


def words_of(post: Snapshot) -> str:
    """What an answer says; the list of its sources is ours, and nothing to be taken up."""
    return "".join(s.text for s in post.sections if s.in_document and s.section != SOURCES)


def summary_of(section: str, data: dict[str, object] | None) -> tuple[str, str] | None:
    """Text and end of a summary, where a section holds one. A later part holds those before it."""
    if data is None or section.partition("_")[0] != HISTORY:
        return None
    text, up_to = data.get("summary"), data.get("up_to")
    return (text, up_to) if isinstance(text, str) and isinstance(up_to, str) else None


def title_for(snapshot: Snapshot, question: str) -> str:
    """A title for the conversation: what the reply found, else the question's first words."""
    section = snapshot.section(TITLE)
    found = section.data.get("title") if section is not None and section.data is not None else None
    return found if isinstance(found, str) and found else title_from(question)
