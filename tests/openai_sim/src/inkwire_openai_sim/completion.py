"""What one request is answered with: the deltas, the reason of the end, the tokens. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from inkwire_openai_sim.chat_request import ChatRequest
from inkwire_openai_sim.conversation import read_talk, speak
from inkwire_openai_sim.errors import ApiError
from inkwire_openai_sim.prompt import read_brief
from inkwire_openai_sim.schema_text import UnsupportedSchema, generate
from inkwire_openai_sim.text import seeded, write
from inkwire_openai_sim.tokens import prompt_tokens, split_deltas

JSON_OBJECT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "summary": {"type": "string"},
        "points": {"type": "array", "items": {"type": "string"}},
    },
}


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer; its text is the concatenation of `deltas`."""

    deltas: tuple[str, ...]
    finish_reason: str
    prompt_tokens: int


def compose(request: ChatRequest, seed: int) -> Completion:
    """The answer to this request; equal seed and request give equal answers. Raises ApiError 400."""
    rng = seeded(seed, request.model, request.prompt)
    text = _text(request, seed)
    ends = [place for stop in request.stop if (place := text.find(stop)) >= 0]
    deltas = split_deltas(text[: min(ends)] if ends else text, rng)
    limit = request.max_tokens
    finish_reason = "length" if limit is not None and len(deltas) > limit else "stop"
    return Completion(tuple(deltas[:limit]), finish_reason, prompt_tokens(request.messages))


def _text(request: ChatRequest, seed: int) -> str:
    brief = read_brief(request.messages)
    if request.format == "text":
        talk = read_talk(request.messages)
        return write(brief, seed, request.prompt) if talk is None else speak(talk, seed, request.prompt)
    schema = request.schema if request.schema is not None else JSON_OBJECT_SCHEMA
    rng = seeded(seed, brief.title, request.prompt, json.dumps(schema, sort_keys=True))
    try:
        value = generate(schema, brief, rng)
    except UnsupportedSchema as error:
        raise ApiError(400, f"Invalid schema for response_format: {error}.", param="response_format") from error
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
