"""The table of programs of a local Inkwire: which, with which arguments, and with only the environment each needs."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from inkwire.data_dir import DataDir
from inkwire.launcher import Program, StartFailed, base_environment
from inkwire.network import LOOPBACK, free_ports, free_row, http_ready, url_host
from inkwire_chassis.machine import SHARES_PORTS
from inkwire_chassis.settings import DEFAULT_MODEL, OPENAI_URL

PROVIDER_ACCESS = ("OPENAI_API_KEY", "OPENAI_API_KEY_FILE", "OPENAI_BASE_URL")
PROVIDER_VARIABLES = (*PROVIDER_ACCESS, "OPENAI_MODEL", "OPENAI_MAX_TOKENS")
SIMULATED_MODEL = "inkwire-simulator"
SIMULATED_PREFIX = "simulated-"
"""Before an embedding model's name, so that vectors of the simulator are never taken for the model's own."""
SERVICES = ("api", "gateway", "generator", "persister")
STOP_SERVICES, STOP_AROUND, STOP_BROKER = range(3)
"""Services first: while they close streams and hand work back, proxy, simulator and broker still serve them."""

NATS_CHATTER = ("[INF]", "Healthcheck failed")
"""Lines of nats-server that nobody needs: its every step, and that it was asked before it was ready."""

PROXY_GRACE = "1s"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line chose."""

    data: DataDir
    host: str
    port: int
    generators: int
    tokens_per_s: float
    gateway_workers: int = 1


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ports on loopback, chosen at start."""

    nats: int
    nats_http: int
    api: int
    gateway: int
    """Where the kernel shares no port among processes, the first of as many as there are workers."""
    persister: int
    simulator: int
    generators: tuple[int, ...]

    def __iter__(self) -> Iterator[int]:
        """Each of them; of gateways that share none, the first."""
        yield from (self.nats, self.nats_http, self.api, self.gateway, self.persister, self.simulator)
        yield from self.generators


def choose_ports(options: Options) -> Ports:
    """All ports that the processes need, none of them the public one, on which nobody listens yet."""
    generators, listeners = options.generators, 1 if SHARES_PORTS else options.gateway_workers
    gateway = free_row(listeners, public=options.port)
    given = {options.port, *range(gateway, gateway + listeners)}
    chosen = [port for port in free_ports(5 + generators + len(given)) if port not in given]
    nats, nats_http, api, persister, simulator = chosen[:5]
    return Ports(nats, nats_http, api, gateway, persister, simulator, tuple(chosen[5 : 5 + generators]))


def binary(name: str) -> str | None:
    """A program of our own environment, else of the path; None if it is nowhere."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def required_binary(name: str) -> str:
    """:func:`binary`, or the reason to stop.

    Raises:
        StartFailed: it is nowhere.
    """
    found = binary(name)
    if found is None:
        raise StartFailed(f"{name} is missing: run `./run sync`, then `./run doctor`")
    return found


