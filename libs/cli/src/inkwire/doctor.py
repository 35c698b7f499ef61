"""`inkwire doctor`: what Inkwire needs on this machine, whether it is there, and what to do if not."""

import asyncio
import os
import platform
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiohttp

from inkwire.data_dir import DataDir, Running
from inkwire.exits import program
from inkwire.network import port_is_free
from inkwire.programs import binary, caddyfile, uses_simulator
from inkwire.provisioning import verify_at
from inkwire_chassis.jetstream import BrokerError
from inkwire_chassis.nats_servers import server_list
from inkwire_chassis.provisioning import Drift
from inkwire_chassis.settings import OPENAI_URL
from inkwire_stores import StoreUnavailable, check_store_url, open_store

OLDEST_PYTHON = (3, 11)
CHECK_TIMEOUT_S = 8.0

State = Literal["ok", "note", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. ``note``: fine, but good to know; ``bad``: Inkwire will not work like this."""

    name: str
    state: State
    message: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is looked at."""

    data: DataDir
    running: Running | None
    port: int
    environment: Mapping[str, str]

    @property
    def nats_url(self) -> str | None:
        """The broker in use: that of the running Inkwire, else one that was named."""
        return self.running.nats_url if self.running else self.environment.get("INKWIRE_NATS_URL")

    @property
    def store_url(self) -> str:
        """The store in use."""
        named = self.environment.get("INKWIRE_STORE_URL") or self.data.default_store_url
        return self.running.store_url if self.running else named


Check = Callable[[Surroundings], Awaitable[Finding]]


async def examine(around: Surroundings) -> list[Finding]:
    """Run every check; none of them changes anything that was there."""
    return list(await asyncio.gather(*(_bounded(name, check, around) for name, check in CHECKS.items())))


async def _bounded(name: str, check: Check, around: Surroundings) -> Finding:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check(around)
    except TimeoutError:
        return Finding(name, "bad", f"no answer within {CHECK_TIMEOUT_S:.0f} s")


async def _python(_around: Surroundings) -> Finding:
    version = platform.python_version()
    if sys.version_info >= OLDEST_PYTHON:
        return Finding("python", "ok", version)
    return Finding("python", "bad", f"{version} is too old: install Python 3.11 or newer")


async def _nats_server(_around: Surroundings) -> Finding:
    return await asyncio.to_thread(_program, "nats-server", "--version")


async def _caddy(_around: Surroundings) -> Finding:
    found = await asyncio.to_thread(_program, "caddy", "version")
    if found.state == "ok" and caddyfile() is None:
        return Finding("caddy", "bad", "deploy/Caddyfile is missing: run Inkwire from a checkout")
    return found


def _program(name: str, argument: str) -> Finding:
    path = binary(name)
    if path is None:
        return Finding(name, "bad", "missing: run `./run sync`, which installs it")
    try:
        done = subprocess.run([path, argument], capture_output=True, text=True, timeout=CHECK_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, "bad", f"{path} does not run ({type(error).__name__}): run `./run sync` again")
    if done.returncode != 0:
        return Finding(name, "bad", f"{path} ends with {done.returncode}: run `./run sync` again")
    return Finding(name, "ok", done.stdout.removeprefix(f"{name}:").split()[0])


async def _data(around: Surroundings) -> Finding:
    root = around.data.root
    nearest = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding("data", "bad", f"{nearest} cannot be written: give another --data")
    keys = around.data.jwt_keys
    if keys.exists() and not os.access(keys, os.R_OK):
        return Finding("data", "bad", f"{keys} cannot be read: it belongs to somebody else; give another --data")
    if os.name == "posix" and keys.exists() and keys.stat().st_mode & 0o077:
        return Finding("data", "bad", f"{keys} can be read by others: chmod 600 {keys}")
    return Finding("data", "ok", f"{root.absolute()}" + ("" if root.exists() else " (will be made)"))


async def _port(around: Surroundings) -> Finding:
    if around.running:
        return Finding("port", "ok", f"Inkwire runs at {around.running.url}")
    if port_is_free("127.0.0.1", around.port):
        return Finding("port", "ok", f"{around.port} is free")
    return Finding("port", "note", f"{around.port} is taken: `{program()} up` will choose another one, or give --port")


async def _inkwire(around: Surroundings) -> Finding:
    if around.running is None:
        locked = around.data.is_locked()
        return Finding(
            "inkwire", "note", "is starting or stopping" if locked else f"not running: start `{program()} up`"
        )
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{around.running.url}/readyz") as answer:
            checks = (await answer.json()).get("checks", {})
    except (aiohttp.ClientError, ValueError) as error:
        return Finding("inkwire", "bad", f"{around.running.url} does not answer ({type(error).__name__}): see its log")
    wrong = ", ".join(f"{name}: {word}" for name, word in checks.items() if word != "ok")
    return Finding("inkwire", "bad" if wrong else "ok", wrong or f"ready, process {around.running.pid}")


async def _nats(around: Surroundings) -> Finding:
    url = around.nats_url
    if url is None:
        return Finding("nats", "note", f"`{program()} up` starts its own")
    try:
        shown = ", ".join(server.rpartition("@")[2] for server in server_list(url))
    except ValueError as error:
        return Finding("nats", "bad", f"INKWIRE_NATS_URL: {error}")
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S / 2):
            await verify_at(url)
    except TimeoutError:
        return Finding("nats", "bad", f"no answer from {shown}: start it, or correct INKWIRE_NATS_URL")
    except (Drift, BrokerError) as error:
        return Finding("nats", "bad", str(error))
    return Finding("nats", "ok", f"{shown}, provisioned")


