"""What the server refuses, as the end of a command: one line and an exit code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inkwire.calls import Calls, ClientError, Unavailable
from inkwire.exits import EX_FAILED, EX_NO_PERMISSION, EX_UNAVAILABLE, EX_USAGE, CommandError


@asynccontextmanager
async def asking(client: Calls) -> AsyncIterator[None]:
    """Open a client; what is refused meanwhile ends the command.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    async with client:
        try:
            yield
        except ClientError as error:
            raise refused(error) from None


def refused(error: ClientError) -> CommandError:
    """The end of a command that cannot go on without what was refused."""
    return CommandError(str(error), exit_code(error))


def exit_code(error: ClientError) -> int:
    """The exit code for a refusal."""
    if isinstance(error, Unavailable):
        return EX_UNAVAILABLE
    if error.status in (401, 403):
        return EX_NO_PERMISSION
    return EX_USAGE if error.status in (400, 413, 415, 422) else EX_FAILED
