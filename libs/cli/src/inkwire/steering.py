"""`inkwire cancel` and `inkwire retry`: change the course of a post from the command line."""

from inkwire.client import Client, ClientError
from inkwire.exits import CommandError, program
from inkwire.writing import exit_code
from inkwire_contracts.fold import FINAL


async def cancel(client: Client, post: str) -> str:
    """Have a post stop; returns one line about what becomes of it.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    async with client:
        try:
            answer = await client.cancel_post(post)
        except ClientError as error:
            raise CommandError(str(error), exit_code(error)) from None
    if answer["status"] in FINAL:
        return f"{post} is {answer['status']}"
    return f"{post} is being stopped; what was written is kept"


async def retry(client: Client, post: str) -> str:
    """Have a failed or cancelled post tried again; returns one line.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    async with client:
        try:
            answer = await client.retry_post(post)
        except ClientError as error:
            raise CommandError(str(error), exit_code(error)) from None
    return f"{post} goes on as run {answer['run']}; follow it with: {program()} watch {post}"