async def _store(around: Surroundings) -> Finding:
    if not _file_exists(around.store_url):
        return Finding("store", "note", "the SQLite file is made at the first start")
    shown = urlsplit(around.store_url).hostname or "SQLite"
    try:
        async with open_store(check_store_url(around.store_url)) as store:
            await store.ping()
    except ValueError as error:
        return Finding("store", "bad", f"INKWIRE_STORE_URL: {error}")
    except StoreUnavailable:
        return Finding("store", "bad", f"no answer from {shown}: start it, or correct INKWIRE_STORE_URL")
    return Finding("store", "ok", shown)


def _file_exists(store_url: str) -> bool:
    """Whether a SQLite store's file is there; opening it would make it."""
    scheme, _, path = store_url.partition(":///")
    return scheme != "sqlite" or Path(unquote(path)).exists()


async def _provider(around: Surroundings) -> Finding:
    environment = around.environment
    if uses_simulator(environment):
        return Finding("model", "note", "no OPENAI_API_KEY: a simulator writes the texts")
    base_url = (environment.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")
    host = urlsplit(base_url).netloc.rpartition("@")[2] or base_url
    try:
        key = environment.get("OPENAI_API_KEY") or _key_from_file(environment)
    except OSError as error:
        return Finding("model", "bad", f"OPENAI_API_KEY_FILE cannot be read: {error.strerror}")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with (
            aiohttp.ClientSession(trust_env=True) as session,
            session.get(f"{base_url}/models", headers=headers) as answer,
        ):
            return await _models(answer, host, environment.get("OPENAI_MODEL"))
    except (aiohttp.ClientError, ValueError) as error:
        return Finding("model", "bad", f"no answer from {host} ({type(error).__name__}): check OPENAI_BASE_URL")


def _key_from_file(environment: Mapping[str, str]) -> str:
    path = environment.get("OPENAI_API_KEY_FILE")
    return Path(path).read_text(encoding="utf-8").strip() if path else ""


async def _models(answer: aiohttp.ClientResponse, host: str, wanted: str | None) -> Finding:
    if answer.status in (401, 403):
        return Finding("model", "bad", f"{host} refuses the key: check OPENAI_API_KEY")
    if answer.status == 404:
        return Finding("model", "note", f"{host} answers but lists no models; writing may work")
    if answer.status >= 400:
        return Finding("model", "bad", f"{host} answers {answer.status}: try again later, or check OPENAI_BASE_URL")
    listed = await answer.json(content_type=None)
    names = {entry.get("id") for entry in listed.get("data", [])} if isinstance(listed, dict) else set()
    if wanted and names and wanted not in names:
        return Finding("model", "note", f"{host} does not list {wanted}: check OPENAI_MODEL")
    return Finding("model", "ok", f"{wanted or 'models'} at {host}")


CHECKS: Mapping[str, Check] = {
    "python": _python,
    "nats-server": _nats_server,
    "caddy": _caddy,
    "data": _data,
    "port": _port,
    "inkwire": _inkwire,
    "nats": _nats,
    "store": _store,
    "model": _provider,
}
