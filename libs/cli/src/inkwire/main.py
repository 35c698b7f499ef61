"""The command line. What a command needs is imported when it runs, so that each starts fast."""

import asyncio
import inspect
import json
import os
import re
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.exceptions import TyperException

from inkwire import authoring, chatting, dlq, documents
from inkwire.data_dir import DataDir, InUse
from inkwire.exits import (
    EX_CONFIG,
    EX_FAILED,
    EX_INTERRUPTED,
    EX_OK,
    EX_PIPE,
    EX_UNAVAILABLE,
    EX_USAGE,
    CommandError,
    complain,
    fail,
    program,
)
from inkwire.options import (
    DEFAULT_DATA,
    Data,
    Token,
    Url,
    Yes,
    address,
    address_for,
    ask,
    check_post,
    check_somebody_is_there,
    ops_token,
    signing_keys,
)
from inkwire_chassis import logs
from inkwire_chassis.auth import DEFAULT_SCOPES, MAX_LIFETIME_S, SCOPES
from inkwire_chassis.clock import SystemClock, new_id
from inkwire_contracts.subjects import PRIORITIES

T = TypeVar("T")
DEFAULT_PORT = 8080
DEFAULT_NATS_URL = "nats://127.0.0.1:4222"
BROKER_TIMEOUT_S = 10.0
MAX_GATEWAY_WORKERS = 256
EXAMPLE = re.compile(r"(?<![\w/])inkwire (?=[a-z])")
"""The program's name where an example or a hint calls it."""

HELP = "Inkwire writes articles while you watch. Start with: inkwire up"

