"""A query as a vector, from the provider's embeddings. Whatever goes wrong, words alone do, and the log says so."""

import asyncio
import math

import httpx2
import openai

from inkwire_chassis.logs import get_logger
from inkwire_generator.adapters.provider_openai import CONNECT_TIMEOUT_S, ProviderConfig

TIMEOUT_S = 5.0
MAX_CONNECTIONS = 16
"""Queries asked at the same time; further ones wait within their time."""


class QueryEmbeddings:
    """See :class:`inkwire_generator.adapters.library.Embedder`. Close it with :meth:`close`."""

    def __init__(self, config: ProviderConfig, model: str) -> None:
        """``config`` says where, and with which key."""
        self.model = model
        self._client = openai.AsyncOpenAI(
            api_key=config.api_key or "none",
            base_url=config.base_url,
            max_retries=0,
            timeout=openai.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            http_client=openai.DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
            ),
        )

    async def vector(self, query: str) -> tuple[float, ...] | None:
        if not query:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._client.embeddings.create(model=self.model, input=query, encoding_format="float")
            return _unit(answer.data[0].embedding)
        except (
            openai.OpenAIError,
            httpx2.HTTPError,
            OSError,
            ValueError,
            IndexError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            # The last five are what the SDK makes of answers in no known form; it checks none.
            get_logger().warning("documents are searched by words alone", error=type(error).__name__, model=self.model)
            return None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _unit(vector: list[float]) -> tuple[float, ...]:
    """Of length 1.

    Raises:
        ValueError: it has no direction.
    """
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not math.isfinite(length) or length == 0:
        raise ValueError("no direction")
    return tuple(value / length for value in vector)
