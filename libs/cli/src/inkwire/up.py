"""`inkwire up`: the whole product on one machine, from a table of programs."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from inkwire.data_dir import DataDir, Running
from inkwire.launcher import Launcher, Program, Ready, StartFailed, Terminal, base_environment
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_chassis.provisioning import provision
from inkwire_contracts.topology import topology

EVENTS_MAX_BYTES = 256 * 1024**2
"""Reserved on disk for the log of a local Inkwire."""

CONVERSATIONS_MAX_BYTES = 32 * 1024**2
PROVIDER_VARIABLES = ("OPENAI_API_KEY", "OPENAI_API_KEY_FILE", "OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_MAX_TOKENS")
SIMULATED_MODEL = "inkwire-simulator"
BROKER_TIER, STORE_TIER, SERVICE_TIER, PROXY_TIER = range(4)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line chose."""

    data: DataDir
    host: str
    port: int
    generators: int
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ports on loopback, chosen at start."""

    nats: int
    nats_http: int
    api: int
    gateway: int
    persister: int
    simulator: int
    generators: tuple[int, ...]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held while choosing, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def port_is_free(host: str, port: int) -> bool:
    """Whether the public port can be bound."""
    with closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return False
        return True


def choose_ports(generators: int) -> Ports:
    """All ports that the processes need."""
    chosen = free_ports(6 + generators)
    return Ports(*chosen[:6], generators=tuple(chosen[6:]))


def binary(name: str) -> str:
    """A program of our own environment, else of the path.

    Raises:
        StartFailed: it is nowhere.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise StartFailed(f"{name} is missing: run `./run sync`, then `./run doctor`")
    return found


def caddyfile() -> Path:
    """The one Caddyfile, in the checkout.

    Raises:
        StartFailed: this is not a checkout.
    """
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        if (folder / "deploy" / "Caddyfile").exists():
            return folder / "deploy" / "Caddyfile"
    raise StartFailed("deploy/Caddyfile is missing: run `inkwire up` from a checkout of Inkwire")


def http_ready(session: aiohttp.ClientSession, url: str) -> Ready:
    """Ready once the address answers 200."""

    async def ask() -> bool:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                return answer.status == 200
        return False

    return ask


def uses_simulator(environment: Mapping[str, str]) -> bool:
    """No key and no own address: then the simulator writes."""
    return not any(environment.get(name) for name in ("OPENAI_API_KEY", "OPENAI_API_KEY_FILE", "OPENAI_BASE_URL"))


def model_line(environment: Mapping[str, str]) -> str:
    """Who writes, for people."""
    if uses_simulator(environment):
        return "No OPENAI_API_KEY: a simulator writes the texts. Set OPENAI_API_KEY to use a real model."
    host = urlsplit(environment.get("OPENAI_BASE_URL") or "https://api.openai.com/v1").netloc
    return f"Texts are written by {environment.get('OPENAI_MODEL') or 'the default model'} at {host}."


