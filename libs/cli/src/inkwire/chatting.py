"""The command `chat`: what it takes; the work is in :mod:`inkwire.talk`."""

import sys
from typing import Annotated

import typer

from inkwire.exits import EX_USAGE, fail
from inkwire.options import DEFAULT_DATA, Data, Token, Url, address
from inkwire_contracts.ids import is_id


def chat(
    message: Annotated[str | None, typer.Argument(help="What to say. [default: what you type, until Ctrl-D]")] = None,
    conversation: Annotated[str | None, typer.Option(help="Go on with this one. [default: a new one]")] = None,
    recipe: Annotated[str, typer.Option(help="Kind of answers of a new one: chat, social, ...")] = "chat",
    option: Annotated[list[str] | None, typer.Option(help="An option of the recipe, key=value; repeat.")] = None,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Talk with the model. Ctrl-C stops an answer, Ctrl-D ends the talk; it stays and can be gone on with.

    \b
    Examples:
      inkwire chat
      inkwire chat "Explain event sourcing in three sentences"
      inkwire chat --recipe social --option platform=Twitter "Botox safety"
      inkwire chat --conversation k3v5q7wz2m4n6bacbd2f4g6haj "Shorter, please"
    """  # noqa: D301 - a backspace keeps the lines
    if conversation is not None and not is_id(conversation):
        fail(f"{conversation} is no id of a conversation: it has 26 characters, a to z and 2 to 7", EX_USAGE)
    from inkwire.client import Client
    from inkwire.talk import Talk
    from inkwire.writing import parse_options

    begin = {"recipe": recipe, "options": parse_options(option or ())}
    talk = Talk(lambda: Client(address(url, data), token=token), sys.stdout)
    raise typer.Exit(talk.run(conversation, begin, message))
