"""The commands `approve` and `export`: what they take; the work is in :mod:`inkwire.reviewing`."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from inkwire.exits import EX_USAGE, fail
from inkwire.options import DEFAULT_DATA, Data, Token, Url, address_for

FORMATS = ("markdown", "html", "json", "docx")
BINARY = frozenset({"docx"})

Post = Annotated[str, typer.Argument(help="The post's id.")]


def approve(
    post: Post,
    outline: Annotated[
        str | None, typer.Option(help="A file with the outline as you want it, JSON or Markdown; - is stdin.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the outline as JSON, and change nothing.")] = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Go on with an article that waits for your approval of its outline, as it is or changed. Safe to repeat.

    JSON is what --show prints. In Markdown, headings are sections and their list items the points to make.

    \b
    Examples:
      inkwire approve k3v5q7wz2m4n6bacbd2f4g6haj
      inkwire approve k3v5q7wz2m4n6bacbd2f4g6haj --show > outline.json
      inkwire approve k3v5q7wz2m4n6bacbd2f4g6haj --outline outline.json
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import reviewing
    from inkwire.client import Client

    client = Client(address_for(post, url, data), token=token)
    if show:
        if outline is not None:
            fail("give --show or --outline, not both", EX_USAGE)
        found = asyncio.run(reviewing.proposed(client, post))
        typer.echo(json.dumps(found.outline, ensure_ascii=False, indent=2))
        return
    if outline is None:
        typer.echo(asyncio.run(reviewing.approve(client, post)))
        return
    text = reviewing.read(outline)
    known = asyncio.run(reviewing.proposed(client, post))
    changed = reviewing.parse(text, known.outline)
    typer.echo(asyncio.run(reviewing.approve(client, post, changed)))


def export(
    post: Post,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "markdown",
    output: Annotated[Path | None, typer.Option(help="The file to write. [default: stdout]")] = None,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Take a finished article away: Markdown with front matter, a web page, JSON with everything, or a Word file.

    \b
    Examples:
      inkwire export k3v5q7wz2m4n6bacbd2f4g6haj > article.md
      inkwire export k3v5q7wz2m4n6bacbd2f4g6haj --format docx --output article.docx
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import reviewing
    from inkwire.client import Client

    if form not in FORMATS:
        fail(f"no such format: {form}; choose from {', '.join(FORMATS)}", EX_USAGE)
    if form in BINARY and output is None and sys.stdout.isatty():
        fail(f"{form} is no text: give --output FILE, or send it into a file", EX_USAGE)
    raw = asyncio.run(reviewing.export(Client(address_for(post, url, data), token=token), post, form))
    if output is None:
        sys.stdout.buffer.write(raw)
        return
    try:
        output.write_bytes(raw)
    except OSError as error:
        fail(f"--output {output}: {error.strerror or error}", EX_USAGE)