def caddyfile() -> Path | None:
    """The one Caddyfile, in the checkout this package belongs to; None outside of one."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "deploy" / "Caddyfile").exists():
            return folder / "deploy" / "Caddyfile"
    return None


def uses_simulator(environment: Mapping[str, str]) -> bool:
    """No key and no own address: then the simulator writes."""
    return not any(environment.get(name) for name in PROVIDER_ACCESS)


def writer_line(environment: Mapping[str, str]) -> str:
    """Who writes, for people."""
    if uses_simulator(environment):
        return "No OPENAI_API_KEY: a simulator writes the texts. Set OPENAI_API_KEY to use a real model."
    host = urlsplit(environment.get("OPENAI_BASE_URL") or OPENAI_URL).netloc.rpartition("@")[2]
    return f"Texts are written by {environment.get('OPENAI_MODEL') or DEFAULT_MODEL} at {host}."


class Table:
    """Builds the rows."""

    def __init__(
        self, options: Options, ports: Ports, session: aiohttp.ClientSession, environment: Mapping[str, str]
    ) -> None:
        self.options = options
        self.ports = ports
        self.session = session
        self.environment = environment
        self.nats_url = f"nats://127.0.0.1:{ports.nats}"
        self.store_url = environment.get("INKWIRE_STORE_URL") or options.data.default_store_url
        self.public_url = f"http://{url_host(options.host)}:{options.port}"
        self.simulated = uses_simulator(environment)

    def broker(self) -> Program:
        """nats-server; it keeps what it acknowledged (sync_interval always)."""
        root = self.options.data.root.absolute()
        config = root / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.ports.nats}"\n'
            f'http: "127.0.0.1:{self.ports.nats_http}"\n'
            f"jetstream {{ store_dir: {_nats_string(root / 'nats')}, sync_interval: always }}\n",
            encoding="utf-8",
        )
        ready = http_ready(self.session, f"http://127.0.0.1:{self.ports.nats_http}/healthz")
        argv = [required_binary("nats-server"), "-c", str(config)]
        return Program("nats", argv, ready, STOP_BROKER, base_environment(), hidden=NATS_CHATTER)

    def simulator(self) -> Program:
        """The OpenAI-compatible simulator; it sees no secret of ours."""
        argv = [sys.executable, "-m", "inkwire_openai_sim", "--host", "127.0.0.1"]
        argv += ["--port", str(self.ports.simulator), "--tokens-per-s", str(self.options.tokens_per_s)]
        ready = http_ready(self.session, f"http://127.0.0.1:{self.ports.simulator}/livez")
        return Program("simulator", argv, ready, STOP_AROUND, _python_environment())

    def services(self) -> list[Program]:
        """The four services."""
        ports = self.ports
        rows = [
            self._service("persister", "persister", ports.persister, self._health("PERSISTER", ports.persister)),
            self._service("api", "api", ports.api, self._api_environment()),
            self._service("gateway", "gateway", ports.gateway, self._gateway_environment()),
        ]
        for number, port in enumerate(ports.generators, start=1):
            name = "generator" if len(ports.generators) == 1 else f"generator-{number}"
            rows.append(self._service(name, "generator", port, self._generator_environment(port)))
        return rows

    def proxy(self) -> Program:
        """Caddy, ready when the api answers through it.

        Raises:
            StartFailed: there is no Caddyfile, or no caddy.
        """
        config = caddyfile()
        if config is None:
            raise StartFailed("deploy/Caddyfile is missing: run `inkwire up` from a checkout of Inkwire")
        caddy_home = str(self.options.data.root.absolute() / "caddy")
        environment = base_environment() | {
            "INKWIRE_PROXY_ADDRESS": f"http://:{self.options.port}",
            "INKWIRE_PROXY_BIND": self.options.host,
            "INKWIRE_PROXY_GRACE": PROXY_GRACE,
            "INKWIRE_API_UPSTREAMS": f"127.0.0.1:{self.ports.api}",
            "INKWIRE_GATEWAY_UPSTREAMS": self._gateway_upstreams(),
            "XDG_DATA_HOME": caddy_home,
            "XDG_CONFIG_HOME": caddy_home,
        }
        argv = [required_binary("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]
        return Program("caddy", argv, http_ready(self.session, f"{self.public_url}/livez"), STOP_AROUND, environment)

    def _gateway_upstreams(self) -> str:
        listeners = 1 if SHARES_PORTS else self.options.gateway_workers
        return " ".join(f"127.0.0.1:{self.ports.gateway + n}" for n in range(listeners))

    def _service(self, name: str, package: str, port: int, environment: dict[str, str]) -> Program:
        ready = http_ready(self.session, f"http://127.0.0.1:{port}/readyz")
        argv = [sys.executable, "-m", f"inkwire_{package}.main"]
        return Program(name, argv, ready, STOP_SERVICES, self._shared(package) | environment)

    def _shared(self, service: str) -> dict[str, str]:
        """Settings that somebody chose for this service or for all, and where everything is."""
        others = tuple(f"INKWIRE_{other.upper()}_" for other in (*SERVICES, "proxy") if other != service)
        chosen = {
            name: value
            for name, value in self.environment.items()
            if name.startswith("INKWIRE_") and not name.startswith((*others, "INKWIRE_JWT_KEYS"))
        }
        return (
            _python_environment()
            | {"INKWIRE_LOG_FORMAT": "human", "INKWIRE_LOG_LEVEL": "info"}
            | chosen
            | {
                "INKWIRE_NATS_URL": self.nats_url,
                "INKWIRE_STORE_URL": self.store_url,
                "INKWIRE_SIMULATED": str(self.simulated).lower(),
            }
        )

    def _keys(self) -> dict[str, str]:
        """Only for those who mint or verify tokens."""
        return {"INKWIRE_JWT_KEYS_FILE": str(self.options.data.jwt_keys.absolute())}

    def _listen(self, service: str, port: int) -> dict[str, str]:
        return {f"INKWIRE_{service}_HOST": "127.0.0.1", f"INKWIRE_{service}_PORT": str(port)}

    def _health(self, service: str, port: int) -> dict[str, str]:
        return {f"INKWIRE_{service}_HEALTH_HOST": "127.0.0.1", f"INKWIRE_{service}_HEALTH_PORT": str(port)}

    def _gateway_environment(self) -> dict[str, str]:
        own = {
            "INKWIRE_GATEWAY_API_URL": f"http://127.0.0.1:{self.ports.api}",
            "INKWIRE_GATEWAY_WORKERS": str(self.options.gateway_workers),
            "INKWIRE_GATEWAY_WORKER_PORTS": "auto",
        }
        return self._listen("GATEWAY", self.ports.gateway) | self._keys() | own

    def _api_environment(self) -> dict[str, str]:
        local = self.options.host in LOOPBACK
        return (
            self._listen("API", self.ports.api)
            | self._keys()
            | {
                "INKWIRE_API_PUBLIC_URL": self.public_url,
                "INKWIRE_API_DEV_SIGN_IN": str(local).lower(),
                "OPENAI_MODEL": self._model(),
            }
            | self._embedding()
        )

    def _generator_environment(self, port: int) -> dict[str, str]:
        provider = self._provider(PROVIDER_VARIABLES) | {"OPENAI_MODEL": self._model()}
        return self._health("GENERATOR", port) | provider | self._embedding()

    def _provider(self, names: tuple[str, ...]) -> dict[str, str]:
        provider = {name: self.environment[name] for name in names if self.environment.get(name)}
        if self.simulated:
            provider |= {
                "OPENAI_BASE_URL": f"http://127.0.0.1:{self.ports.simulator}/v1",
                "OPENAI_API_KEY": "simulator-needs-no-key",
            }
        return provider

    def _embedding(self) -> dict[str, str]:
        """For who embeds: the model, and how to reach it. The api has the key only where it needs it for this."""
        chosen = self.environment.get("INKWIRE_EMBEDDING_MODEL", "")
        if not chosen:
            return {}
        model = SIMULATED_PREFIX + chosen if self.simulated else chosen
        return {"INKWIRE_EMBEDDING_MODEL": model} | self._provider(PROVIDER_ACCESS)

    def _model(self) -> str:
        return SIMULATED_MODEL if self.simulated else self.environment.get("OPENAI_MODEL") or DEFAULT_MODEL


def _python_environment() -> dict[str, str]:
    """Lines of a Python program reach us when they are written, not when a buffer is full."""
    return base_environment() | {"PYTHONUNBUFFERED": "1"}


def _nats_string(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
