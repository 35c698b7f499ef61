"""Every process of Inkwire started on its own, over a store of the test's choice: for tests that break one of them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inkwire.client import Client
from inkwire_chassis.auth import DEFAULT_SCOPES, KeyRing
from inkwire_chassis.clock import new_id
from tests.support.nats_server import NatsServer
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import ManagedProcess, ServiceProcess, http_status
from tests.support.sim import SimServer
from tests.support.wait import scaled_s

ROOT: Final = Path(__file__).parents[2]
SERVICES: Final = ("persister", "api", "generator", "gateway")
SECRET: Final = "s" * 40
READY_S: Final = 120.0
COMMAND_S: Final = 120.0
OWNER: Final = "ana"


class System:
    """nats-server, simulator and the four services. Made by `running_system`."""

    def __init__(self, folder: Path, store_url: str, *, tokens_per_s: float) -> None:
        self.nats = NatsServer(folder / "nats")
        self.sim = SimServer(tokens_per_s=tokens_per_s, ttft_ms=50)
        self.store_url = store_url
        self.services: dict[str, ServiceProcess] = {}
        self._ports = {name: free_port() for name in SERVICES}

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['api']}"

    def client(self) -> Client:
        """A caller with a token of the owner, to be entered."""
        token = KeyRing.parse(f"k1:{SECRET}", "inkwire").mint(
            OWNER, now=datetime.now(UTC), lifetime_s=3_600, jti=new_id(), scopes=DEFAULT_SCOPES
        )
        return Client(self.api_url, token=token, websocket_url=f"ws://{LOOPBACK}:{self._ports['gateway']}/ws")

    def start(self) -> None:
        """Start everything and wait until it is ready."""
        self.nats.start()
        self.sim.start()
        self.services = {name: self._service(name) for name in SERVICES}
        for service in self.services.values():
            service.start()
        self.provision()
        for service in self.services.values():
            service.wait_ready(timeout_s=READY_S)

    async def ready(self) -> None:
        """Wait until every service is ready."""
        await asyncio.gather(*(service.ready(timeout_s=READY_S) for service in self.services.values()))

    def provision(self) -> str:
        """`inkwire provision`, as an operator runs it; what it said."""
        argv = [sys.executable, "-m", "inkwire", "provision", "--nats-url", self.nats.url]
        argv += ["--events-max-bytes", str(256 * 1024**2), "--conversations-max-bytes", str(1024**2)]
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=scaled_s(COMMAND_S)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def readiness(self, name: str) -> tuple[int, dict[str, str]]:
        """Status and checks of a service's /readyz. It must be alive whatever is away."""
        service = self.services[name]
        service.assert_running()
        alive, body = http_status(service.ready_url.replace("/readyz", "/livez"))
        assert alive == 200, f"/livez of {name} answers {alive}: {body}"
        status, body = http_status(service.ready_url)
        assert status in (200, 503), f"/readyz of {name} answers {status}: {body}"
        return status, json.loads(body)["checks"]

    def metric(self, name: str) -> int:
        """One of the persister's counters."""
        url = self.services["persister"].ready_url.replace("/readyz", "/metrics")
        status, body = http_status(url, most_bytes=20_000)
        assert status == 200, body
        (line,) = [line for line in body.splitlines() if line.startswith(f"inkwire_persister_{name}_total ")]
        return int(line.rsplit(" ", 1)[1])

    def processes(self) -> list[ManagedProcess]:
        return [*self.services.values(), self.sim.process, self.nats.process]

    def _service(self, name: str) -> ServiceProcess:
        port = str(self._ports[name])
        own = {
            "api": {"INKWIRE_API_PORT": port, "INKWIRE_API_PUBLIC_URL": self.api_url},
            "gateway": {"INKWIRE_GATEWAY_PORT": port},
            "persister": {"INKWIRE_PERSISTER_HEALTH_PORT": port, "INKWIRE_PERSISTER_LONGEST_RETRY_S": "5"},
            "generator": {"INKWIRE_GENERATOR_HEALTH_PORT": port, **self.sim.environment()},
        }[name]
        environment = {
            "INKWIRE_NATS_URL": self.nats.url,
            "INKWIRE_STORE_URL": self.store_url,
            "INKWIRE_JWT_KEYS": f"k1:{SECRET}",
            "INKWIRE_SIMULATED": "true",
            "INKWIRE_STOP_TIMEOUT_S": "20",
            **own,
        }
        return ServiceProcess(name, env=environment, ready_url=f"http://{LOOPBACK}:{port}/readyz", cwd=ROOT)


@contextmanager
def running_system(folder: Path, store_url: str, *, tokens_per_s: float = 200) -> Iterator[System]:
    """The whole system for the length of a block; logs are printed if it fails, and no process outlives it."""
    system = System(folder, store_url, tokens_per_s=tokens_per_s)
    try:
        system.start()
        yield system
        for service in system.services.values():
            assert service.term() == 0, service.tail()
    except BaseException:
        for process in system.processes():
            print(process.tail(30))
        raise
    finally:
        for process in system.processes():
            process.kill9()
