"""A chat completion's stream, from bytes to text, tolerant where servers differ and strict on one thing.

A stream without a finish reason is a failure, however politely it ends: that is how a cut answer looks. Usage may
come in any chunk, in many, or never; ``choices`` may be empty; ``[DONE]`` may be missing.
"""

import json
from typing import Any

import orjson

from inkwire_contracts.events import MAX_USAGE_TOKENS, Usage
from inkwire_generator.errors import ProviderError
from inkwire_generator.ports import Finish
from inkwire_generator.provider_errors import from_finish, from_stream
from inkwire_generator.sse import SseEvent, SseParser, SseTooLong

CHARS_PER_TOKEN = 4
"""For estimates where a server reports no usage."""

DONE = b"[DONE]"
LENGTH = "length"


class CompletionStream:
    """One answer. :meth:`feed` it what the socket gives, then :meth:`end` it."""

    def __init__(self, model: str, prompt_chars: int) -> None:
        self._parser = SseParser()
        self._model = model
        self._prompt_chars = prompt_chars
        self._text_chars = 0
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self.done = False
        """``[DONE]`` has been seen: nothing of interest follows."""

    def feed(self, received: bytes) -> str:
        """The text in these bytes, often empty.

        Raises:
            ProviderError: the provider reports an error, or what it sends is no stream of ours.
        """
        try:
            events = self._parser.feed(received)
        except SseTooLong:
            raise ProviderError("provider_invalid_output", retryable=True, detail="endless event") from None
        return self._texts(events)

    def end(self) -> tuple[str, Finish]:
        """The stream has ended, by ``[DONE]`` or by its connection: the last text, if any, and how it ended.

        Raises:
            ProviderError: it ended without a finish reason, or with a bad one.
        """
        text = self._last_text()
        if self._finish_reason is None:
            raise ProviderError("provider_cut", retryable=True, detail="the stream ended without finish_reason")
        if (error := from_finish(self._finish_reason)) is not None:
            raise error
        return text, Finish(self._usage or self._estimate(), self._model, truncated=self._finish_reason == LENGTH)

    def _last_text(self) -> str:
        try:
            return self._texts(self._parser.end())
        except ProviderError as error:
            if error.code == "provider_invalid_output":
                return ""  # half a chunk: what matters is whether a finish reason came before it
            raise

    def _texts(self, events: list[SseEvent]) -> str:
        text = "".join([self._one(event) for event in events if not self.done])
        self._text_chars += len(text)
        return text

    def _one(self, event: SseEvent) -> str:
        if event.data == DONE:
            self.done = True
            return ""
        chunk = _decode(event.data)
        if event.event == "error":
            raise from_stream(chunk)
        if not isinstance(chunk, dict):
            raise ProviderError("provider_invalid_output", retryable=True, detail="a chunk is no JSON object")
        if chunk.get("error"):
            raise from_stream(chunk)
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = _reported(usage) or self._usage
        if isinstance(model := chunk.get("model"), str) and model:
            self._model = model
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return ""
        return self._choice(choices[0])

    def _choice(self, choice: dict[str, Any]) -> str:
        if reason := choice.get("finish_reason"):
            self._finish_reason = str(reason)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return ""
        if delta.get("refusal"):
            raise ProviderError("provider_content_filter", retryable=False, detail="refusal")
        content = delta.get("content")
        return content if isinstance(content, str) else ""

    def _estimate(self) -> Usage:
        return estimated_usage(self._prompt_chars, self._text_chars)


def estimated_usage(prompt_chars: int, text_chars: int) -> Usage:
    """Tokens by the rule of thumb, labelled as an estimate."""
    return Usage(
        tokens_in=-(-prompt_chars // CHARS_PER_TOKEN),
        tokens_out=-(-text_chars // CHARS_PER_TOKEN),
        source="estimated",
    )


def _reported(usage: dict[str, Any]) -> Usage | None:
    """The provider's own count, bounded; nothing where it counts one direction only, or not in whole numbers."""
    counts = [usage.get(key) for key in ("prompt_tokens", "completion_tokens")]
    known = [min(n, MAX_USAGE_TOKENS) for n in counts if isinstance(n, int) and n >= 0]
    return Usage(tokens_in=known[0], tokens_out=known[1], source="reported") if len(known) == 2 else None


def _decode(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:  # the standard parser lets the halves of a character through, which some servers send in two chunks
        return json.loads(data.decode("utf-8", "replace"))
    except ValueError:
        raise ProviderError("provider_invalid_output", retryable=True, detail="a chunk is no JSON") from None
