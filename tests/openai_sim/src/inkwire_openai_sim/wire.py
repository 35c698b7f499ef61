"""The bytes of chat completions: chunks as server-sent events, and whole responses. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal

SYSTEM_FINGERPRINT: Final = "fp_inkwire_sim"
OBFUSCATED_CHARS: Final = 24  # a delta and its padding together

UsageStyle = Literal["last", "none", "every", "finish"]
_UTF8: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
_PADDING: Final = "x7Qm2aLw9ZtRk4VbN8cYd1Gh"


def dumps(value: Any) -> bytes:
    """Compact JSON; lone surrogates appear as escapes, everything else as UTF-8."""
    try:
        return _UTF8.encode(value).encode()
    except UnicodeEncodeError:
        return _ASCII.encode(value).encode()


@dataclass(slots=True)
class StreamPlan:
    """How a stream will look on the wire. Modifiers change it before the first byte."""

    deltas: list[str]
    finish_reason: str
    include_usage: bool = False
    obfuscation: bool = False
    usage: UsageStyle = "last"
    done: bool = True
    null_finish_reason: bool = True  # false: the key is absent until the end
    line_end: bytes = b"\n"
    fragment_bytes: int | None = None  # each event is written in pieces of this size
    speed: dict[str, float] = field(default_factory=dict)  # overrides of tokens_per_s and ttft_ms


class Encoder:
    """Encodes the chunks of one completion; the parts that never change are encoded once."""

    def __init__(self, completion_id: str, created: int, model: str, plan: StreamPlan, prompt_tokens: int) -> None:
        self.plan, self.prompt_tokens = plan, prompt_tokens
        self._base: dict[str, Any] = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": SYSTEM_FINGERPRINT,
        }
        head = dumps(self._base)[:-1]
        self._before = head + b',"choices":[{"index":0,"delta":{"content":'
        finish = b',"finish_reason":null' if plan.null_finish_reason else b""
        usage = b',"usage":null' if plan.include_usage and plan.usage in ("last", "finish") else b""
        self._after = b'},"logprobs":null' + finish + b"}]" + usage

    def event(self, data: bytes, name: str | None = None) -> bytes:
        """One server-sent event."""
        end = self.plan.line_end
        prefix = b"event: " + name.encode() + end if name else b""
        return prefix + b"data: " + data + end + end

    def comment(self, text: str) -> bytes:
        """A comment frame: no event, but bytes that keep a connection alive."""
        return b": " + text.encode() + self.plan.line_end * 2

    def delta(self, text: str, sent: int) -> bytes:
        """The event of one content delta; `sent` counts the deltas up to and with this one."""
        try:
            content = _UTF8.encode(text).encode()
        except UnicodeEncodeError:
            content = _ASCII.encode(text).encode()
        tail = self._after
        if self.plan.usage == "every":
            tail += b',"usage":' + dumps(self.usage(sent))
        if self.plan.obfuscation:
            padding = _PADDING[: max(1, OBFUSCATED_CHARS - len(text))]
            tail += b',"obfuscation":"' + padding.encode() + b'"'
        end = self.plan.line_end
        return b"data: " + self._before + content + tail + b"}" + end + end

    def chunk(self, delta: dict[str, Any], finish_reason: str | None, **extra: Any) -> dict[str, Any]:
        """A chunk with one choice, as a value."""
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None}
        if finish_reason is not None or self.plan.null_finish_reason:
            choice["finish_reason"] = finish_reason
        chunk = {**self._base, "choices": [choice]}
        if self.plan.include_usage and self.plan.usage == "last":
            chunk["usage"] = None
        return {**chunk, **extra}

    def first(self) -> bytes:
        """The role-only chunk."""
        return self.event(dumps(self.chunk({"role": "assistant", "content": "", "refusal": None}, None)))

    def finish(self, sent: int) -> bytes:
        """The chunk with the finish reason, the usage chunk if asked for, and `[DONE]`."""
        extra = {"usage": self.usage(sent)} if self.plan.usage in ("every", "finish") else {}
        parts = [self.event(dumps(self.chunk({}, self.plan.finish_reason, **extra)))]
        if self.plan.include_usage and self.plan.usage == "last":
            parts.append(self.event(dumps({**self._base, "choices": [], "usage": self.usage(sent)})))
        if self.plan.done:
            parts.append(self.done())
        return b"".join(parts)

    def done(self) -> bytes:
        """The end marker."""
        return self.event(b"[DONE]")

    def usage(self, completion_tokens: int) -> dict[str, Any]:
        """The usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def whole(self) -> bytes:
        """The body of a response that is not streamed."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self.plan.deltas),
            "refusal": None,
            "annotations": [],
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.plan.finish_reason}
        body = {**self._base, "object": "chat.completion", "choices": [choice]}
        if self.plan.usage != "none":
            body["usage"] = self.usage(len(self.plan.deltas))
        return dumps(body)
