"""The processes of a benchmark, and what they cost: started on loopback, measured by /proc, ended by their own ids."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, ServiceProcess

ROOT = Path(__file__).resolve().parents[1]
JWT_KEYS = "bench:" + "b" * 40
MAX_READERS = 10_000
"""All of one owner, over one gateway."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Plan:
    """Which parts, in which form."""

    sync_interval: str = "always"
    generators: int = 1
    caddy: bool = False
    profile: Path | None = None
    """Folder for cProfile's output of generators and gateway; None: they run as they are."""
    sections: int = 1
    posts_per_worker: int = 128
    simulator_tokens_per_s: float | None = None
    """The provider is the simulator, at this speed; None: it is the clock."""
    api: bool = False
    """The api runs too."""


class Broker(NatsServer):
    """nats-server with a chosen sync_interval."""

    def __init__(self, folder: Path, sync_interval: str) -> None:
        super().__init__(folder)
        self._sync_interval = sync_interval

    def _config(self) -> str:
        return super()._config().replace("sync_interval: always", f"sync_interval: {self._sync_interval}")


@dataclass
class Rig:
    """Everything that runs."""

    provider_url: str
    passthrough_url: str
    nats_url: str
    socket_url: str
    """Where readers connect: the gateway, or the proxy before it."""
    folder: Path
    """What the broker and the store write to."""
    processes: dict[str, ManagedProcess] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    """Environment of every service."""
    stack: ExitStack = field(default_factory=ExitStack)
    """What the end of the rig ends."""
    api_url: str = ""
    """Where the api is, if it runs."""

    def start_worker(self, name: str) -> ServiceProcess:
        """One more generator, called so in claims; wait for its readiness yourself. Call it from the main thread."""
        port = free_port()
        environment = {
            **self.shared,
            "INKWIRE_GENERATOR_HEALTH_PORT": str(port),
            "INKWIRE_GENERATOR_NAME": name,
        }
        url = f"http://127.0.0.1:{port}/readyz"
        worker = ServiceProcess(name, env=environment, ready_url=url, argv=_service("generator"), cwd=ROOT)
        worker.start()
        self.stack.callback(worker.kill9)
        return worker

    def cpu_s(self) -> dict[str, float]:
        """Processor time of each part so far, this process included."""
        used = {name: _cpu_s(process.pid) for name, process in self.processes.items()}
        return {**used, "client": _cpu_s(os.getpid())}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def machine_busy_s() -> float:
    """Processor time that everything on this machine has used."""
    user, nice, system, _idle, _iowait, irq, soft_irq, steal = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + soft_irq + steal) / TICKS_PER_S


def fsync_ms(folder: Path, writes: int = 200) -> list[float]:
    """How long the disk takes to keep 400 bytes, in order of size."""
    taken: list[float] = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(writes):
            file.write(b"x" * 400)
            start_s = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - start_s) * 1e3)
    return sorted(taken)


