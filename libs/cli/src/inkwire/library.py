"""`inkwire documents`: uploads, the list of them, and how one is deleted by its number."""

import json
import mimetypes
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from inkwire.client import Client, ClientError
from inkwire.exits import EX_DATA, EX_OK, EX_USAGE, CommandError, complain, program
from inkwire.options import ask
from inkwire.refusals import asking, exit_code
from inkwire.transcript import one_line

MAX_PAGES = 100
"""Pages of the list that one command reads."""


async def upload(client: Client, files: Sequence[Path], *, as_json: bool) -> int:
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
                _print(found, as_json=as_json)
    return code


async def print_all(client: Client, *, as_json: bool) -> None:
    """A line for each document, newest first.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    empty = True
    async with asking(client):
        async for found in _all(client):
            empty = False
            _print(found, as_json=as_json)
    if empty and not as_json:
        typer.echo(f"No documents. Upload one with: {program()} documents add FILE", err=True)


async def remove(client: Client, number: int, *, yes: bool) -> None:
    """Delete the document of a number, once it was said that this is wanted.

    Raises:
        CommandError: there is none, it was refused, or nobody answers.
    """
    async with asking(client):
        async for found in _all(client):
            if found["number"] == number:
                ask(f"Delete @{number} {found['name']}?", yes=yes)
                await client.delete_document(found["id"])
                typer.echo(f"@{number} {found['name']} is deleted.")
                return
    raise CommandError(f"you have no document @{number}; see them with: {program()} documents list", EX_USAGE)


async def _all(client: Client) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_documents(limit="100", **({"cursor": cursor} if cursor else {}))
        for found in page["items"]:
            yield found
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _print(found: Mapping[str, Any], *, as_json: bool) -> None:
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else _line(found))


def _line(found: Mapping[str, Any]) -> str:
    pages = f"{found['pages']:,} pages, " if found["pages"] else ""
    return f"@{found['number']:<4} {one_line(found['name'])}  ({pages}{found['chars']:,} characters)"
