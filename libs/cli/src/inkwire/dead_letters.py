"""`inkwire dlq`: what could not be worked on, listed, shown, replayed and discarded."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from inkwire.client import Client, ClientError
from inkwire.exits import EX_FAILED, EX_OK, CommandError, complain, program
from inkwire.refusals import asking, exit_code
from inkwire.transcript import one_line

PAGE = 100

SHOWN = ("reason", "message", "detail", "advice", "time", "title", "post", "run", "owner", "recipe", "priority", "pool")
COLUMNS = (("ID", 6), ("TIME (UTC)", 19), ("REASON", 13), ("POST", 26), ("RUN", 3), ("OWNER", 12), ("TITLE", 0))


async def collect(
    client: Client, *, limit: int, kind: str | None, reason: str | None
) -> tuple[list[dict[str, Any]], bool]:
    """The newest letters, and whether there may be more.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    letters: list[dict[str, Any]] = []
    cursor: str | None = None
    async with asking(client):
        while len(letters) < limit:
            page = await client.dead_letters(
                limit=min(PAGE, limit - len(letters)), cursor=cursor, kind=kind, reason=reason
            )
            letters += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    return letters, cursor is not None


def print_list(letters: Sequence[Mapping[str, Any]], *, more: bool, as_json: bool) -> None:
    """A table, or a line of JSON for each."""
    if as_json:
        for letter in letters:
            _print_json(letter)
    elif not letters:
        print("no dead letters")
    else:
        _print_row([name for name, _ in COLUMNS])
        for letter in letters:
            _print_row(_cells(letter))
    if more:
        complain("there are older ones: give a larger --limit")


async def show(client: Client, letter: str, *, as_json: bool) -> None:
    """Everything that is known of one.

    Raises:
        CommandError: there is none, or nobody answers.
    """
    async with client:
        try:
            found = await client.dead_letter(letter)
        except ClientError as error:
            raise _refused(letter, error) from None
    if as_json:
        _print_json(found)
        return
    print(f"Dead letter {found['id']} ({found['kind']})")
    for name in (*SHOWN, "deliveries", "worker", "subject"):
        if found[name] not in (None, ""):
            print(f"  {name + ':':<12} {one_line(found[name])}")
    if found["replayable"]:
        print(f"Replay it with: {program()} dlq replay {found['id']}")
    else:
        print(f"Discard it with: {program()} dlq discard {found['id']}")


async def replay(client: Client, letters: Sequence[str], *, as_json: bool) -> int:
    """Have each worked on again; one that is refused does not stop the others. Returns the exit code."""
    return await _each(client, letters, "replay", as_json)


async def discard(client: Client, letters: Sequence[str], *, as_json: bool) -> int:
    """Take each away; as :func:`replay`."""
    return await _each(client, letters, "discard", as_json)


async def _each(client: Client, letters: Sequence[str], what: str, as_json: bool) -> int:
    code = EX_OK
    async with client:
        for letter in letters:
            try:
                done = await _one(client, letter, what)
            except ClientError as error:
                refused = _refused(letter, error)
                code = max(code, refused.code)
                if as_json:
                    _print_json({"id": letter, "error": {"code": error.code, "message": str(refused)}})
                else:
                    complain(str(refused))
            else:
                _print_json(done) if as_json else print(_told(done))
    return code


async def _one(client: Client, letter: str, what: str) -> dict[str, Any]:
    if what == "replay":
        return {"id": letter, **await client.replay_dead_letter(letter)}
    await client.discard_dead_letter(letter)
    return {"id": letter, "discarded": True}


def _told(done: Mapping[str, Any]) -> str:
    if "post" not in done:
        return f"{done['id']} is discarded"
    return f"{done['id']} goes on as run {done['run']} of {done['post']}"


def _refused(letter: str, error: ClientError) -> CommandError:
    if error.code == "not_found":
        text = f"there is no dead letter {letter}: it was replayed or discarded before, or is older than 14 days"
        return CommandError(text, EX_FAILED)
    return CommandError(f"{letter}: {error}", exit_code(error))


def _cells(letter: Mapping[str, Any]) -> list[str]:
    time = str(letter["time"])[:19].replace("T", " ")
    names = ("reason", "post", "run", "owner")
    values = ["-" if letter[name] is None else str(letter[name]) for name in names]
    return [str(letter["id"]), time, *values, one_line(letter["title"] or letter["subject"])]


def _print_row(cells: Sequence[str]) -> None:
    print("  ".join(f"{cell:<{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True)).rstrip())


def _print_json(value: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()
