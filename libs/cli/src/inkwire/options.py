"""What several commands take: the data folder, the address and the token of an Inkwire, and a yes before harm."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from inkwire.data_dir import DataDir
from inkwire.exits import EX_CONFIG, EX_FAILED, EX_NO_PERMISSION, EX_UNAVAILABLE, EX_USAGE, fail, program
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import SystemClock, new_id
from inkwire_contracts.ids import is_id

DEFAULT_DATA = Path("data")
OPS_LIFETIME_S = 3600

Data = Annotated[Path, typer.Option("--data", help="Folder for the log, the store and the secrets.")]
Url = Annotated[str | None, typer.Option("--url", envvar="INKWIRE_URL", help="Address of a running Inkwire.")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="INKWIRE_TOKEN", help="Bearer token; none is needed on this machine.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def address_for(post: str, url: str | None, data: Path) -> str:
    """The public address, once it is clear that the id is one of a post."""
    check_post(post)
    return address(url, data)


def check_post(post: str) -> None:
    """Refuse what cannot be the id of a post."""
    if not is_id(post):
        fail(f"{post} is no id of a post: it has 26 characters, a to z and 2 to 7", EX_USAGE)


def address(url: str | None, data: Path) -> str:
    """The public address: the one given, else the one that runs on the data folder."""
    if url is not None:
        if not url.startswith(("http://", "https://")):
            fail(f"--url {url}: give http://host:port", EX_USAGE)
        return url
    running = DataDir(data).running()
    if running is None:
        fail(f"no Inkwire runs on {data}: start one with `{program()} up`, or give --url or --data", EX_UNAVAILABLE)
    return running.url


def signing_keys(data: Path) -> KeyRing:
    """The keys that `up` has made in the data folder."""
    path = DataDir(data).jwt_keys
    try:
        return KeyRing.parse(path.read_text(encoding="utf-8").strip(), "inkwire")
    except FileNotFoundError:
        fail(f"no keys in {data}: run `{program()} up` first, or give its --data", EX_CONFIG)
    except (OSError, ValueError) as error:
        fail(f"cannot use {path}: {error}", EX_CONFIG)


def ops_token(token: str | None, data: Path) -> str:
    """The token given, else one for operators, signed with the keys of the data folder."""
    if token is not None:
        return token
    if not DataDir(data).jwt_keys.exists():
        fail(f"no keys in {data}: give its --data, or a --token with the scope ops", EX_NO_PERMISSION)
    now = SystemClock().now()
    return signing_keys(data).mint("operator", now=now, lifetime_s=OPS_LIFETIME_S, jti=new_id(), scopes=("ops",))


def check_somebody_is_there() -> None:
    """Refuse to ask where nobody can answer."""
    if not sys.stdin.isatty():
        fail("nobody can be asked here: give --yes", EX_USAGE)


def ask(question: str, *, yes: bool) -> None:
    """Go on only with a yes; where nobody can be asked it has to be given beforehand."""
    if yes:
        return
    check_somebody_is_there()
    if not typer.confirm(question, err=True):
        _nothing_done()


def _nothing_done() -> NoReturn:
    fail("nothing was done", EX_FAILED)