class Table:
    """Builds the rows: which programs, with which arguments and environment."""

    def __init__(self, options: Options, ports: Ports, session: aiohttp.ClientSession) -> None:
        self.options = options
        self.ports = ports
        self.session = session
        self.nats_url = f"nats://127.0.0.1:{ports.nats}"
        self.store_url = os.environ.get("INKWIRE_STORE_URL") or options.data.default_store_url
        self.public_url = f"http://{_url_host(options.host)}:{options.port}"
        self.simulated = uses_simulator(os.environ)

    def broker(self) -> Program:
        """nats-server; it keeps what it acknowledged (sync_interval always)."""
        root = self.options.data.root.absolute()
        config = root / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.ports.nats}"\n'
            f'http: "127.0.0.1:{self.ports.nats_http}"\n'
            f'jetstream {{ store_dir: "{root / "nats"}", sync_interval: always }}\n',
            encoding="utf-8",
        )
        ready = http_ready(self.session, f"http://127.0.0.1:{self.ports.nats_http}/healthz")
        argv = [binary("nats-server"), "-c", str(config)]
        return Program("nats", argv, BROKER_TIER, ready, base_environment())

    def simulator(self) -> Program:
        """The OpenAI-compatible simulator; it sees no secret of ours."""
        argv = [sys.executable, "-m", "inkwire_openai_sim", "--host", "127.0.0.1"]
        argv += ["--port", str(self.ports.simulator), "--tokens-per-s", str(self.options.tokens_per_s)]
        ready = http_ready(self.session, f"http://127.0.0.1:{self.ports.simulator}/livez")
        return Program("simulator", argv, STORE_TIER, ready, base_environment())

    def services(self) -> list[Program]:
        """The four services."""
        ports = self.ports
        rows = [
            self._service("persister", "persister", ports.persister, self._health("PERSISTER", ports.persister)),
            self._service("api", "api", ports.api, self._api_environment()),
            self._service("gateway", "gateway", ports.gateway, self._listen("GATEWAY", ports.gateway)),
        ]
        for number, port in enumerate(ports.generators, start=1):
            name = "generator" if len(ports.generators) == 1 else f"generator-{number}"
            rows.append(self._service(name, "generator", port, self._generator_environment(port)))
        return rows

    def proxy(self) -> Program:
        """Caddy, ready when the api answers through it."""
        environment = base_environment() | {
            "INKWIRE_PUBLIC_ADDRESS": self.public_url,
            "INKWIRE_API_UPSTREAMS": f"127.0.0.1:{self.ports.api}",
            "INKWIRE_GATEWAY_UPSTREAMS": f"127.0.0.1:{self.ports.gateway}",
            "XDG_DATA_HOME": str(self.options.data.root.absolute() / "caddy"),
            "XDG_CONFIG_HOME": str(self.options.data.root.absolute() / "caddy"),
        }
        argv = [binary("caddy"), "run", "--config", str(caddyfile()), "--adapter", "caddyfile"]
        return Program("caddy", argv, PROXY_TIER, http_ready(self.session, f"{self.public_url}/livez"), environment)

    def _service(self, name: str, package: str, port: int, environment: dict[str, str]) -> Program:
        ready = http_ready(self.session, f"http://127.0.0.1:{port}/readyz")
        argv = [sys.executable, "-m", f"inkwire_{package}.main"]
        return Program(name, argv, SERVICE_TIER, ready, self._shared() | environment)

    def _shared(self) -> dict[str, str]:
        chosen = {name: value for name, value in os.environ.items() if name.startswith("INKWIRE_")}
        return (
            base_environment()
            | {"INKWIRE_LOG_FORMAT": "human", "INKWIRE_LOG_LEVEL": "info"}
            | chosen
            | {
                "INKWIRE_NATS_URL": self.nats_url,
                "INKWIRE_STORE_URL": self.store_url,
                "INKWIRE_JWT_KEYS_FILE": str(self.options.data.jwt_keys.absolute()),
                "INKWIRE_SIMULATED": str(self.simulated).lower(),
            }
        )

    def _listen(self, service: str, port: int) -> dict[str, str]:
        return {f"INKWIRE_{service}_HOST": "127.0.0.1", f"INKWIRE_{service}_PORT": str(port)}

    def _health(self, service: str, port: int) -> dict[str, str]:
        return {f"INKWIRE_{service}_HEALTH_HOST": "127.0.0.1", f"INKWIRE_{service}_HEALTH_PORT": str(port)}

    def _api_environment(self) -> dict[str, str]:
        local = self.options.host in ("127.0.0.1", "localhost", "::1")
        return self._listen("API", self.ports.api) | {
            "INKWIRE_API_PUBLIC_URL": self.public_url,
            "INKWIRE_API_DEV_SIGN_IN": str(local).lower(),
            "OPENAI_MODEL": self._model(),
        }

    def _generator_environment(self, port: int) -> dict[str, str]:
        provider = {name: os.environ[name] for name in PROVIDER_VARIABLES if os.environ.get(name)}
        if self.simulated:
            provider = {
                "OPENAI_BASE_URL": f"http://127.0.0.1:{self.ports.simulator}/v1",
                "OPENAI_API_KEY": "simulator-needs-no-key",
            }
        if model := self._model():
            provider["OPENAI_MODEL"] = model
        return self._health("GENERATOR", port) | provider

    def _model(self) -> str:
        return SIMULATED_MODEL if self.simulated else os.environ.get("OPENAI_MODEL", "")


def _url_host(host: str) -> str:
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - comparing, not binding
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


async def provision_local(nats_url: str) -> list[str]:
    """Create the streams and consumers of a local Inkwire."""
    async with connected(nats_url, "up") as client:
        jetstream = JetStream(client)
        await jetstream.start()
        plan = topology(events_max_bytes=EVENTS_MAX_BYTES, conversations_max_bytes=CONVERSATIONS_MAX_BYTES)
        return await provision(jetstream, plan)


async def run_up(options: Options, terminal: Terminal) -> int:
    """Start everything, say where it is, wait for a signal, stop everything; returns the exit code.

    Raises:
        StartFailed: something did not start; what had started was stopped.
    """
    wanted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, wanted.set)
    launcher = Launcher(terminal)
    tiers: dict[str, int] = {}
    async with aiohttp.ClientSession() as session:
        table = Table(options, choose_ports(options.generators), session)
        starting = asyncio.create_task(_start(table, launcher, tiers, terminal), name="start")
        stop = asyncio.create_task(wanted.wait(), name="stop wanted")
        try:
            await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stop
            starting.cancel()
            terminal.note("stopping")
        finally:
            await launcher.stop(tiers)
            stop.cancel()
    return 0


async def _start(table: Table, launcher: Launcher, tiers: dict[str, int], terminal: Terminal) -> None:
    async def tier(*programs: Program) -> None:
        tiers.update({program.name: program.tier for program in programs})
        await launcher.start_tier(programs)

    await tier(table.broker())
    for line in await provision_local(table.nats_url):
        terminal.note(line)
    # The simulator has its own tier number only for the order of stopping; it starts beside the services.
    await tier(*([table.simulator()] if table.simulated else []), *table.services())
    await tier(table.proxy())
    table.options.data.write_state(Running(os.getpid(), table.public_url, table.nats_url, table.store_url))
    _announce(table, terminal)


def _announce(table: Table, terminal: Terminal) -> None:
    ports = table.ports
    terminal.note(f"api 127.0.0.1:{ports.api}, gateway 127.0.0.1:{ports.gateway}, nats 127.0.0.1:{ports.nats}")
    terminal.note(f"data in {table.options.data.root.absolute()}")
    terminal.note(model_line(os.environ))
    terminal.note(f"Inkwire is ready: {table.public_url}")
