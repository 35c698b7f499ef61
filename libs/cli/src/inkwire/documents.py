"""The `documents` commands: what they take; the work is in :mod:`inkwire.library`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from inkwire.options import DEFAULT_DATA, Data, Json, Token, Url, Yes, address

MAX_DIGITS = 18
"""Of a number that is looked at; no document has one so long."""

HELP = "Documents to write from: upload them here, and name them with @1, @2, ... in a title or a message."

app = typer.Typer(name="documents")


def number_of(said: str | int) -> int:
    """A document's number, as it is listed and mentioned (``@3``) or bare.

    Raises:
        typer.BadParameter: it is none.
    """
    digits = str(said).removeprefix("@")
    if not (digits.isascii() and digits.isdigit() and int(digits[:MAX_DIGITS]) >= 1):
        raise typer.BadParameter(f"{said!r} is no document's number, such as 3 or @3")
    return int(digits[:MAX_DIGITS])


@app.command()
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
    from inkwire import library
    from inkwire.client import Client

    client = Client(address(url, data), token=token)
    raise typer.Exit(asyncio.run(library.upload(client, files, as_json=as_json)))


@app.command("list")
def list_documents(as_json: Json = False, url: Url = None, token: Token = None, data: Data = DEFAULT_DATA) -> None:
    """List your documents, newest first.

    \b
    Examples:
      inkwire documents list
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import library
    from inkwire.client import Client

    asyncio.run(library.print_all(Client(address(url, data), token=token), as_json=as_json))


@app.command()
def remove(
    number: Annotated[int, typer.Argument(parser=number_of, help="The document's number, with or without its @.")],
    yes: Yes = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Delete a document. What was written from it stays as it is.

    \b
    Examples:
      inkwire documents remove @3
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import library
    from inkwire.client import Client

    asyncio.run(library.remove(Client(address(url, data), token=token), number, yes=yes))
