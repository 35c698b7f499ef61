"""Passages as vectors, from the provider's embeddings. Where it fails, words alone do, and one log line says so."""

import asyncio
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Final

import openai

from inkwire_chassis.logs import get_logger
from inkwire_stores.document_ports import MAX_DOCUMENT_BYTES, Embeddings

BATCH_TEXTS: Final = 64
BATCH_CHARS: Final = 100_000
"""Of one request: below the providers' limit also where each character is a token."""
BATCH_TIMEOUT_S: Final = 30.0
TOTAL_TIMEOUT_S: Final = 120.0
RETRIES: Final = 2
MAX_DIMENSIONS: Final = 8_192
MAX_CONNECTIONS: Final = 4

FAILURES: Final = (openai.OpenAIError, OSError, ValueError, TypeError, ArithmeticError, RecursionError)
"""What the SDK raises, and what comes of answers that are no JSON, or JSON of no known form: it checks none."""


class NoVectors(ValueError):
    """The answer holds no vectors that can be used; the message says why, without the answer."""


class PassageEmbeddings:
    """See :class:`inkwire_api.ports.Embedder`. Close it with :meth:`close`."""

    def __init__(self, *, base_url: str, api_key: str, model: str) -> None:
        self._model = model
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._client = openai.AsyncOpenAI(
            api_key=api_key or "none",
            base_url=base_url,
            max_retries=RETRIES,
            timeout=BATCH_TIMEOUT_S,
            http_client=openai.DefaultAioHttpClient(),
        )

    async def embed(self, texts: Sequence[str]) -> Embeddings | None:
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S), self._turns:
                return await self._embedded(texts)
        except FAILURES as error:
            why = str(error) if isinstance(error, NoVectors) else type(error).__name__
            get_logger().warning("a document is searched by words alone", error=why, model=self._model)
            return None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _embedded(self, texts: Sequence[str]) -> Embeddings:
        packed = bytearray()
        dimensions = 0
        for batch in _batches(texts):
            answer = await self._client.embeddings.create(model=self._model, input=batch, encoding_format="float")
            vectors = _vectors(answer, len(batch))
            dimensions = dimensions or len(vectors[0])
            if not 1 <= dimensions <= MAX_DIMENSIONS or any(len(vector) != dimensions for vector in vectors):
                raise NoVectors("vectors of different or impossible dimensions")
            if dimensions * 4 * len(texts) > MAX_DOCUMENT_BYTES:
                raise NoVectors(f"{len(texts)} vectors of {dimensions} dimensions take too much room")
            packed += await asyncio.to_thread(_packed, vectors)
        return Embeddings(self._model, dimensions, bytes(packed))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    length_chars = 0
    for text in texts:
        if batch and (len(batch) == BATCH_TEXTS or length_chars + len(text) > BATCH_CHARS):
            yield batch
            batch, length_chars = [], 0
        batch.append(text)
        length_chars += len(text)
    if batch:
        yield batch


def _vectors(answer: object, count: int) -> list[list[float]]:
    """In the order of the texts. The SDK checks no answer, so a server that speaks differently is met here."""
    data = getattr(answer, "data", None)
    if not isinstance(data, list) or len(data) != count:
        raise NoVectors("not one vector for each text")
    by_index = {getattr(one, "index", None): getattr(one, "embedding", None) for one in data}
    vectors = [by_index.get(index) for index in range(count)]
    found = [vector for vector in vectors if isinstance(vector, list) and vector]
    if len(found) != count:
        raise NoVectors("not one vector for each text")
    return found


def _packed(vectors: list[list[float]]) -> bytes:
    """Unit vectors as little-endian 32-bit floats."""
    raw = bytearray()
    for vector in vectors:
        try:
            length = math.sqrt(math.fsum(value * value for value in vector))
        except (TypeError, OverflowError):
            raise NoVectors("vectors of something else than numbers") from None
        if not math.isfinite(length) or length == 0:
            raise NoVectors("a vector without a direction")
        raw += struct.pack(f"<{len(vector)}f", *(value / length for value in vector))
    return bytes(raw)
