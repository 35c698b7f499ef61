"""`inkwire approve`, `inkwire write --review` and `inkwire export`: before an article is written, and after."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from inkwire import writing
from inkwire.client import Client
from inkwire.display import Display
from inkwire.exits import EX_DATA, EX_USAGE, EX_WAITING, CommandError, program
from inkwire.refusals import asking
from inkwire_recipes.outline import parse_outline
from inkwire_recipes.recipe import UnusableOutput
from inkwire_recipes.rendering import find_json

OUTLINES = ("outline", "approved_outline")
MAX_OUTLINE_BYTES = 64 * 1024
"""What the API takes as a body."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """The run that a post is in, its outline as data, and as people read it."""

    run: int
    outline: dict[str, Any]
    text: str


async def proposed(client: Client, post: str) -> Proposed:
    """The outline of a post: the approved one, if there is one.

    Raises:
        CommandError: it has none, or nobody answers.
    """
    async with asking(client):
        found = await client.get_post(post)
    outlines = [part for part in found["sections"] if part["section"] in OUTLINES and part["data"] is not None]
    if not outlines:
        raise CommandError(f"{post} has no outline to approve; it is {found['status']}")
    return Proposed(int(found["run"]), outlines[-1]["data"], outlines[-1]["text"])


async def approve(
    client: Client, post: str, outline: Mapping[str, Any] | None = None, *, after_run: int | None = None
) -> str:
    """Go on with a post that waits; returns one line.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    async with asking(client):
        answer = await client.approve_post(post, outline, after_run=after_run)
    return f"{post} goes on as run {answer['run']}; follow it with: {program()} watch {post}"


async def export(client: Client, post: str, form: str) -> bytes:
    """A finished post as a file.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    async with asking(client):
        return await client.export(post, form)


def read(source: str) -> str:
    """The text of a file, or (``-``) of stdin.

    Raises:
        CommandError: it cannot be read, or is too long.
    """
    try:
        raw = sys.stdin.buffer.read(MAX_OUTLINE_BYTES + 1) if source == "-" else Path(source).read_bytes()
        text = raw.decode()
    except OSError as error:
        raise CommandError(f"--outline {source}: {error.strerror or error}", EX_USAGE) from None
    except UnicodeDecodeError:
        raise CommandError(f"--outline {source}: it is not UTF-8", EX_DATA) from None
    if len(raw) > MAX_OUTLINE_BYTES:
        raise CommandError(f"--outline {source}: at most {MAX_OUTLINE_BYTES} bytes", EX_DATA)
    return text


def parse(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """An outline from JSON, as it is, or from Markdown headings and lists.

    Markdown says nothing about description, tags and closing; these stay as they are in ``known``.

    Raises:
        CommandError: there is no section in it.
    """
    value = find_json(text)
    if value is not None:
        return dict(value)
    if text.lstrip().startswith("{"):
        raise CommandError("the outline is not valid JSON", EX_DATA)
    try:
        written = parse_outline(text).model_dump(mode="json")
    except UnusableOutput:
        raise CommandError("no section in the outline: give JSON as --show prints it, or headings", EX_DATA) from None
    return {**known, **{name: value for name, value in written.items() if value}}


def write(client: Client, request: Mapping[str, Any], new_display: Callable[[], Display], *, ask: bool) -> int:
    """Have a post written that waits after its outline; where somebody can be asked, ask, and go on.

    Returns the exit code.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    wish = {**request, "options": {**request["options"], "review": True}}
    post, code = asyncio.run(_begin(client, wish, new_display()))
    if code != EX_WAITING or not ask:
        return code
    found = asyncio.run(proposed(client, post))
    typer.echo(f"\n{found.text}", err=True)
    if not typer.confirm("Write the article with this outline?", err=True):
        shown = f"{program()} approve {post}"
        typer.echo(f"Change it: {shown} --show > outline.json, then {shown} --outline outline.json", err=True)
        return EX_WAITING
    asyncio.run(approve(client, post, after_run=found.run))
    return asyncio.run(writing.watch(client, post, new_display()))


async def _begin(client: Client, request: Mapping[str, Any], display: Display) -> tuple[str, int]:
    async with asking(client):
        accepted = await client.create_post(**request)
        return accepted["id"], await writing.show(client, accepted["id"], display)
