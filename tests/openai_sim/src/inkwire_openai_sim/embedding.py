"""Vectors for texts by feature hashing: no model, and yet texts that share words are near each other. Pure.

Each word, and each three neighbouring characters of a word, is hashed to one component and a sign. So two texts meet in
the components of what they share, words with a common stem still share some, and the rest cancels out by chance. Equal
text and dimensions give an equal vector, in every process and with every seed.
"""

from __future__ import annotations

import base64
import math
import re
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from inkwire_openai_sim.embedding_request import EmbeddingRequest

GRAM_CHARS: Final = 3
GRAM_WEIGHT: Final = 0.3  # of a word's own
SHORT_WORD_CHARS: Final = 3
SHORT_WORD_WEIGHT: Final = 0.3  # words so short say little of what a text is about: "the", "of", "is"
CACHED_FEATURES: Final = 65_536

_WORD: Final = re.compile(r"[^\W_]+")


def embed(text: str, dimensions: int) -> list[float]:
    """The vector of a text: unit length, `dimensions` numbers that a 32-bit float holds exactly."""
    vector = [0.0] * dimensions
    for feature, weight in _weights(text).items():
        number = _hash(feature)
        vector[(number >> 1) % dimensions] += weight if number & 1 else -weight
    length = math.sqrt(math.fsum(value * value for value in vector))
    if length < 1e-9:  # nothing that counts as a word, or all cancelled out
        vector[_hash(text) % dimensions] = length = 1.0
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(value / length for value in vector))))


def _weights(text: str) -> dict[str, float]:
    """The features of a text; what stands there often counts more, though less than in proportion."""
    weights: dict[str, float] = {}
    words = Counter(_WORD.findall(unicodedata.normalize("NFKC", text).lower()))
    for word, count in words.items():
        weight = (1 + math.log(count)) * (SHORT_WORD_WEIGHT if len(word) <= SHORT_WORD_CHARS else 1.0)
        weights[f"w:{word}"] = weight
        for gram in _grams(word):
            weights[gram] = weights.get(gram, 0.0) + weight * GRAM_WEIGHT
    return weights


def _grams(word: str) -> Iterator[str]:
    """Three characters each, the word's beginning and end marked."""
    padded = f"^{word}$"
    for place in range(len(padded) - GRAM_CHARS + 1):
        yield f"g:{padded[place : place + GRAM_CHARS]}"


@lru_cache(CACHED_FEATURES)
def _hash(feature: str) -> int:
    return int.from_bytes(blake2b(feature.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def answer(request: EmbeddingRequest) -> dict[str, Any]:
    """The response's body; base64 holds little-endian 32-bit floats."""
    data = []
    for index, text in enumerate(request.texts):
        vector = embed(text, request.dimensions)
        packed = struct.pack(f"<{len(vector)}f", *vector)
        as_text = base64.b64encode(packed).decode() if request.encoding_format == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": as_text})
    tokens = request.prompt_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}