@contextmanager
def running(plan: Plan, folder: Path) -> Iterator[Rig]:
    """Provider, pass-through, broker and the services, for the length of a block. Call it from the main thread."""
    with ExitStack() as stack:
        provider = free_port()
        processes = {"provider": _ready(stack, "provider", _provider(plan, provider), provider, "/livez")}
        provider_url = f"http://127.0.0.1:{provider}"
        passthrough = free_port()
        argv = [sys.executable, "-m", "benchmarks.passthrough", f"--port={passthrough}"]
        argv.append(f"--provider={provider_url}/v1")
        processes["pass-through"] = _ready(stack, "pass-through", argv, passthrough, "/livez")
        broker = Broker(folder / "nats", plan.sync_interval).start()
        stack.callback(broker.stop)
        processes["nats"] = broker.process
        _provision(broker.url)
        gateway, api = free_port(), free_port()
        shared = {
            "INKWIRE_NATS_URL": broker.url,
            "INKWIRE_STORE_URL": f"sqlite:///{folder / 'posts.sqlite3'}",
            "INKWIRE_JWT_KEYS": JWT_KEYS,
            "INKWIRE_GATEWAY_PORT": str(gateway),
            "INKWIRE_GATEWAY_API_URL": f"http://127.0.0.1:{api}",
            "INKWIRE_GATEWAY_MAX_OWNER_CONNECTIONS": str(MAX_READERS),
            "INKWIRE_GENERATOR_POSTS": str(plan.posts_per_worker),
            "INKWIRE_LOG_LEVEL": "warning",
            "OPENAI_BASE_URL": f"{provider_url}/v1",
            "OPENAI_API_KEY": "clock",
            "OPENAI_MODEL": "clock",
        }
        health = free_port()
        persister = {**shared, "INKWIRE_PERSISTER_HEALTH_PORT": str(health)}
        processes["persister"] = _ready(stack, "persister", _service("persister"), health, "/readyz", persister)
        for number in range(1, plan.generators + 1):
            name, health = f"generator {number}" if plan.generators > 1 else "generator", free_port()
            argv = _service("generator", plan.profile and plan.profile / f"generator-{number}.prof")
            environment = {**shared, "INKWIRE_GENERATOR_HEALTH_PORT": str(health)}
            processes[name] = _ready(stack, name, argv, health, "/readyz", environment)
        argv = _service("gateway", plan.profile and plan.profile / "gateway.prof")
        processes["gateway"] = _ready(stack, "gateway", argv, gateway, "/readyz", shared)
        if plan.api:
            processes["api"] = _ready(stack, "api", _service("api"), api, "/readyz", {**shared, **_api(api)})
        public = gateway
        if plan.caddy:
            public = free_port()
            processes["caddy"] = _caddy(stack, folder, public, gateway)
        socket_url = f"ws://127.0.0.1:{public}/ws"
        direct = f"http://127.0.0.1:{passthrough}"
        api_url = f"http://127.0.0.1:{api}" if plan.api else ""
        yield Rig(provider_url, direct, broker.url, socket_url, folder, processes, shared, stack, api_url)


def _provider(plan: Plan, port: int) -> list[str]:
    if plan.simulator_tokens_per_s is None:
        return [sys.executable, "-m", "benchmarks.clock_provider", f"--port={port}", f"--sections={plan.sections}"]
    speed = [f"--tokens-per-s={plan.simulator_tokens_per_s}", "--ttft-ms=0"]
    return [sys.executable, "-m", "inkwire_openai_sim", "--host=127.0.0.1", f"--port={port}", *speed]


def _api(port: int) -> dict[str, str]:
    """Bounds that a benchmark does not meet."""
    return {
        "INKWIRE_API_PORT": str(port),
        "INKWIRE_API_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "INKWIRE_API_MAX_OPEN_POSTS": "10000",
        "INKWIRE_API_POSTS_PER_S": "1000",
        "INKWIRE_API_POSTS_BURST": "1000",
    }


def _service(name: str, profile: Path | None = None) -> list[str]:
    watch = ["-m", "cProfile", "-o", str(profile)] if profile else []
    return [sys.executable, *watch, "-m", f"inkwire_{name}.main"]


def _ready(
    stack: ExitStack, name: str, argv: list[str], port: int, path: str, environment: dict[str, str] | None = None
) -> ManagedProcess:
    url = f"http://127.0.0.1:{port}{path}"
    process = ServiceProcess(name, env=environment or {}, ready_url=url, argv=argv, cwd=ROOT)
    process.start()
    stack.callback(process.term)
    return process.wait_ready()


def _caddy(stack: ExitStack, folder: Path, public: int, gateway: int) -> ManagedProcess:
    environment = {
        "INKWIRE_PROXY_ADDRESS": f"http://:{public}",
        "INKWIRE_PROXY_BIND": "127.0.0.1",
        "INKWIRE_PROXY_GRACE": "1s",
        "INKWIRE_API_UPSTREAMS": f"127.0.0.1:{gateway}",
        "INKWIRE_GATEWAY_UPSTREAMS": f"127.0.0.1:{gateway}",
        "XDG_DATA_HOME": str(folder / "caddy"),
        "XDG_CONFIG_HOME": str(folder / "caddy"),
    }
    program = str(Path(sys.executable).parent / "caddy")
    argv = [program, "run", "--config", str(ROOT / "deploy" / "Caddyfile"), "--adapter", "caddyfile"]
    return _ready(stack, "caddy", argv, public, "/livez", environment)


def _provision(nats_url: str) -> None:
    argv = [sys.executable, "-c", _PROVISION, nats_url]
    process = ManagedProcess("provision", argv, cwd=ROOT).start()
    process.wait_line("^provisioned$")
    process.term()


_PROVISION = """
import asyncio, sys
from inkwire.provisioning import provision_local
asyncio.run(provision_local(sys.argv[1]))
print("provisioned", flush=True)
"""
