"""One HTTP request to an ASGI application, without a server."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class AsgiAnswer:
    """What the application sent; status 0 if it sent nothing."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: ASGIApp,
    method: str = "GET",
    path: str = "/",
    *,
    headers: Sequence[tuple[str, str]] = (),
    chunks: Sequence[bytes] = (b"",),
    hang_up: bool = False,
) -> AsgiAnswer:
    """`chunks` is the body in pieces, without a Content-Length unless `headers` has one; `hang_up` ends it early."""
    pending: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": hang_up or n < len(chunks) - 1}
        for n, chunk in enumerate(chunks)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return pending.pop(0) if pending else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    starts = [m for m in sent if m["type"] == "http.response.start"]
    if not starts:
        return AsgiAnswer(0, {}, b"")
    assert len(starts) == 1, "one request has one answer"
    names = {name.decode(): value.decode("latin-1") for name, value in starts[0]["headers"]}
    return AsgiAnswer(
        starts[0]["status"], names, b"".join(m["body"] for m in sent if m["type"] == "http.response.body")
    )