app = typer.Typer(name="inkwire", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

Size = Annotated[
    int | None, typer.Option(min=1024**2, help="Bytes on disk. [default: as it is, or the contracts' own]")
]

GROUPS = (dlq, documents)
for group in GROUPS:
    app.add_typer(group.app)


def _gateway_workers(text: str | int) -> int:
    """What the gateway itself takes in its place."""
    from inkwire_chassis.machine import usable_cores

    number = 0 if text == "auto" else int(text) if str(text).isdecimal() else -1
    if not 0 <= number <= MAX_GATEWAY_WORKERS:
        raise typer.BadParameter(f"give a number from 1 to {MAX_GATEWAY_WORKERS}, or auto")
    return number or min(usable_cores(), MAX_GATEWAY_WORKERS)


@app.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Public port; 0 chooses a free one. [default: 8080, or a free one]"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data: Data = DEFAULT_DATA,
    generators: Annotated[int, typer.Option(min=1, max=64, help="Number of writing workers.")] = 1,
    gateway_workers: Annotated[
        int,
        typer.Option(
            parser=_gateway_workers,
            metavar="N",
            envvar="INKWIRE_GATEWAY_WORKERS",
            help="Processes that carry texts to browsers; each uses one core. auto or 0: one for each core.",
        ),
    ] = 1,
    tokens_per_s: Annotated[
        float, typer.Option(min=0, max=1e6, help="Speed of the simulated model (no OPENAI_API_KEY); 0: at once.")
    ] = 60.0,
) -> None:
    """Run all of Inkwire on this machine and print its address.

    Without OPENAI_API_KEY a simulator writes the texts. Ctrl-C stops everything.

    \b
    Examples:
      inkwire up
      inkwire up --port 9000 --data /tmp/inkwire --generators 2
      OPENAI_API_KEY=... OPENAI_MODEL=gpt-4o-mini inkwire up
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire.launcher import StartFailed
    from inkwire.programs import Options
    from inkwire.terminal import PrefixedTerminal
    from inkwire.up import run_up

    folder = DataDir(data)
    try:
        folder.prepare()
        with folder.locked():
            options = Options(folder, host, _public_port(host, port), generators, tokens_per_s, gateway_workers)
            raise typer.Exit(asyncio.run(run_up(options, PrefixedTerminal())))
    except (InUse, StartFailed) as error:
        fail(str(error), EX_UNAVAILABLE)
    except OSError as error:
        fail(f"cannot use {data}: {error.strerror or error}; give another --data", EX_CONFIG)


def _public_port(host: str, port: int | None) -> int:
    from inkwire.network import free_ports, port_is_free

    wanted = DEFAULT_PORT if port is None else port
    try:
        free = port_is_free(host, wanted)
    except OSError:
        fail(f"{host} is no address of this machine: give another --host", EX_CONFIG)
    if wanted and free:
        return wanted
    if port:
        fail(f"port {port} is taken: give another --port, or none to have one chosen", EX_UNAVAILABLE)
    return free_ports(1)[0]


@app.command()
def write(
    title: Annotated[str, typer.Argument(help="What the article is about.")],
    recipe: Annotated[str, typer.Option(help="Kind of content; GET /recipes lists them.")] = "blog",
    option: Annotated[list[str] | None, typer.Option(help="An option of the recipe, key=value; repeat.")] = None,
    priority: Annotated[str, typer.Option(help=f"One of {', '.join(PRIORITIES)}.")] = "normal",
    review: Annotated[bool, typer.Option("--review", help="Wait for your approval of the outline.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, the result last.")] = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Have an article written and watch it being written.

    The text goes to stdout, progress to stderr. Into a pipe go finished sections only, so that a file holds exactly
    the published text. Exit code 0: published; 1: failed; 75: it waits for your approval (--review, where nobody can be
    asked); 130: interrupted (the article is still written).

    \b
    Examples:
      inkwire write "Top 10 Laravel tips"
      inkwire write "Top 10 Laravel tips" --option tone=friendly --option length=short > tips.md
      inkwire write "Top 10 Laravel tips" --json | tail -1
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import reviewing, writing
    from inkwire.client import Client
    from inkwire.display import choose

    if priority not in PRIORITIES:
        fail(f"no such priority: {priority}; choose from {', '.join(PRIORITIES)}", EX_USAGE)
    request = {"title": title, "recipe": recipe, "options": writing.parse_options(option or []), "priority": priority}
    client = Client(address(url, data), token=token)
    if review:
        ask_here = sys.stdin.isatty() and not as_json
        raise typer.Exit(reviewing.write(client, request, lambda: choose(as_json=as_json), ask=ask_here))
    raise typer.Exit(asyncio.run(writing.write(client, request, choose(as_json=as_json))))


@app.command()
def watch(
    post: Annotated[str, typer.Argument(help="The post's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, the result last.")] = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Watch an article that is being written, or print a finished one.

    \b
    Examples:
      inkwire watch k3v5q7wz2m4n6bacbd2f4g6haj
      inkwire watch k3v5q7wz2m4n6bacbd2f4g6haj > article.md
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import writing
    from inkwire.client import Client
    from inkwire.display import choose

    client = Client(address_for(post, url, data), token=token)
    raise typer.Exit(asyncio.run(writing.watch(client, post, choose(as_json=as_json))))


@app.command()
def cancel(
    post: Annotated[str, typer.Argument(help="The post's id.")],
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Stop an article that is being written, and its cost; what was written is kept. Safe to repeat.

    \b
    Examples:
      inkwire cancel k3v5q7wz2m4n6bacbd2f4g6haj
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import steering
    from inkwire.client import Client

    client = Client(address_for(post, url, data), token=token)
    typer.echo(asyncio.run(steering.cancel(client, post)))


@app.command()
def retry(
    post: Annotated[str, typer.Argument(help="The post's id.")],
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Try a failed or cancelled article again; its finished sections stay.

    \b
    Examples:
      inkwire retry k3v5q7wz2m4n6bacbd2f4g6haj
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import steering
    from inkwire.client import Client

    client = Client(address_for(post, url, data), token=token)
    typer.echo(asyncio.run(steering.retry(client, post)))


app.command()(authoring.approve)
app.command()(authoring.export)
app.command()(chatting.chat)


@app.command()
def delete(
    posts: Annotated[list[str], typer.Argument(help="Ids of posts.")],
    yes: Yes = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Delete articles for good; one that is being written is stopped first. Safe to repeat.

    It asks before; --yes does not. Exit code 1: one was refused.

    \b
    Examples:
      inkwire delete k3v5q7wz2m4n6bacbd2f4g6haj
      inkwire delete --yes k3v5q7wz2m4n6bacbd2f4g6haj
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import steering
    from inkwire.client import Client

    for post in posts:
        check_post(post)
    where = address(url, data)
    if not yes:
        check_somebody_is_there()
        ask(asyncio.run(steering.question(Client(where, token=token), posts)), yes=False)
    raise typer.Exit(asyncio.run(steering.delete(Client(where, token=token), posts)))


@app.command()
def usage(
    since: Annotated[str | None, typer.Option("--from", help="Posts created at this date or time, or later.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Posts created before this date or time.")] = None,
    owner: Annotated[
        str | None, typer.Option(help="Somebody's posts, or all; for operators. [default: your own]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    url: Url = None,
    token: Token = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Show what articles have cost: tokens paid and wasted, dollars, by model, and how long articles take.

    Wasted is what was paid for text that was given up: a failed answer, or what a dead worker left unfinished. An
    article counts with all its retries, in the period in which it was created, also after it was deleted. With --owner
    on the machine of `inkwire up` no token is needed: the data folder's keys sign one with the scope ops.

    \b
    Examples:
      inkwire usage
      inkwire usage --from 2026-11-01 --to 2026-12-01
      inkwire usage --owner all --from 2026-11-21T09:00:00Z --json
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire import usage as totals
    from inkwire.client import Client

    where = address(url, data)
    client = Client(where, token=token if owner is None else ops_token(token, data))
    query = {name: value for name, value in (("from", since), ("to", until), ("owner", owner)) if value is not None}
    found = asyncio.run(totals.fetch(client, query))
    typer.echo(json.dumps(found) if as_json else totals.table(found))


@app.command()
def doctor(
    data: Data = DEFAULT_DATA,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The public port you want to use.")] = DEFAULT_PORT,
) -> None:
    """Check all that Inkwire needs, and say what to do. Exit code 1 if something is wrong.

    \b
    Examples:
      inkwire doctor
      OPENAI_API_KEY=... inkwire doctor
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire.doctor import Surroundings, examine

    folder = DataDir(data)
    around = Surroundings(folder, folder.running(), port, os.environ)
    findings = asyncio.run(examine(around))
    for finding in findings:
        mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}[finding.state]
        typer.echo(f"{mark}  {finding.name:<12} {finding.message}")
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(EX_FAILED)


