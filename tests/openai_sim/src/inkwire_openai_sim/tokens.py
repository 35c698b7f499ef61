"""Cut text into deltas as a tokenizer would, and count tokens. Pure."""

from __future__ import annotations

import re
from random import Random
from typing import Any, Final

from inkwire_openai_sim.prompt import message_text

LONGEST_WHOLE_WORD: Final = 7  # code points, leading space included; longer words are cut into pieces of 3 to 6
CHARS_PER_PROMPT_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4

_PIECES: Final = re.compile(r" ?[^\W\d_]+| ?\d{1,3}|\n+| ?[^\w\s]{1,4}|\s|_+")


def split_deltas(text: str, rng: Random) -> list[str]:
    """Pieces whose concatenation is exactly `text`; none is empty. A combining mark may part from its base."""
    deltas: list[str] = []
    for piece in _PIECES.findall(text):
        while len(piece) > LONGEST_WHOLE_WORD:
            cut = rng.randint(3, 6)
            deltas.append(piece[:cut])
            piece = piece[cut:]
        deltas.append(piece)
    return deltas


def split_surrogates(deltas: list[str]) -> list[str]:
    """Each character beyond the basic plane as two deltas, each holding one lone UTF-16 surrogate."""
    result: list[str] = []
    for delta in deltas:
        pending = ""
        for char in delta:
            if ord(char) <= 0xFFFF:
                pending += char
                continue
            offset = ord(char) - 0x10000
            result += [pending + chr(0xD800 + (offset >> 10))]
            pending = chr(0xDC00 + (offset & 0x3FF))
        if pending:
            result.append(pending)
    return result


def text_tokens(text: str) -> int:
    """An estimate: four characters a token."""
    return -(-len(text) // CHARS_PER_PROMPT_TOKEN)


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    """An estimate: four characters a token and a few tokens of framing for each message."""
    chars = sum(len(message_text(message)) for message in messages)
    return -(-chars // CHARS_PER_PROMPT_TOKEN) + TOKENS_PER_MESSAGE * len(messages) + 3
