"""From a request's body to the deltas that answer it."""

import json
from typing import Any

import pytest

from inkwire_openai_sim.chat_request import ChatRequest, parse
from inkwire_openai_sim.completion import compose
from inkwire_openai_sim.errors import ApiError

TIP = "Title: Top 10 Laravel tips\nSection: Push slow work onto queues\nAbout 150 words."


def request(**extra: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": TIP}], **extra}
    return parse(json.dumps(body).encode())


def test_requests_decide_the_text() -> None:
    """Equal requests give equal deltas; another prompt or seed gives others."""
    first = compose(request(), 1)
    assert compose(request(), 1) == first
    others = [
        compose(request(), 2),
        compose(request(messages=[{"role": "user", "content": TIP + " Again."}]), 1),
    ]
    assert len({"".join(item.deltas) for item in [first, *others]}) == 3


def test_text_stops_at_a_stop_sequence() -> None:
    """The text ends before the first stop sequence that it would contain."""
    whole = "".join(compose(request(), 1).deltas)
    cut = compose(request(stop=[".", "\n"]), 1)
    assert "".join(cut.deltas) == whole[: min(whole.index("."), whole.index("\n"))]
    assert cut.finish_reason == "stop"


def test_token_limit_is_exact() -> None:
    """A limit equal to the length is no cut; one less is."""
    whole = compose(request(), 1)
    assert compose(request(max_tokens=len(whole.deltas)), 1).finish_reason == "stop"
    cut = compose(request(max_completion_tokens=len(whole.deltas) - 1), 1)
    assert (cut.finish_reason, cut.deltas) == ("length", whole.deltas[:-1])


def test_json_object_is_an_object() -> None:
    """Format json_object gives an object, and only if the prompt speaks of JSON."""
    spoken = [{"role": "user", "content": TIP + " Answer as JSON."}]
    value = json.loads("".join(compose(request(messages=spoken, response_format={"type": "json_object"}), 1).deltas))
    assert isinstance(value, dict)
    with pytest.raises(ApiError, match="json"):
        request(response_format={"type": "json_object"})


def test_text_parts_are_joined() -> None:
    """Content in parts means the same as one string."""
    parts = [{"type": "text", "text": TIP[:20]}, {"type": "text", "text": TIP[20:]}]
    assert compose(request(messages=[{"role": "user", "content": parts}]), 1) == compose(request(), 1)


@pytest.mark.parametrize(
    "extra",
    [
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"max_tokens": True},
        {"stop": 5},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"top_p": -1},
        {"temperature": "hot"},
        {"messages": "hello"},
        {"messages": [3]},
        {"messages": [{"role": "user", "content": [3]}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"response_format": "json"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": {
            "type": "object", "additionalProperties": False, "properties": {"b": {"type": "string"}}, "required": [],
        }}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": {
            "type": "array", "items": {"type": "string"},
        }}}},
    ],
)  # fmt: skip
def test_wrong_requests_are_refused(extra: dict[str, Any]) -> None:
    """What OpenAI or the simulator cannot do is a 400 that names the parameter."""
    with pytest.raises(ApiError) as caught:
        request(**extra)
    assert caught.value.status == 400
    assert caught.value.param


def test_schema_that_cannot_be_met_is_a_400() -> None:
    """A schema that the generator does not know is refused when the answer is composed."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^[0-9]{40}$"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    with pytest.raises(ApiError, match="pattern"):
        compose(request(response_format=wanted), 1)