@app.command()
def provision(
    data: Data = DEFAULT_DATA,
    nats_url: Annotated[str, typer.Option(envvar="INKWIRE_NATS_URL", help="The broker, or a cluster's servers.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail if something is missing.")] = False,
    make_keys: Annotated[
        bool, typer.Option("--make-keys", help="Make signing keys in --data if none are there.")
    ] = False,
    events_max_bytes: Size = None,
    conversations_max_bytes: Size = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, max=5, help="Copies of each stream. [default: as it is, or 1]")
    ] = None,
    lease_s: Annotated[
        float | None, typer.Option(min=1.0, max=600.0, help="A worker's lease on a job. [default: as it is, or 5]")
    ] = None,
) -> None:
    """Create or update streams and consumers; safe to repeat.

    \b
    Examples:
      inkwire provision --nats-url nats://127.0.0.1:4222
      inkwire provision --nats-url nats://one:4222,nats://two:4222,nats://three:4222 --replicas 3
      inkwire provision --check
    """  # noqa: D301 - a backspace keeps the lines
    from inkwire.provisioning import Sizes, provision_at, verify_at
    from inkwire_chassis.jetstream import BrokerError
    from inkwire_chassis.nats_servers import server_list
    from inkwire_chassis.provisioning import Drift

    url = nats_url or _local_nats(data)
    try:
        server_list(url)
    except ValueError as error:
        fail(f"--nats-url or INKWIRE_NATS_URL: {error}", EX_CONFIG)
    try:
        if check:
            asyncio.run(_bounded(verify_at(url)))
            typer.echo("as it should be")
            return
        if make_keys:
            DataDir(data).prepare()
        sizes = Sizes(events_max_bytes, conversations_max_bytes, replicas, lease_s)
        for line in asyncio.run(_bounded(provision_at(url, sizes))) or ["nothing to change"]:
            typer.echo(line)
    except TimeoutError:
        fail(
            f"no answer from {_without_password(url)}: is the broker running? See `{program()} doctor`", EX_UNAVAILABLE
        )
    except Drift as error:
        fail(str(error), EX_FAILED)
    except BrokerError as error:
        fail(f"the broker refused: {error}", EX_UNAVAILABLE)
    except OSError as error:
        fail(f"cannot write {data}: {error.strerror or error}; give another --data", EX_CONFIG)


