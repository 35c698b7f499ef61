"""The commands of `inkwire documents`: what one writes from, by number."""

import asyncio
import json
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from inkwire.client import Client, ClientError
from inkwire.exits import EX_DATA, EX_OK, EX_USAGE, CommandError, complain, program
from inkwire.options import DEFAULT_DATA, Data, Json, Token, Url, Yes, address, ask
from inkwire.writing import exit_code

MAX_PAGES = 100
"""Pages of the list that one command reads."""

MAX_DIGITS = 18
"""Of a number that is looked at; no document has one so long."""

app = typer.Typer(
    name="documents",
    no_args_is_help=True,
    help="Documents to write from: upload them here, and name them with @1, @2, ... in a title or a message.",
)


def number_of(said: str | int) -> int:
    """A document's number, as it is listed and mentioned (``@3``) or bare.

    Raises:
        typer.BadParameter: it is none.
    """
    digits = str(said).removeprefix("@")
    if not (digits.isascii() and digits.isdigit() and int(digits[:MAX_DIGITS]) >= 1):
        raise typer.BadParameter(f"{said!r} is no document's number, such as 3 or @3")
    return int(digits[:MAX_DIGITS])


@app.command("add")
def add(
    files: Annotated[list[Path], typer.Argument(help="Text, Markdown, HTML, PDF or Word files.")],
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Upload documents. Each one's number is how it is mentioned.

    \b
    Examples:
      inkwire documents add policy.pdf handbook.docx
      inkwire write "Create security training using @1" --recipe course
    """  # noqa: D301 - a backspace keeps the lines
    client = Client(address(url, data), token=token)
    raise typer.Exit(asyncio.run(_add(client, files, as_json=as_json)))


async def _add(client: Client, files: Sequence[Path], *, as_json: bool) -> int:
    """One after the other; what cannot be read is told, and does not stop the others. Returns the exit code."""
    code = EX_OK
    async with client:
        for path in files:
            try:
                media_type = mimetypes.guess_type(path.name)[0] or ""
                found = await client.upload_document(path.name, path.read_bytes(), media_type)
            except OSError as error:
                complain(f"{path}: {error.strerror or error}")
                code = EX_USAGE
            except ClientError as error:
                complain(f"{path}: {error}")
                code = EX_DATA if error.status in (413, 415, 422) else exit_code(error)
            else:
                typer.echo(json.dumps(found, ensure_ascii=False) if as_json else line(found))
    return code


@app.command("list")
def list_documents(as_json: Json = False, url: Url = None, token: Token = None, data: Data = DEFAULT_DATA) -> None:
    """List your documents, newest first."""

    async def listed(client: Client) -> None:
        empty = True
        async for found in _all(client):
            empty = False
            typer.echo(json.dumps(found, ensure_ascii=False) if as_json else line(found))
        if empty and not as_json:
            typer.echo(f"No documents. Upload one with: {program()} documents add FILE", err=True)

    _run(Client(address(url, data), token=token), listed)


@app.command("remove")
def remove(
    number: Annotated[int, typer.Argument(parser=number_of, help="The document's number, with or without its @.")],
    yes: Yes = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Delete a document. What was written from it stays as it is."""

    async def removed(client: Client) -> None:
        async for found in _all(client):
            if found["number"] == number:
                ask(f"Delete @{number} {found['name']}?", yes=yes)
                await client.delete_document(found["id"])
                typer.echo(f"@{number} {found['name']} is deleted.")
                return
        raise CommandError(f"you have no document @{number}; see them with: {program()} documents list", EX_USAGE)

    _run(Client(address(url, data), token=token), removed)


async def _all(client: Client) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_documents(limit="100", **({"cursor": cursor} if cursor else {}))
        for found in page["items"]:
            yield found
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _run(client: Client, work: Callable[[Client], Awaitable[None]]) -> None:
    async def open_and_work() -> None:
        async with client:
            await work(client)

    try:
        asyncio.run(open_and_work())
    except ClientError as error:
        raise CommandError(str(error), exit_code(error)) from None


def line(found: Mapping[str, Any]) -> str:
    """A document on one line."""
    name = "".join(character if character.isprintable() else "?" for character in found["name"])
    pages = f"{found['pages']:,} pages, " if found["pages"] else ""
    return f"@{found['number']:<4} {name}  ({pages}{found['chars']:,} characters)"
