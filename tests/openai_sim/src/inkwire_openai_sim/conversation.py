"""What to say in a conversation: an answer to its last message, a title for it, notes on its beginning. Pure.

A conversation shows by what people said in it, between <message> and </message> in the last user message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from inkwire_openai_sim.material import quotes, without_passages
from inkwire_openai_sim.outline import understand
from inkwire_openai_sim.prompt import Brief, first_words, message_text, words_wanted
from inkwire_openai_sim.text import write

MAX_SUBJECTS: Final = 12
DEFAULT_NOTES_WORDS: Final = 120

_MESSAGE: Final = re.compile(r"<message>(.*?)</message>", re.DOTALL)
_NOTES_BEFORE: Final = re.compile(r"<summary>(.*?)</summary>", re.DOTALL)
_LEADS: Final = re.compile(r"^(?:(?:and|or|but|so|then|also|what about|how about)\b[\s,]*)+", re.IGNORECASE)
_PEOPLES: Final = re.compile(r"\bsaid:\s*<message>(.*?)</message>", re.DOTALL)
_TITLE_WANTED: Final = re.compile(r"\btitle for (?:this|the) conversation\b", re.IGNORECASE)
_NOTES_WANTED: Final = re.compile(r"\bconversation\b.{0,80}\bsummari[sz]e\b", re.IGNORECASE | re.DOTALL)

Wanted = Literal["reply", "title", "notes"]


@dataclass(frozen=True, slots=True)
class Talk:
    """What is wanted, and what was said: of a reply the last message alone is looked at."""

    wanted: Wanted
    said: tuple[str, ...]
    before: str = ""
    target_words: int | None = None
    quotes: tuple[str, ...] = ()


def read_talk(messages: list[dict[str, Any]]) -> Talk | None:
    """What is asked for, if it is about a conversation."""
    whole = next((message_text(m) for m in reversed(messages) if m.get("role") == "user"), "")
    asked = without_passages(whole)
    said = tuple(_MESSAGE.findall(asked))
    if not said:
        return None
    rest = _MESSAGE.sub("", asked)
    if _TITLE_WANTED.search(rest):
        return Talk("title", said)
    if _NOTES_WANTED.search(rest):
        return Talk(
            "notes", tuple(_PEOPLES.findall(asked)) or said, " ".join(_NOTES_BEFORE.findall(rest)), words_wanted([rest])
        )
    if asked.rstrip().endswith("</message>"):
        return Talk("reply", said[-1:], "", words_wanted(said[-1:]), quotes(whole))
    return None


def speak(talk: Talk, seed: int, prompt: str) -> str:
    """The text that is wanted; `prompt` varies it."""
    if talk.wanted == "title":
        subject = _subject(talk.said[0])
        return subject[:1].upper() + subject[1:]
    if talk.wanted == "notes":
        return _notes(talk)
    brief = Brief(title=_question(talk.said[-1]), target_words=talk.target_words, quotes=talk.quotes)
    return write(brief, seed, prompt)


def _notes(talk: Talk) -> str:
    subjects = list(dict.fromkeys(map(_subject, talk.said)))[:MAX_SUBJECTS]
    parts = [talk.before.strip()] if talk.before.strip() else []
    parts.append(f"They spoke of {', of '.join(subjects)}. Nothing was decided yet.")
    words = " ".join(parts).split()
    return " ".join(words[-(talk.target_words or DEFAULT_NOTES_WORDS) :])


def _subject(text: str) -> str:
    return understand(_question(text)).subject


def _question(text: str) -> str:
    """Its first words, without those that only join it to what was said before."""
    return _LEADS.sub("", first_words(text), count=1) or first_words(text)
