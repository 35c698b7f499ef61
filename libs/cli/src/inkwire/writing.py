"""`inkwire write` and `inkwire watch`: a post from the command line, to its end."""

import asyncio
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any

from inkwire.client import Client
from inkwire.display import Display
from inkwire.exits import (
    EX_DATA,
    EX_FAILED,
    EX_INTERRUPTED,
    EX_OK,
    EX_USAGE,
    EX_WAITING,
    CommandError,
    program,
)
from inkwire.following import DigestMismatch, PostFold
from inkwire.refusals import asking
from inkwire.transcript import harmless
from inkwire_chassis.lifecycle import cancel_and_wait, spawn
from inkwire_contracts.fold import Snapshot


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Options of a recipe from ``key=value``; a value that is a JSON number, boolean or list is taken as such.

    Raises:
        CommandError: one has no ``=``.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CommandError(f"--option {pair}: give it as key=value, for example --option tone=friendly", EX_USAGE)
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


async def write(client: Client, request: Mapping[str, Any], display: Display) -> int:
    """Have a post written and show it; returns the exit code.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    async with asking(client):
        accepted = await client.create_post(**request)
        return await show(client, accepted["id"], display)


async def watch(client: Client, post: str, display: Display) -> int:
    """Show a post that exists; returns the exit code.

    Raises:
        CommandError: there is none, or nobody answers.
    """
    async with asking(client):
        return await show(client, post, display)


async def show(client: Client, post: str, display: Display) -> int:
    """Follow a post to the end of its run, with a client that is open; returns the exit code.

    Raises:
        ClientError: there is none, or nobody answers.
        CommandError: the text is not what was published.
    """
    state = PostFold(post)
    with display:
        display.accepted(post, client.url)
        following = spawn("follow", _follow(client, state, display))
        with interruptible(following):
            try:
                await following
            except asyncio.CancelledError:
                await cancel_and_wait(following)
                display.result(_result(state, status="interrupted"))
                return EX_INTERRUPTED
            except DigestMismatch as error:
                display.result(_result(state, verified=False, message=str(error)))
                raise CommandError(f"{error}; read the post again with: {program()} watch {post}", EX_DATA) from None
        display.result(_result(state))
    return {"published": EX_OK, "paused": EX_WAITING}.get(state.snapshot.status, EX_FAILED)


async def _follow(client: Client, state: PostFold, display: Display) -> None:
    async with aclosing(client.follow(state.snapshot.post, start=state)) as updates:
        async for update in updates:
            display.update(update)


@contextmanager
def interruptible(task: asyncio.Task[None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM cancel the task for the length of a block."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for signum in signals:
        with suppress(NotImplementedError):  # a loop without signals, as on Windows
            loop.add_signal_handler(signum, task.cancel)
    try:
        yield
    finally:
        for signum in signals:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(signum)


def objection(snapshot: Snapshot) -> str:
    """What a recipe's compliance check still objects to in a published text, in words; else empty."""
    check = snapshot.metadata.get("compliance")
    if snapshot.status != "published" or not isinstance(check, Mapping) or check.get("status") != "failed":
        return ""
    listed = check.get("findings")
    findings = [finding for finding in listed if isinstance(finding, Mapping)] if isinstance(listed, list) else []
    rules = [str(finding.get("rule", "")) for finding in findings if finding.get("severity") == "blocker"]
    return "The compliance check was not passed: " + harmless("; ".join(rules) or "it does not say why") + "."


def _result(
    state: PostFold, *, status: str | None = None, verified: bool | None = None, message: str = ""
) -> dict[str, Any]:
    snapshot: Snapshot = state.snapshot
    ended = status or snapshot.status
    error = snapshot.error.model_dump() if snapshot.error and ended == "failed" else None
    return {
        "id": snapshot.post,
        "status": ended,
        "run": snapshot.run,
        "seq": snapshot.seq,
        "sha256": snapshot.sha256,
        "verified": (ended == "published") if verified is None else verified,
        "words": snapshot.metrics.words if snapshot.metrics else None,
        "metrics": snapshot.metrics.model_dump(mode="json") if snapshot.metrics else None,
        "error": error,
        "message": message or (snapshot.error.message if snapshot.error else objection(snapshot)),
    }
