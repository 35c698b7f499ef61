"""The command line."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from inkwire.data_dir import DataDir, InUse
from inkwire.launcher import StartFailed
from inkwire.terminal import PrefixedTerminal
from inkwire.up import Options, free_ports, port_is_free, provision_local, run_up
from inkwire_chassis.auth import DEFAULT_SCOPES, KeyRing
from inkwire_chassis.clock import SystemClock, new_id
from inkwire_chassis.settings import EX_CONFIG

EX_UNAVAILABLE = 69
DEFAULT_PORT = 8080

app = typer.Typer(
    name="inkwire",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Inkwire writes articles while you watch. Start with: inkwire up",
)

Data = Annotated[Path, typer.Option("--data", help="Folder for the log, the store and the secrets.")]


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Public port; 0 chooses a free one. [default: 8080, or a free one]")] = -1,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data: Data = Path("data"),
    generators: Annotated[int, typer.Option(min=1, max=64, help="Number of writing workers.")] = 1,
    tokens_per_s: Annotated[float, typer.Option(help="Speed of the simulated model (no OPENAI_API_KEY).")] = 60.0,
) -> None:
    """Run all of Inkwire on this machine and print its address.

    Without OPENAI_API_KEY a simulator writes the texts. Ctrl-C stops everything.
    """
    folder = DataDir(data)
    folder.prepare()
    options = Options(folder, host, _public_port(host, port), generators, tokens_per_s)
    try:
        with folder.locked():
            raise typer.Exit(asyncio.run(run_up(options, PrefixedTerminal())))
    except (InUse, StartFailed) as error:
        _fail(str(error), EX_UNAVAILABLE)


def _public_port(host: str, port: int) -> int:
    if port > 0:
        if not port_is_free(host, port):
            _fail(f"port {port} is taken: give another --port, or none to have one chosen", EX_UNAVAILABLE)
        return port
    if port < 0 and port_is_free(host, DEFAULT_PORT):
        return DEFAULT_PORT
    return free_ports(1)[0]


@app.command()
def provision(
    data: Data = Path("data"),
    nats_url: Annotated[str, typer.Option(envvar="INKWIRE_NATS_URL", help="The broker.")] = "",
) -> None:
    """Create or update streams and consumers; safe to repeat."""
    running = DataDir(data).running()
    url = nats_url or (running.nats_url if running else "nats://127.0.0.1:4222")
    for line in asyncio.run(provision_local(url)) or ["nothing to change"]:
        typer.echo(line)


@app.command()
def token(
    owner: Annotated[str, typer.Option(help="Who the token is for.")] = "local",
    scope: Annotated[list[str] | None, typer.Option(help="Scope; repeat for more.")] = None,
    lifetime_s: Annotated[int, typer.Option(min=1, max=86_400, help="Seconds until it ends.")] = 3600,
    data: Data = Path("data"),
) -> None:
    """Print a token for local development, and nothing else."""
    path = DataDir(data).jwt_keys
    if not path.exists():
        _fail(f"no keys in {data}: run `inkwire up` first, or give its --data", EX_CONFIG)
    keys = KeyRing.parse(path.read_text(encoding="utf-8").strip(), "inkwire")
    typer.echo(
        keys.mint(
            owner,
            now=SystemClock().now(),
            lifetime_s=lifetime_s,
            jti=new_id(),
            scopes=scope or DEFAULT_SCOPES,
        )
    )


def _fail(message: str, code: int) -> None:
    typer.echo(f"inkwire: {message}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Entry point."""
    sys.exit(app())
