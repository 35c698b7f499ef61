"""Text to search terms, in any script. Text and question go through the same function, so that they meet.

Words of scripts with spaces count as they are and, when long, by their first letters, which takes the place of a
stemmer for each language (``policy`` meets ``policies``). Runs of scripts without spaces (Chinese, Japanese, Thai,
Lao, Khmer, Burmese) count by overlapping pairs of characters, which needs no dictionary.
"""

import re
import unicodedata
from collections.abc import Iterator

STEM_CHARS = 5
_UNSPACED = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
# Marks that belong to the letter before them, which \w leaves out: accents, Hebrew and Arabic points, vowels of India.
_MARKS = "\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
_RUNS = re.compile(f"([{_UNSPACED}]+)|((?:(?![{_UNSPACED}])[\\w{_MARKS}])+)")


def terms(text: str) -> list[str]:
    """The search terms of a text, in order, with repetitions."""
    return list(_terms(unicodedata.normalize("NFKC", text).casefold()))


def _terms(text: str) -> Iterator[str]:
    for run in _RUNS.finditer(text):
        unspaced, word = run[1], run[2]
        if unspaced:
            yield from (unspaced[at : at + 2] for at in range(max(len(unspaced) - 1, 1)))
        else:
            yield word
            if len(word) > STEM_CHARS:
                yield word[:STEM_CHARS] + "*"
