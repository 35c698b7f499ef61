"""What a request for embeddings may hold."""

import json
from typing import Any

import pytest

from inkwire_openai_sim.embedding_request import MAX_INPUT_TOKENS, MAX_INPUTS, EmbeddingRequest, parse
from inkwire_openai_sim.errors import ApiError

LONGEST = "abcd" * MAX_INPUT_TOKENS


def read(**body: Any) -> EmbeddingRequest:
    return parse(json.dumps({"model": "text-embedding-3-small", "input": "x", **body}).encode())


def test_one_text_and_many() -> None:
    """A string is one text; a list keeps its order; null options are left out options."""
    assert read().texts == ("x",)
    assert read(input=["b", "a"], dimensions=None, encoding_format=None).texts == ("b", "a")


def test_dimensions_are_the_models_unless_asked_for() -> None:
    """Each model has its own number; an unknown one has the small model's; fewer may be wanted."""
    assert [read(model=name).dimensions for name in ("text-embedding-3-small", "text-embedding-3-large", "mine")] == [
        1_536,
        3_072,
        1_536,
    ]
    assert read(dimensions=256).dimensions == 256


def test_bounds_are_reached() -> None:
    """The longest text, the most texts and the most tokens of one request pass."""
    assert read(input=LONGEST).prompt_tokens == MAX_INPUT_TOKENS
    assert len(read(input=["x"] * MAX_INPUTS).texts) == MAX_INPUTS
    assert read(input=[LONGEST] * 36).prompt_tokens <= 300_000


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"model": ""}, None, None),
        ({"model": 3}, "model", "invalid_type"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": {}}, "input", "invalid_type"),
        ({"input": ""}, "input", None),
        ({"input": ["a", ""]}, "input", None),
        ({"input": []}, "input", None),
        ({"input": ["x"] * (MAX_INPUTS + 1)}, "input", None),
        ({"input": [1, 2, 3]}, "input", None),
        ({"input": LONGEST + "e"}, "input", "context_length_exceeded"),
        ({"input": [LONGEST] * 37}, "input", "context_length_exceeded"),
        ({"dimensions": 0}, "dimensions", "integer_below_min_value"),
        ({"dimensions": True}, "dimensions", "invalid_type"),
        ({"dimensions": 1_537}, "dimensions", None),
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value"),
    ],
)
def test_wrong_requests_are_refused_by_name(body: dict[str, Any], param: str | None, code: str | None) -> None:
    """Each is a 400 that names the parameter."""
    with pytest.raises(ApiError) as caught:
        read(**body)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)
