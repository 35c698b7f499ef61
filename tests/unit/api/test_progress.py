"""Answers that tell how far the work is."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from inkwire_api.adapters.progress import ProgressResponse, Tell
from inkwire_contracts.errors import InkwireError
from inkwire_stores.ports import StoreUnavailable
from tests.support.asgi import ask

DONE = {"type": "document", "document": {"name": "Büro.pdf"}}


async def told(work: Callable[[Tell], Awaitable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The lines of an answer."""
    answer = await ask(ProgressResponse(work))
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson"
    assert "content-length" not in answer.headers and answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.splitlines()]


async def test_steps_and_then_what_came_of_it() -> None:
    """A line for each step that the reader had time for, and the last one is the work's."""

    async def work(tell: Tell) -> Mapping[str, Any]:
        for done in (1, 2):
            tell(done, 2)
            await asyncio.sleep(0)
        return DONE

    assert await told(work) == [
        {"type": "progress", "done": 1, "total": 2},
        {"type": "progress", "done": 2, "total": 2},
        DONE,
    ]


async def test_steps_that_come_faster_than_they_are_read_are_merged() -> None:
    """A thousand steps at once are one line; nothing waits in a queue."""

    async def work(tell: Tell) -> Mapping[str, Any]:
        for done in range(1, 1_001):
            tell(done, 1_000)
        await asyncio.sleep(0)
        return DONE

    assert await told(work) == [{"type": "progress", "done": 1_000, "total": 1_000}, DONE]


async def test_work_without_steps() -> None:
    """It has its last line alone."""

    async def work(_tell: Tell) -> Mapping[str, Any]:
        return DONE

    assert await told(work) == [DONE]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InkwireError("document_empty"), "document_empty"),
        (StoreUnavailable("down"), "store_unavailable"),
        (RuntimeError("password hunter2"), "internal"),
    ],
)
async def test_what_goes_wrong_is_the_last_line(error: Exception, code: str) -> None:
    """As the problem that it would have been without progress, and without what nobody should see."""

    async def work(tell: Tell) -> Mapping[str, Any]:
        tell(1, 2)
        await asyncio.sleep(0)
        raise error

    first, last = await told(work)
    assert first == {"type": "progress", "done": 1, "total": 2}
    assert last["type"] == "error" and last["problem"]["code"] == code
    assert "hunter2" not in json.dumps(last)
