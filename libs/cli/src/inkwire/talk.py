"""A sitting of `inkwire chat`: lines in, answers out as they come."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, TextIO

import typer

from inkwire.client import Client, ClientError
from inkwire.exits import EX_FAILED, EX_OK, CommandError, complain, program
from inkwire.following import DigestMismatch, PostFold
from inkwire.refusals import refused
from inkwire.transcript import Text, Transcript, harmless
from inkwire.writing import interruptible, objection
from inkwire_chassis.lifecycle import cancel_and_wait, spawn

PROMPT = "> "
SUPERSEDED = "\n\n[What stands above no longer holds; it is written again:]\n\n"


class Talk:
    """One sitting. Lines are read outside of any event loop, where Ctrl-C ends the reading."""

    def __init__(self, connect: Callable[[], Client], out: TextIO) -> None:
        self._connect = connect
        self._out = out

    def run(self, conversation: str | None, begin: Mapping[str, Any], message: str | None) -> int:
        """Say one message, or what is typed, line by line; returns the exit code.

        Raises:
            CommandError: it was refused, or nobody answers.
        """
        try:
            if conversation is None:
                conversation = asyncio.run(self._begin(begin))
            code = self._lines(conversation) if message is None else asyncio.run(self._say(conversation, message))
        except DigestMismatch as error:
            raise CommandError(str(error), EX_FAILED) from None
        except ClientError as error:
            raise refused(error) from None
        typer.echo(f"Go on with: {program()} chat --conversation {conversation}", err=True)
        return code

    async def _begin(self, begin: Mapping[str, Any]) -> str:
        async with self._connect() as client:
            return str((await client.create_conversation(**begin))["id"])

    def _lines(self, conversation: str) -> int:
        """Until the input ends; a refused message does not end the talk."""
        prompt = PROMPT if sys.stdin.isatty() else ""
        while True:
            try:
                line = input(prompt).strip()
            except (EOFError, KeyboardInterrupt):
                if prompt:
                    typer.echo(err=True)
                return EX_OK
            if not line:
                continue
            try:
                asyncio.run(self._say(conversation, line))
            except ClientError as error:
                if error.status not in (409, 422, 429):
                    raise
                complain(str(error))

    async def _say(self, conversation: str, content: str) -> int:
        """Say something and show the answer as it comes; Ctrl-C stops it. Returns the exit code."""
        async with self._connect() as client:
            reply = (await client.say(conversation, content))["reply"]
            state = PostFold(reply["post"])
            following = spawn("follow", self._show(client, state, reply["channel"]))
            with interruptible(following):
                try:
                    await following
                except asyncio.CancelledError:
                    await cancel_and_wait(following)
                    await client.cancel_reply(conversation, reply["message"])
                    complain("stopped; what was written is kept")
                    return EX_FAILED
        self._out.write("\n")
        if state.snapshot.status == "published":
            if told := objection(state.snapshot):
                complain(told)
            return EX_OK
        complain(state.snapshot.error.message if state.snapshot.error else state.snapshot.status)
        return EX_FAILED

    async def _show(self, client: Client, state: PostFold, channel: str) -> None:
        terminal = self._out.isatty()
        transcript = Transcript(whole_sections=not terminal)
        updates = client.follow(state.snapshot.post, start=state, channel=channel)
        async with aclosing(updates):
            async for update in updates:
                for piece in transcript.advance(update.snapshot):
                    text = piece.text if isinstance(piece, Text) else SUPERSEDED
                    self._out.write(harmless(text) if terminal else text)
                    self._out.flush()
