"""The `dlq` commands: what they take; the work is in :mod:`inkwire.dead_letters`."""

import asyncio
from typing import Annotated

import typer

from inkwire.exits import EX_USAGE, fail
from inkwire.options import DEFAULT_DATA, Data, Json, Token, Url, Yes, address, ask, ops_token

DEFAULT_LIMIT = 50
MAX_LIMIT = 10_000

HELP = "Dead letters: jobs and events that could not be worked on. Start with: inkwire dlq list"

app = typer.Typer(name="dlq")

Letter = Annotated[str, typer.Argument(help="The dead letter's id, a number.")]
Letters = Annotated[list[str], typer.Argument(help="Ids of dead letters.")]
Reason = Annotated[str | None, typer.Option(help="Only those: poison, reject, broken, unreadable, ...")]


@app.command("list")
def list_letters(
    kind: Annotated[str | None, typer.Option(help="Only those: job or event.")] = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="How many at most.")] = DEFAULT_LIMIT,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """List dead letters of all owners, newest first. They are kept for 14 days.

    On the machine of `inkwire up` no token is needed: the data folder's keys sign one with the scope ops.

    \b
    Examples:
      inkwire dlq list
      inkwire dlq list --reason poison --json
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import dead_letters
    from inkwire.client import Client

    if kind not in (None, "job", "event"):
        fail(f"no such kind: {kind}; choose job or event", EX_USAGE)
    client = Client(address(url, data), token=ops_token(token, data))
    letters, more = asyncio.run(dead_letters.collect(client, limit=limit, kind=kind, reason=reason))
    dead_letters.print_list(letters, more=more, as_json=as_json)


@app.command()
def show(
    letter: Letter, as_json: Json = False, url: Url = None, token: Token = None, data: Data = DEFAULT_DATA
) -> None:
    """Show why a dead letter lies there, and what to do with it.

    \b
    Examples:
      inkwire dlq show 17
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import dead_letters
    from inkwire.client import Client

    _check([letter])
    client = Client(address(url, data), token=ops_token(token, data))
    asyncio.run(dead_letters.show(client, letter, as_json=as_json))


@app.command()
def replay(
    letters: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that can be replayed, oldest first.")] = False,
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Have the jobs of dead letters worked on again; finished sections stay.

    Mend first what made them fail. A letter is gone once its job is stored again. Exit code 1: one was refused.

    \b
    Examples:
      inkwire dlq replay 17
      inkwire dlq replay --all --reason poison
      inkwire dlq replay --all --yes --json
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import dead_letters
    from inkwire.client import Client

    if every == bool(letters) or (reason is not None and not every):
        fail("give ids, or --all (which --reason may narrow)", EX_USAGE)
    where, who = address(url, data), ops_token(token, data)
    chosen = list(letters or ())
    _check(chosen)
    if every:
        client = Client(where, token=who)
        found, more = asyncio.run(dead_letters.collect(client, limit=MAX_LIMIT, kind="job", reason=reason))
        chosen = [letter["id"] for letter in reversed(found) if letter["replayable"]]
        if not chosen:
            fail("there is no dead letter that can be replayed")
        ask(f"Replay {len(chosen)} dead letters{', the newest of more' if more else ''}?", yes=yes)
    raise typer.Exit(asyncio.run(dead_letters.replay(Client(where, token=who), chosen, as_json=as_json)))


@app.command()
def discard(
    letters: Letters,
    yes: Yes = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Take dead letters away for good; their posts stay as they are.

    \b
    Examples:
      inkwire dlq discard 17
      inkwire dlq discard 17 18 --yes
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import dead_letters
    from inkwire.client import Client

    _check(letters)
    client = Client(address(url, data), token=ops_token(token, data))
    ask(f"Discard {', '.join(letters)} for good?", yes=yes)
    raise typer.Exit(asyncio.run(dead_letters.discard(client, letters, as_json=as_json)))


def _check(letters: list[str]) -> None:
    for letter in letters:
        if not (letter.isascii() and letter.isdigit()):
            fail(f"{letter} is no id of a dead letter: it is a number, as `dlq list` shows it", EX_USAGE)
