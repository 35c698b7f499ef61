"""Parse and check the body of POST /v1/embeddings the way OpenAI does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from inkwire_openai_sim.errors import ApiError
from inkwire_openai_sim.request_body import invalid, load_object, model_of, whole_number, wrong_type
from inkwire_openai_sim.tokens import text_tokens

MAX_INPUTS: Final = 2_048
MAX_INPUT_TOKENS: Final = 8_192
MAX_REQUEST_TOKENS: Final = 300_000
DEFAULT_DIMENSIONS: Final = 1_536
MODELS: Final = {
    "text-embedding-3-small": DEFAULT_DIMENSIONS,
    "text-embedding-3-large": 3_072,
}
"""The embedding models that are listed, with their dimensions. Any other name has DEFAULT_DIMENSIONS."""

EncodingFormat = Literal["float", "base64"]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A valid request: one vector of `dimensions` numbers for each of `texts`."""

    model: str
    texts: tuple[str, ...]
    dimensions: int
    encoding_format: EncodingFormat = "float"

    @property
    def prompt(self) -> str:
        """All texts as one."""
        return "\n".join(self.texts)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all texts, estimated."""
        return sum(map(text_tokens, self.texts))


def parse(raw: bytes) -> EmbeddingRequest:
    """The request in this body. Raises ApiError 400 that names the parameter."""
    body = load_object(raw)
    model = model_of(body)
    return EmbeddingRequest(model, _texts(body), _dimensions(body, model), _encoding_format(body))


def _texts(body: dict[str, Any]) -> tuple[str, ...]:
    given = body.get("input")
    if given is None:
        raise invalid("input", "Missing required parameter: 'input'.", "missing_required_parameter")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise wrong_type("input", "a string or an array of strings", given)
    if not 1 <= len(texts) <= MAX_INPUTS:
        raise invalid("input", f"Invalid 'input': an array has 1 to {MAX_INPUTS} texts, but got {len(texts)}.")
    for text in texts:
        if not isinstance(text, str):
            raise invalid("input", "This simulator embeds texts only; send strings instead of token arrays.")
        _check_length(text)
    if (total := sum(map(text_tokens, texts))) > MAX_REQUEST_TOKENS:
        raise _too_long(f"Requested {total} tokens, max {MAX_REQUEST_TOKENS} tokens per request.")
    return tuple(texts)


def _check_length(text: str) -> None:
    if not text:
        raise invalid("input", "Invalid 'input': a text cannot be empty.")
    if (tokens := text_tokens(text)) > MAX_INPUT_TOKENS:
        raise _too_long(
            f"This model's maximum context length is {MAX_INPUT_TOKENS} tokens, however you requested {tokens} tokens. "
            "Please reduce your prompt."
        )


def _too_long(message: str) -> ApiError:
    return invalid("input", message, "context_length_exceeded")


def _dimensions(body: dict[str, Any], model: str) -> int:
    most = MODELS.get(model, DEFAULT_DIMENSIONS)
    wanted = whole_number(body, "dimensions")
    if wanted is not None and wanted > most:
        raise invalid("dimensions", f"Invalid value for 'dimensions' = {wanted}. Must be at most {most}.")
    return wanted or most


def _encoding_format(body: dict[str, Any]) -> EncodingFormat:
    wanted = body.get("encoding_format")
    if wanted is None or wanted == "float":
        return "float"
    if wanted == "base64":
        return "base64"
    message = f"Invalid value: {wanted!r}. Supported values are: 'float' and 'base64'."
    raise invalid("encoding_format", message, "invalid_value")
