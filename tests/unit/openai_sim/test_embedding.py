"""Vectors without a model."""

import base64
import math
import struct
import subprocess
import sys

import pytest

from inkwire_openai_sim.embedding import answer, embed
from inkwire_openai_sim.embedding_request import EmbeddingRequest

PASSAGES = {
    "queues": "A queue takes slow work out of the request: mails, exports and thumbnails are done by a worker later.",
    "caching": "Cache what is read often and changes rarely, and say for how long the cached value may be stale.",
    "gardening": "Tomatoes want sun, water at the root and no wind; prune the side shoots every week in summer.",
    "refunds": "A customer may return the goods within 30 days; the refund goes to the card that was charged.",
}


def cosine(one: str, other: str, dimensions: int = 1_536) -> float:
    return math.fsum(a * b for a, b in zip(embed(one, dimensions), embed(other, dimensions), strict=True))


@pytest.mark.parametrize("dimensions", [1, 2, 16, 256, 1_536, 3_072])
@pytest.mark.parametrize("text", ["a", " ", "\n", "?!", "🖋️", "\ud83d", "漢字かな交じり文", *PASSAGES.values()])
def test_every_vector_has_unit_length(text: str, dimensions: int) -> None:
    """Whatever the text is, its vector has the wanted number of components and length 1."""
    vector = embed(text, dimensions)
    assert len(vector) == dimensions
    assert math.fsum(value * value for value in vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("question", "nearest"),
    [
        ("How do I move slow work to a worker?", "queues"),
        ("for how long may a CACHED value be stale", "caching"),
        ("watering and pruning tomatoes", "gardening"),
        ("When will my refunds be charged back to the card?", "refunds"),
    ],
)
@pytest.mark.parametrize("dimensions", [256, 1_536])
def test_a_question_is_nearest_to_the_passage_that_shares_its_words(
    question: str, nearest: str, dimensions: int
) -> None:
    """Among four passages the one with the question's words, or their stems, is clearly the nearest."""
    near = {name: cosine(question, passage, dimensions) for name, passage in PASSAGES.items()}
    best, second = sorted(near, key=lambda name: -near[name])[:2]
    assert best == nearest, near
    assert near[best] > near[second] + 0.05, near


def test_case_compatibility_forms_and_punctuation_do_not_count() -> None:
    """The same words in another dress have the same vector."""
    assert embed("Hello, WORLD!", 64) == embed("hello world", 64) == embed("ｈｅｌｌｏ　world", 64)


def test_other_words_are_far() -> None:
    """Texts that share no word and no stem are nearly at right angles."""
    assert abs(cosine("gardening tomatoes", "quick refund policy")) < 0.15
    assert cosine("gardening tomatoes", "gardening tomatoes today") > 0.7


def test_another_process_finds_the_same_vector() -> None:
    """Nothing depends on the process, such as Python's own salted hashes."""
    code = "from inkwire_openai_sim.embedding import embed; print(embed('Top 10 Laravel tips', 8))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str(embed("Top 10 Laravel tips", 8))


def test_base64_is_the_same_vector() -> None:
    """Little-endian 32-bit floats, equal to the numbers of the other form."""
    plain = answer(EmbeddingRequest("m", ("one two", "three"), 16))
    packed = answer(EmbeddingRequest("m", ("one two", "three"), 16, "base64"))
    assert [item["index"] for item in plain["data"]] == [0, 1]
    for one, other in zip(plain["data"], packed["data"], strict=True):
        assert list(struct.unpack("<16f", base64.b64decode(other["embedding"]))) == one["embedding"]
    assert plain["usage"] == packed["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
