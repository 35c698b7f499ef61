"""`inkwire cancel`, `retry` and `delete`: change the course of a post from the command line."""

from collections.abc import Sequence

from inkwire.client import Client, ClientError
from inkwire.exits import EX_OK, CommandError, complain, program
from inkwire.refusals import asking, exit_code
from inkwire.transcript import one_line
from inkwire_contracts.fold import FINAL


async def cancel(client: Client, post: str) -> str:
    """Have a post stop; returns one line about what becomes of it.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    async with asking(client):
        answer = await client.cancel_post(post)
    if answer["status"] in FINAL:
        return f"{post} is {answer['status']}"
    return f"{post} is being stopped; what was written is kept"


async def retry(client: Client, post: str) -> str:
    """Have a failed or cancelled post tried again; returns one line.

    Raises:
        CommandError: it was refused, or nobody answers.
    """
    async with asking(client):
        answer = await client.retry_post(post)
    return f"{post} goes on as run {answer['run']}; follow it with: {program()} watch {post}"


async def question(client: Client, posts: Sequence[str]) -> str:
    """What to ask before posts are deleted; names them, and what is under way.

    Raises:
        CommandError: one of them is not there, or nobody answers.
    """
    lines = []
    async with client:
        for post in posts:
            try:
                found = await client.get_post(post)
            except ClientError as error:
                if error.code == "gone":
                    lines.append(f"  ({post} was deleted before)\n")
                    continue
                raise CommandError(f"{post}: {error}", exit_code(error)) from None
            running = "" if found["status"] in FINAL else ", being written: that is stopped"
            lines.append(f"  {one_line(found['title'])} ({post}{running})\n")
    return f"{''.join(lines)}Delete {'it' if len(posts) == 1 else f'these {len(posts)} posts'} for good?"


async def delete(client: Client, posts: Sequence[str]) -> int:
    """Delete posts, one after the other; one that is refused does not stop the others. Returns the exit code."""
    code = EX_OK
    async with client:
        for post in posts:
            try:
                await client.delete_post(post)
            except ClientError as error:
                complain(f"{post}: {error}")
                code = max(code, exit_code(error))
            else:
                print(f"{post} is deleted")
    return code
