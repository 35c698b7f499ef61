"""Tests on each event loop that a service may run on, with asyncio's debug checks off and on."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
import uvloop

LOOPS: Final[dict[str, tuple[Callable[[], asyncio.AbstractEventLoop], bool]]] = {
    "asyncio": (asyncio.new_event_loop, False),
    "uvloop": (uvloop.new_event_loop, False),
    "asyncio-debug": (asyncio.new_event_loop, True),
    "uvloop-debug": (uvloop.new_event_loop, True),
}


def on_loops(*names: str) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Run an async test once on each of these loops, whatever runs the other async tests."""

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        async def run(**fixtures: Any) -> None:
            await test(**fixtures)

        @functools.wraps(test)
        def on_loop(loop_kind: str, **fixtures: Any) -> None:
            factory, debug = LOOPS[loop_kind]
            with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
                runner.run(run(**fixtures))

        asked = inspect.signature(test)
        kind = inspect.Parameter("loop_kind", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        on_loop.__signature__ = asked.replace(parameters=[kind, *asked.parameters.values()])  # type: ignore[attr-defined]
        del on_loop.__wrapped__  # pytest would look through it, at the coroutine
        marked: Callable[..., None] = pytest.mark.parametrize("loop_kind", names)(on_loop)
        return marked

    return decorate