def _local_nats(data: Path) -> str:
    running = DataDir(data).running()
    return running.nats_url if running else DEFAULT_NATS_URL


async def _bounded(work: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(BROKER_TIMEOUT_S):
        return await work


def _without_password(url: str) -> str:
    return ", ".join(server.rpartition("@")[2] for server in url.split(","))


@app.command()
def token(
    owner: Annotated[str, typer.Option(help="Who the token is for.")] = "local",
    scope: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(sorted(SCOPES))}; repeat for more.")
    ] = None,
    lifetime_s: Annotated[int, typer.Option(min=1, max=MAX_LIFETIME_S, help="Seconds until it ends.")] = 3600,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print a token for local development, and nothing else.

    \b
    Examples:
      inkwire token --owner alice
      curl -H "Authorization: Bearer $(inkwire token)" http://127.0.0.1:8080/posts
    """  # noqa: D301 - a backspace keeps the lines
    if unknown := sorted(set(scope or ()) - SCOPES):
        fail(f"no such scope: {', '.join(unknown)}; choose from {', '.join(sorted(SCOPES))}", EX_USAGE)
    keys = signing_keys(data)
    clock = SystemClock()
    typer.echo(keys.mint(owner, now=clock.now(), lifetime_s=lifetime_s, jti=new_id(), scopes=scope or DEFAULT_SCOPES))


def main() -> None:
    """Entry point: every expected end is one line and an exit code, never a stack trace."""
    sys.exit(run(sys.argv[1:]))


def _app() -> Any:
    """The commands, with examples that can be typed as they stand."""
    for commands, text in ((app, HELP), *((group.app, group.HELP) for group in GROUPS)):
        commands.info.help = EXAMPLE.sub(f"{program()} ", text)
        for command in commands.registered_commands:
            command.help = EXAMPLE.sub(f"{program()} ", inspect.getdoc(command.callback) or "")
    return typer.main.get_command(app)


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    logs.configure("cli", form="human", level="error")
    try:
        code = _invoke(arguments or ["--help"])
        sys.stdout.flush()
        return code
    except TyperException as error:
        complain(f"{error.format_message()} ({program()} --help explains the commands)")
        return EX_USAGE
    except CommandError as error:
        complain(str(error))
        return error.code
    except (KeyboardInterrupt, typer.Abort):
        return EX_INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; so do we, silently, also at the interpreter's last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_PIPE


def _invoke(arguments: list[str]) -> int:
    """As typer's own main, which would end the process itself where a pipe breaks."""
    command = _app()
    if arguments in [[group.app.info.name] for group in GROUPS]:
        arguments = [*arguments, "--help"]
    try:
        with command.make_context(program(), arguments) as context:
            command.invoke(context)
    except typer.Exit as exit_:
        return exit_.exit_code
    return EX_OK
