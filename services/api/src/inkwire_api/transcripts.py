"""A conversation to take away: who said what, and when. Superseded messages are left out. Pure.

What people and models say never becomes part of the file's own structure: in Markdown each message is a quotation, so
that no heading, open fence or raw HTML of it reaches beyond its end, and what is quoted is what was said.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inkwire_api.answers import Joined
from inkwire_api.articles import front_matter
from inkwire_contracts.conversations import Conversation, Member, Message
from inkwire_contracts.fold import Snapshot

ASSISTANT = "Assistant"
NOTE = "Note"
UNTITLED = "Conversation"

_UNFINISHED = {
    "published": "",
    "cancelled": "stopped",
    "failed": "failed",
    "deleted": "deleted",
    "paused": "waits for approval",
}
_PUNCTUATION = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>#!|&~"})


@dataclass(frozen=True, slots=True)
class Turn:
    """A message, as it is read. ``state`` is empty, or why an answer is not whole."""

    message: Message
    speaker: str
    text: str
    state: str = ""
    answer: Snapshot | None = None

    @property
    def heading(self) -> str:
        """Who said it, when, and what is missing of it."""
        return " \u00b7 ".join(filter(None, (self.speaker, shown_time(self.message.created_at), self.state)))

    @property
    def shown_text(self) -> str:
        """The text, or why there is none."""
        error = self.answer.error if self.answer is not None else None
        return self.text or (error.message if error is not None else "")


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole conversation as it stood."""

    id: str
    title: str
    recipe: str
    options: dict[str, Any]
    created_at: str
    updated_at: str
    members: tuple[Member, ...]
    turns: tuple[Turn, ...]

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(turn.text for turn in self.turns)


def transcript(conversation: Conversation, joined: Sequence[Joined]) -> Transcript:
    """The conversation with the messages that stand, oldest first."""
    names = {member.user: member.name or member.user for member in conversation.members}
    return Transcript(
        id=conversation.conversation,
        title=conversation.title or UNTITLED,
        recipe=conversation.recipe,
        options=conversation.options,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
        members=tuple(conversation.members),
        turns=tuple(_turn(one, names) for one in joined),
    )


def _turn(joined: Joined, names: dict[str, str]) -> Turn:
    message, answer = joined.message, joined.answer
    if answer is not None:
        state = _UNFINISHED.get(answer.snapshot.status, "being written")
        return Turn(message, ASSISTANT, joined.text, state, answer.snapshot)
    if message.role == "system":
        return Turn(message, NOTE, joined.text)
    name = names.get(message.author or "", message.author or "")
    # Nobody speaks as the assistant by calling himself so.
    is_taken = name.casefold().strip() in (ASSISTANT.casefold(), NOTE.casefold())
    return Turn(message, f"{name} (member)" if is_taken else name, joined.text)


def shown_time(time: str) -> str:
    """A time of ours as people read it, to the minute."""
    return f"{time[:10]} {time[11:16]} UTC" if len(time) >= 16 else ""


def transcript_as_markdown(found: Transcript) -> bytes:
    """Front matter, the title, and each message as a quotation under the name of who said it."""
    facts = {
        "title": found.title,
        "conversation": found.id,
        "recipe": found.recipe,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "members": [member.name or member.user for member in found.members],
        "messages": len(found.turns),
    }
    parts = [f"# {_plain(found.title)}\n"]
    parts += [f"## {_plain(turn.heading)}\n\n{_quoted(turn.shown_text)}" for turn in found.turns]
    return f"{front_matter(facts)}{chr(10).join(parts)}".encode()


def transcript_as_json(found: Transcript) -> bytes:
    """All that is known; of answers also their digests, models and costs."""
    whole = {
        "id": found.id,
        "title": found.title,
        "recipe": found.recipe,
        "options": found.options,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "members": [member.model_dump() for member in found.members],
        "messages": [_as_data(turn) for turn in found.turns],
    }
    return json.dumps(whole, ensure_ascii=False, indent=2).encode() + b"\n"


def _as_data(turn: Turn) -> dict[str, Any]:
    message, answer = turn.message, turn.answer
    data: dict[str, Any] = {
        "id": message.message,
        "role": message.role,
        "author": message.author,
        "speaker": turn.speaker,
        "created_at": message.created_at,
        "markdown": turn.text,
        "reply_to": message.reply_to,
        "documents": [ref.model_dump(include={"document", "number", "name"}) for ref in message.documents],
        "reactions": message.reactions,
    }
    if answer is None:
        return data
    return {
        **data,
        "post": answer.post,
        "status": answer.status,
        "sha256": answer.sha256,
        "error": answer.error.model_dump() if answer.error else None,
        "metrics": answer.metrics.model_dump() if answer.metrics else None,
    }


def _plain(text: str) -> str:
    """A text on one line, without any markup."""
    return " ".join(text.split()).translate(_PUNCTUATION)


def _quoted(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if text else []
    return "".join(f"> {line}\n" if line else ">\n" for line in lines)
