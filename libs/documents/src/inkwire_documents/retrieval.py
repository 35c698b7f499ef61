"""Finds the passages of several documents that fit a question and a budget: BM25, with vectors where there are any.

Synchronous and, for large documents, slow enough to belong into a thread: 0.3 s for a million characters on one core.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import bm25s  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from inkwire_contracts.documents import DocumentRef, Passage
from inkwire_documents.words import terms

MAX_FOUND = 24
FUSION_OFFSET = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""

VECTOR_DEPTH = 100
"""By vectors every passage has a rank; those behind this one do not count as found."""

MAX_TERM_SHARE = 0.5
"""A word of the question that stands in more of the passages tells little, unless all its words are such."""

ENOUGH_FOUND = 8
"""Passages that fit only by words that tell little fill up to this number; more of them would be noise."""

_FLOATS = np.dtype("<f4")
bm25s.logger.setLevel("WARNING")  # it switches its own debug lines on


@dataclass(frozen=True, slots=True)
class Material:
    """A document to search. ``vectors``: those of all its passages in order, unit length, little-endian 32-bit floats.

    Whether they are of the same model as the question's vector is the caller's business.
    """

    ref: DocumentRef
    passages: tuple[Passage, ...]
    vectors: bytes = b""
    dimensions: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A passage and the document it is from."""

    document: DocumentRef
    passage: Passage


class Retriever:
    """An index over documents, for any number of questions. Equal input gives equal output."""

    def __init__(self, documents: Sequence[Material]) -> None:
        """Index the documents, whose order is the order of what is found.

        Raises:
            ValueError: a document has vectors, and not one for each passage.
        """
        self._documents = tuple(documents)
        self._all = tuple(Found(material.ref, passage) for material in documents for passage in material.passages)
        self._owners = np.repeat(np.arange(len(documents)), [len(material.passages) for material in documents])
        self._vectors = [_vectors(material) for material in documents]
        self._index = _LexicalIndex([terms(_searched(found)) for found in self._all])

    def passages(
        self,
        query: str,
        *,
        budget_chars: int,
        query_vector: Sequence[float] | None = None,
        max_found: int = MAX_FOUND,
    ) -> tuple[Found, ...]:
        """The passages that fit the question best, in the order of the documents and of their text.

        Everything, if everything fits. Else each document's best passage first, as far as they fit, then what ranks
        highest over all, and if that is little, what fits by common words only; of documents in which nothing fits the
        question, how they begin. Only text counts for the budget, not what is written around it.

        Args:
            query: the question, in any words.
            budget_chars: characters of text that may come back.
            query_vector: the question's vector, unit length; documents without vectors are found by words alone.
            max_found: passages that may come back.
        """
        if len(self._all) <= max_found and sum(len(found.passage.text) for found in self._all) <= budget_chars:
            return self._all
        telling, common = (_best(scores) for scores in self._index.scores(query))
        ranked = telling if query_vector is None else self._fused(telling, query_vector)
        best = self._best_of_each(chain(ranked, common))
        openings = self._openings(best)
        choice = _Choice([len(found.passage.text) for found in self._all], budget_chars)
        choice.fill(chain(best.values(), openings[0] if openings else (), ranked), max_found)
        choice.fill(common, min(max_found, ENOUGH_FOUND))
        choice.fill(chain.from_iterable(openings), max_found)
        return tuple(self._all[at] for at in sorted(choice.chosen))

    def _best_of_each(self, ranked: Iterable[int]) -> dict[int, int]:
        """The first passage of each document that has one, in the order of these passages."""
        best: dict[int, int] = {}
        for at in ranked:
            best.setdefault(int(self._owners[at]), at)
        return best

    def _openings(self, answering: Container[int]) -> list[list[int]]:
        """First passages, second passages and so on of the documents that do not answer at all."""
        silent = [number for number in range(len(self._documents)) if number not in answering]
        columns = zip_longest(*(np.flatnonzero(self._owners == number).tolist() for number in silent))
        return [[at for at in column if at is not None] for column in columns]

    def _fused(self, lexical: list[int], query_vector: Sequence[float]) -> list[int]:
        """Passages that fit the question by words or by meaning, best first; among equals the earlier one."""
        scores = np.zeros(len(self._all))
        for ranking in (lexical, self._by_meaning(np.asarray(query_vector, dtype=_FLOATS))):
            for rank, at in enumerate(ranking, start=1):
                scores[at] += 1.0 / (FUSION_OFFSET + rank)
        return _best(scores)

    def _by_meaning(self, query: NDArray[np.float32]) -> list[int]:
        scores = np.full(len(self._all), -np.inf)
        start = 0
        for material, vectors in zip(self._documents, self._vectors, strict=True):
            stop = start + len(material.passages)
            if vectors is not None and material.dimensions == query.size:
                scores[start:stop] = vectors @ query
            start = stop
        order = np.argsort(-scores, kind="stable")[:VECTOR_DEPTH]
        return [int(at) for at in order if np.isfinite(scores[at])]


def _searched(found: Found) -> str:
    """What of a passage is searched: its heading, too."""
    return f"{found.passage.heading}\n{found.passage.text}"


def _vectors(material: Material) -> NDArray[np.float32] | None:
    """A document's vectors, one row each; None if it has none.

    Raises:
        ValueError: there are not as many as passages.
    """
    if not material.vectors:
        return None
    return np.frombuffer(material.vectors, dtype=_FLOATS).reshape(len(material.passages), material.dimensions)


class _LexicalIndex:
    """BM25 over passages by their terms."""

    def __init__(self, corpus: list[list[str]]) -> None:
        self._size = len(corpus)
        self._frequencies = Counter(chain.from_iterable(map(set, corpus)))
        self._bm25 = bm25s.BM25(method="lucene", dtype="float64")
        if self._frequencies:
            self._bm25.index(corpus, show_progress=False)

    def scores(self, query: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """One number for each passage, 0 for one that fits in nothing: by the telling words, and by all.

        If no word of the question tells anything, all do.
        """
        known = sorted(term for term in set(terms(query)) if term in self._frequencies)
        telling = [term for term in known if self._frequencies[term] <= self._size * MAX_TERM_SHARE]
        return self._scored(telling or known), self._scored(known)

    def _scored(self, known: list[str]) -> NDArray[np.float64]:
        if not known:
            return np.zeros(self._size)
        return np.asarray(self._bm25.get_scores(known), dtype=np.float64)


class _Choice:
    """Passages that are taken while there is room."""

    def __init__(self, lengths: list[int], budget_chars: int) -> None:
        self.chosen: set[int] = set()
        self._lengths = lengths
        self._room_chars = budget_chars

    def fill(self, wanted: Iterable[int], max_found: int) -> None:
        """Take the wanted ones that fit, in their order, until there are so many in all; some may be wanted twice."""
        for at in wanted:
            if len(self.chosen) >= max_found:
                return
            if at not in self.chosen and self._lengths[at] <= self._room_chars:
                self.chosen.add(at)
                self._room_chars -= self._lengths[at]


def _best(scores: NDArray[np.float64]) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    return [int(at) for at in order if scores[at] > 0]
