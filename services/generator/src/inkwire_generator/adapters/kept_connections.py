"""Connections kept for the next call: not one on which something has come that nobody asked for."""

from typing import Any

import aiohttp
import httpx2
import openai
from aiohttp.connector import Connection


class _Request(aiohttp.ClientRequest):
    """Not sent where a whole answer waits already, or half a one: aiohttp would take it for this request's."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if conn.protocol is not None and conn.protocol.should_close:
            raise aiohttp.ClientOSError("something came unasked")  # without a number: nothing was written
        return await super().send(conn)


class CheckedHttpClient(openai.DefaultAioHttpClient):
    """The SDK's HTTP client on aiohttp; a connection that must not be used is closed, and the call fails unwritten."""

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return _checked(super()._init_transport(*args, **kwargs))

    def _init_proxy_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return _checked(super()._init_proxy_transport(*args, **kwargs))


def _checked(transport: Any) -> httpx2.AsyncBaseTransport:
    """It makes its session at its first call, by whatever stands in ``client``, and gives it no kind of request."""
    limits: httpx2.Limits = transport.limits

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limits.max_connections or 0, keepalive_timeout=limits.keepalive_expiry, ssl=transport.ssl_context
        )
        return aiohttp.ClientSession(connector=connector, request_class=_Request)

    transport.client = session
    return transport  # type: ignore[no-any-return]
