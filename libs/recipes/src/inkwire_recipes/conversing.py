"""A conversation in a prompt: what was said is fenced, and who said it stands outside, where no text can reach.

A person's words never become an assistant's turn, however they are written: roles are the provider's own messages, or
labels of ours between the fences. Of names nothing is believed but that somebody calls themselves so.
"""

from collections.abc import Iterable, Sequence

from inkwire_recipes.prompting import tagged
from inkwire_recipes.recipe import MAX_CONTEXT_CHARS, Utterance, Work
from inkwire_recipes.rendering import one_line

MAX_NAME_CHARS = 100
CHARS_PER_TOKEN = 4
"""Of plain ASCII text; every other character counts as a token, which is more than it takes in most scripts."""
TURN_TOKENS = 12
"""What labels and fences of one turn take."""

STOPPED = "(That answer was stopped before its end.)"
NOTE = "A note in the conversation:"


def estimated_tokens(text: str) -> int:
    """How many tokens a text takes, rather too many than too few."""
    plain_chars = len(text) if text.isascii() else sum(character < "\x80" for character in text)
    return -(-plain_chars // CHARS_PER_TOKEN) + len(text) - plain_chars


def turn_tokens(turn: Utterance) -> int:
    """What a turn takes in a prompt."""
    return TURN_TOKENS + estimated_tokens(turn.text)


def clipped(text: str, limit_chars: int) -> str:
    """The beginning and the end of a text that is too long, and how much is missing between them."""
    if len(text) <= limit_chars:
        return text
    half = max(1, limit_chars // 2)
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters are left out here ...]\n{text[-half:]}"


def has_several_speakers(turns: Iterable[Utterance]) -> bool:
    """Whether it must be told who said what."""
    return len({turn.name for turn in turns if turn.role == "user"}) > 1


def said(turn: Utterance, *, named: bool) -> str:
    """A person's turn, or a note, as data."""
    message = tagged("message", turn.text)
    if turn.role == "system":
        return f"{NOTE}\n{message}"
    return f"{tagged('speaker', one_line(turn.name, MAX_NAME_CHARS))}\n{message}" if named else message


def told(turns: Sequence[Utterance], *, limit_chars: int) -> str:
    """Turns in one text, each at most so long, for somebody who reads the conversation but takes no part."""
    named = has_several_speakers(turns)
    lines = []
    for turn in turns:
        message = tagged("message", clipped(turn.text, limit_chars))
        name = f", {tagged('speaker', one_line(turn.name, MAX_NAME_CHARS))}," if named else ""
        label = {"user": f"A person{name} said:", "assistant": "The assistant answered:", "system": NOTE}[turn.role]
        lines.append(f"{label}\n{message}" + (f"\n{STOPPED}" if turn.unfinished else ""))
    return "\n".join(lines)


def left_out_note(count: int) -> str:
    """That messages are missing, and how many."""
    return "(An older message is left out.)" if count == 1 else f"({count} older messages are left out.)"


def as_turns(work: Work, turns: Sequence[Utterance], summary: str, left_out: int) -> tuple[tuple[str, str], ...]:
    """The conversation as messages of a provider, oldest first; the last is the user's, with the question.

    Neighbours of one role are one message: some servers refuse anything but turns by turns.
    """
    question = work.question or Utterance("user", work.title)
    named = has_several_speakers((*turns, question))
    pieces: list[tuple[str, str]] = []
    if summary:
        pieces.append(("user", f"What was said before, in short:\n{tagged('summary', summary)}"))
    if left_out:
        pieces.append(("user", left_out_note(left_out)))
    for turn in turns:
        if turn.role == "assistant":
            pieces.append(("assistant", turn.text))
            if turn.unfinished:
                pieces.append(("user", STOPPED))
        else:
            pieces.append(("user", said(turn, named=named)))
    pieces.append(("user", said(question, named=named)))
    return _merged(pieces)


def _merged(pieces: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    merged: list[tuple[str, str]] = []
    for role, text in pieces:
        if merged and merged[-1][0] == role:
            merged[-1] = (role, f"{merged[-1][1]}\n\n{text}")
        else:
            merged.append((role, text))
    if merged[0][0] == "assistant":
        merged.insert(0, ("user", "(The conversation begins here.)"))
    return tuple(merged)


def context_parts(work: Work, *, limit_chars: int = MAX_CONTEXT_CHARS) -> list[str]:
    """What a recipe's prompt must tell of the conversation in which it was asked for; nothing outside of one.

    The newest turns within the limit, the newest one clipped if need be; how many are left out is said.
    """
    question = work.question
    if question is None:
        return []
    parts = []
    if work.earlier or work.summary:
        parts.append("The request was made in a conversation. What was said before it, oldest first:")
        turns = _newest_within(work.earlier, limit_chars)
        if work.summary:
            parts.append(f"What came first, in short:\n{tagged('summary', work.summary)}")
        if left_out := work.left_out + len(work.earlier) - len(turns):
            parts.append(left_out_note(left_out))
        if turns:
            parts.append(told(turns, limit_chars=limit_chars))
        parts.append(
            "Understand the request in the light of it: it may change what was written there, or go on with it."
        )
    if one_line(question.text, len(question.text)) != one_line(work.title, len(work.title)):
        parts.append(f"The request, whole:\n{tagged('message', clipped(question.text, 2 * limit_chars))}")
    return parts


def _newest_within(turns: Sequence[Utterance], limit_chars: int) -> Sequence[Utterance]:
    used_chars = 0
    for place in range(len(turns) - 1, -1, -1):
        used_chars += len(turns[place].text)
        if used_chars > limit_chars:
            return turns[min(place + 1, len(turns) - 1) :]
    return turns
