"""Going on where a model stopped at its length limit: whether to ask, and how the two texts meet. Pure.

What a reader has seen stands, so a continuation may only append. Models that are asked to go on often repeat the last
words first, or begin the whole answer again; :class:`Joint` drops what is there already.
"""

from dataclasses import dataclass

from inkwire_generator.errors import ProviderError
from inkwire_recipes.recipe import Prompt

REPEATED_LETTERS = 12
"""Fewer letters and digits in common are chance: a table's rule, white space, an article."""

WINDOW_CHARS = 2_000
"""How far back from the end of the answer a repetition is looked for."""


@dataclass(frozen=True, slots=True)
class ContinuationLimits:
    """Bounds for one section."""

    max_count: int = 4
    max_bytes: int = 64 * 1024
    """A longer answer is not sent back to be continued."""


def continued(asked: Prompt, answer: str, count: int, limits: ContinuationLimits) -> Prompt:
    """What to ask after ``asked``, when ``answer`` is all that came so far, in ``count`` continuations.

    Raises:
        ProviderError: ``provider_truncated``, at a bound, or because the last answer added nothing.
    """
    if count >= limits.max_count or len(answer.encode()) > limits.max_bytes or answer == asked.answered:
        raise ProviderError("provider_truncated", retryable=False, detail=f"after {count} continuations")
    return asked.continued(answer)


class Joint:
    """Between an answer and its continuation. :meth:`feed` it the continuation's pieces, then :meth:`end` it."""

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self._held = ""
        first = max(1, len(answer) - WINDOW_CHARS)
        self._starts = [0, *range(first, len(answer))] if answer else []
        self._repeated_chars = 0
        self._joined = not self._starts

    def feed(self, piece: str) -> str:
        """Text that is certainly new; while the piece may still be a repetition, nothing.

        Raises:
            ProviderError: the model tells another answer from its beginning.
        """
        if self._joined:
            return piece
        begins_again = 0 in self._starts
        self._held += piece
        self._starts = [start for start in self._starts if self._may_repeat(start)]
        if self._starts:
            return ""
        if begins_again and not self._repeated_chars and _letters(_common(self._answer, self._held)) > REPEATED_LETTERS:
            raise ProviderError("provider_invalid_output", retryable=True, detail="begins again with another text")
        return self.end()

    def end(self) -> str:
        """Nothing follows: the rest that is new."""
        if self._starts and _letters(self._held) >= REPEATED_LETTERS:
            self._repeated_chars = len(self._held)  # it stopped in the middle of repeating
        new, self._held, self._joined = self._held[self._repeated_chars :], "", True
        return new

    def _may_repeat(self, start: int) -> bool:
        """Whether the answer's end, from ``start`` on, may yet turn out to be what the continuation begins with."""
        length = len(self._answer) - start
        if len(self._held) < length:
            return self._answer.startswith(self._held, start)
        repeated = self._held[:length]
        if self._answer.endswith(repeated) and _letters(repeated) >= REPEATED_LETTERS:
            self._repeated_chars = max(self._repeated_chars, length)
        return False


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _common(one: str, other: str) -> str:
    """The beginning that both share."""
    pairs = zip(one, other, strict=False)
    return one[: next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))]
