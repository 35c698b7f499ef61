"""What happened to each request, down to the moment its socket was closed. Bounded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

REQUEST_LOG_CAP: Final = 2_000  # records; the oldest is dropped
PREVIEW_CHARS: Final = 200  # of the beginning, and as many of the end
MAX_KEPT_CHARS: Final = 400_000  # of one recorded prompt; a longer one is not kept
MAX_CHUNK_TIMES: Final = 20_000  # for each record; later chunks are sent but not timed
MAX_HEADERS: Final = 16
MAX_HEADER_CHARS: Final = 200

Endpoint = Literal["chat", "embeddings"]
CloseReason = Literal["done", "client_closed", "cut", "error"]


def preview(prompt: str) -> str:
    """The beginning and the end of a prompt."""
    if len(prompt) <= 2 * PREVIEW_CHARS:
        return prompt
    return f"{prompt[:PREVIEW_CHARS]} … {prompt[-PREVIEW_CHARS:]}"


def now_ms() -> float:
    """Milliseconds since 1970, with a fraction."""
    return time.time_ns() / 1e6


@dataclass(slots=True)
class RequestRecord:
    """One request; times are milliseconds since 1970.

    `finished_at_ms`: the exchange ended, for whatever reason. `closed_at_ms`: its TCP connection is gone (a kept-alive
    connection stays open after `done`).
    """

    id: str
    received_at_ms: float
    headers: dict[str, str] = field(default_factory=dict)
    endpoint: Endpoint = "chat"
    model: str = ""
    stream: bool = False
    prompt_chars: int = 0
    prompt_preview: str = ""
    prompt_tokens: int = 0
    status: int = 0
    fault: str | None = None
    chunks_sent: int = 0
    chars_sent: int = 0
    first_chunk_at_ms: float | None = None
    finish_reason: str | None = None
    finished_at_ms: float | None = None
    closed_at_ms: float | None = None
    close_reason: CloseReason | None = None
    chunk_times_ms: list[float] | None = None
    chunk_chars: list[int] | None = None
    messages: list[tuple[str, str]] | None = None

    def sent(self, chunks: list[str], at_ms: float) -> None:
        """These deltas were handed to the socket."""
        if self.first_chunk_at_ms is None:
            self.first_chunk_at_ms = at_ms
        self.chunks_sent += len(chunks)
        self.chars_sent += sum(map(len, chunks))
        if self.chunk_times_ms is not None and self.chunk_chars is not None:
            room = max(0, MAX_CHUNK_TIMES - len(self.chunk_times_ms))
            self.chunk_times_ms += [at_ms] * min(room, len(chunks))
            self.chunk_chars += [len(chunk) for chunk in chunks[:room]]

    def finish(self, reason: CloseReason) -> None:
        """The exchange ended; only the first reason counts."""
        if self.close_reason is None:
            self.close_reason, self.finished_at_ms = reason, now_ms()

    def connection_lost(self) -> None:
        """The TCP connection is gone; an exchange that was still open was closed by the client."""
        if self.closed_at_ms is None:
            self.closed_at_ms = now_ms()
        self.finish("client_closed")

    def as_json(self) -> dict[str, Any]:
        """The record without the times of single chunks and without whole prompts."""
        skip = ("chunk_times_ms", "chunk_chars", "messages")
        return {name: getattr(self, name) for name in self.__slots__ if name not in skip}


class RequestLog:
    """The last REQUEST_LOG_CAP records, oldest first."""

    def __init__(self) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=REQUEST_LOG_CAP)
        self.total = 0
        self.chunk_times = False
        self.prompts = False

    def open(self, request_id: str, headers: Mapping[str, str], endpoint: Endpoint = "chat") -> RequestRecord:
        """A new record. Keys and the SDK's own description of itself are not kept."""
        kept = {
            name.lower(): value[:MAX_HEADER_CHARS]
            for name, value in headers.items()
            if name.lower().startswith(("x-", "idempotency")) and "stainless" not in name.lower()
        }
        record = RequestRecord(request_id, now_ms(), dict(list(kept.items())[:MAX_HEADERS]), endpoint)
        if self.chunk_times:
            record.chunk_times_ms, record.chunk_chars = [], []
        self._records.append(record)
        self.total += 1
        return record

    def find(self, request_id: str) -> RequestRecord | None:
        """The record with this id, or None (unknown or dropped)."""
        return next((record for record in self._records if record.id == request_id), None)

    def clear(self) -> None:
        """Forget all records; running requests are no longer listed."""
        self._records.clear()
        self.total = 0

    def as_json(self) -> dict[str, Any]:
        """All records, with how many were dropped since the last reset."""
        requests = [record.as_json() for record in self._records]
        return {"requests": requests, "total": self.total, "dropped": self.total - len(requests)}
