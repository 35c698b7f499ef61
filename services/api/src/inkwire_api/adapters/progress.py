"""An answer that tells how far the work is, a JSON line at a time, and ends with what came of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inkwire_api import problems
from inkwire_chassis.logs import get_logger
from inkwire_contracts.errors import InkwireError
from inkwire_stores.ports import StoreUnavailable

NDJSON: Final = "application/x-ndjson"

Tell = Callable[[int, int], None]
Work = Callable[[Tell], Awaitable[Mapping[str, Any]]]
"""Work that says how many of how many steps are done, and returns the last line."""


class ProgressResponse(Response):
    """``{"type":"progress","done","total"}``, as often as the reader keeps up with, then the work's last line.

    What goes wrong meanwhile is the last line too: ``{"type":"error","problem":{...}}``. A reader who goes away stops
    nothing.
    """

    media_type = NDJSON

    def __init__(self, work: Work) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._work = work
        self._changed = asyncio.Event()
        self._reached = (0, 0)
        self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Work and tell, side by side."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._last_line())
            told = (0, 0)
            while not self._ended:
                await self._changed.wait()
                self._changed.clear()
                if self._reached != told:
                    told = self._reached
                    await _send_line(send, {"type": "progress", "done": told[0], "total": told[1]})
            await _send_line(send, await working)
        await send({"type": "http.response.body", "body": b""})

    def _tell(self, done: int, total: int) -> None:
        self._reached = (done, total)
        self._changed.set()

    async def _last_line(self) -> Mapping[str, Any]:
        try:
            return await self._work(self._tell)
        except InkwireError as error:
            return _error_line(error)
        except StoreUnavailable as error:
            get_logger().warning("the store did not answer", error=str(error))
            return _error_line(InkwireError("store_unavailable"))
        except Exception:
            logger = get_logger()
            logger.exception("request failed while its progress was told")
            return _error_line(InkwireError("internal"))
        finally:
            self._ended = True
            self._changed.set()


def _error_line(error: InkwireError) -> Mapping[str, Any]:
    return {"type": "error", "problem": problems.problem(error)}


async def _send_line(send: Send, line: Mapping[str, Any]) -> None:
    body = json.dumps(line, ensure_ascii=False).encode() + b"\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})
