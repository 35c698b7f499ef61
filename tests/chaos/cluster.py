"""Every process of Inkwire, each started on its own, and what can be done to it."""

import asyncio
import contextlib
import json
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import new_id
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_chassis.provisioning import provision
from inkwire_contracts.topology import EVENTS, topology
from tests.chaos.broken import BROKEN_IN
from tests.chaos.faults import LEADER, NATS, NODES, SERVICES, STORE, TWO_NODES, Fault
from tests.chaos.pacing import pause
from tests.support.nats_cluster import NatsCluster
from tests.support.nats_server import NatsServer
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import ManagedProcess, ProcessEnded, ServiceProcess, http_status, process_exists
from tests.support.sim import SimServer
from tests.support.wait import eventually

ROOT: Final = Path(__file__).parents[2]
SECRET: Final = "k" * 40
PASSWORD: Final = "matrix"
EVENTS_MAX_BYTES: Final = 512 * 1024**2
CUT_EVERY_S: Final = 0.05
"""A client comes back after 0.1 s: cut this often, it is hardly ever there."""

MANY_ATTEMPTS: Final = "1000"
"""Here the workers die, not the posts: none of them is poison however often its worker is killed."""

_NATS_CONFIG: Final = """
accounts {{
  APP {{ jetstream: enabled, users: [ {users} ] }}
  SYS {{ users: [ {{ user: sys, password: {password} }} ] }}
}}
system_account: SYS
no_auth_user: driver
"""

NODE_BACK_TIMEOUT_S: Final = 60.0
"""A server of a cluster is back once it is caught up in every stream and consumer."""


@dataclass(slots=True)
class Done:
    """A fault as it happened."""

    fault: Fault
    began_s: float
    over_s: float | None = None
    """When its target was ready again, or was hit again."""


@dataclass(slots=True)
class _Part:
    process: ServiceProcess
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Cluster:
    """The processes of one run. Made by `cluster`."""

    def __init__(
        self,
        folder: Path,
        *,
        lease_s: float,
        tokens_per_s: float,
        broken: str | None,
        aim: str | None,
        nodes: int,
    ) -> None:
        self.folder = folder
        self.lease_s = lease_s
        self.done: list[Done] = []
        self.deaths: list[str] = []
        self.pids: set[int] = set()
        self.store_path = folder / "posts.sqlite3"
        self._broken = broken
        self._over = asyncio.Event()
        self._let_go = threading.Event()
        self._nats_lock = asyncio.Lock()
        self._store_lock = asyncio.Lock()
        self._ports = {name: free_port() for name in SERVICES}
        # One event at a time: what a locked store refuses is overtaken by the next event. The rule makes that harmless.
        self._persister_settings = {"INKWIRE_PERSISTER_BATCH_MESSAGES": "1"} if aim == "prev-check" else {}
        self._keys = KeyRing.parse(f"k1:{SECRET}", "inkwire")
        names = (*SERVICES, "driver")
        users = ", ".join(f"{{ user: {json.dumps(name)}, password: {PASSWORD} }}" for name in names)
        config = _NATS_CONFIG.format(users=users, password=PASSWORD)
        self._nats_cluster = NatsCluster(folder / "nats", extra_config=config) if nodes > 1 else None
        alone = NatsServer(folder / "nats", port=free_port(), monitoring_port=free_port(), extra_config=config)
        self._nats = [alone] if self._nats_cluster is None else self._nats_cluster.nodes
        self.sim = SimServer(tokens_per_s=tokens_per_s, ttft_ms=100)
        self._parts: dict[str, _Part] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sys: Client | None = None

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['api']}"

    @property
    def gateways(self) -> list[str]:
        """WebSocket URLs."""
        return [f"ws://{LOOPBACK}:{self._ports[name]}/ws" for name in ("gateway-1", "gateway-2")]

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.store_path}"

    @property
    def nats_url(self) -> str:
        """All servers, for the driver itself."""
        return self._nats_url("driver")

    def token(self, owner: str) -> str:
        """A token as the api would mint it."""
        return self._keys.mint(owner, now=datetime.now(UTC), lifetime_s=3_600, jti=new_id())

    def processes(self) -> list[ManagedProcess]:
        """All of them, for their logs."""
        return [part.process for part in self._parts.values()] + [
            *(server.process for server in self._nats),
            self.sim.process,
        ]

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self, over: contextlib.AsyncExitStack) -> None:
        """Start all: the broker first; then everything at once, because any order must work."""
        over.callback(self._kill_all)
        if self._nats_cluster is not None:
            self._nats_cluster.start()
        else:
            self._nats[0].start()
        self.sim.start()
        self._parts = {name: _Part(self._service(name)) for name in SERVICES}
        for part in self._parts.values():
            part.process.start()
        await self._provision()
        await asyncio.gather(*(part.process.ready(timeout_s=60) for part in self._parts.values()))
        sys_url = self._nats_url("sys")
        self._sys = await over.enter_async_context(connected(sys_url, "matrix"))
        self._note_pids()

    async def _provision(self) -> None:
        sizes = topology(
            replicas=len(self._nats),
            events_max_bytes=EVENTS_MAX_BYTES,
            conversations_max_bytes=1024**2,
            ack_wait_s=self.lease_s,
        )
        async with connected(self.nats_url, "matrix") as client:
            jetstream = JetStream(client)
            await jetstream.start()
            await provision(jetstream, sizes)

    def _service(self, name: str) -> ServiceProcess:
        service = name.partition("-")[0]
        argv = None
        if self._broken is not None and BROKEN_IN[self._broken] == service:
            argv = [sys.executable, "-m", "tests.chaos.broken", self._broken, service]
        port = self._ports[name]
        return ServiceProcess(
            service, env=self._environment(name, service, port), ready_url=f"http://{LOOPBACK}:{port}/readyz",
            argv=argv, cwd=ROOT,
        )  # fmt: skip

    def _environment(self, name: str, service: str, port: int) -> dict[str, str]:
        own = {
            "api": {"INKWIRE_API_PORT": str(port), "INKWIRE_API_PUBLIC_URL": self.api_url},
            "gateway": {"INKWIRE_GATEWAY_PORT": str(port), "INKWIRE_GATEWAY_LINGER_S": "2"},
            "persister": {
                "INKWIRE_PERSISTER_HEALTH_PORT": str(port),
                "INKWIRE_PERSISTER_PURGE_ENABLED": "false",  # the oracle reads logs from their beginning
                **self._persister_settings,
            },
            "generator": {
                "INKWIRE_GENERATOR_HEALTH_PORT": str(port),
                "INKWIRE_GENERATOR_NAME": name,
                "INKWIRE_GENERATOR_POISON_ATTEMPTS_COUNT": MANY_ATTEMPTS,
                "INKWIRE_GENERATOR_STUCK_ATTEMPTS_COUNT": MANY_ATTEMPTS,
                **self.sim.environment(),
            },
        }[service]
        return {
            "INKWIRE_NATS_URL": self._nats_url(name),
            "INKWIRE_STORE_URL": self.store_url,
            "INKWIRE_JWT_KEYS": f"k1:{SECRET}",
            "INKWIRE_SIMULATED": "true",
            **own,
        }

    def _nats_url(self, user: str) -> str:
        return ",".join(f"nats://{user}:{PASSWORD}@{LOOPBACK}:{server.port}" for server in self._nats)

    async def calm(self) -> None:
        """Wait until what was broken is whole again: every process is ready. Raises what went wrong in a fault."""
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        self._note_deaths()
        await asyncio.gather(*(part.process.ready(timeout_s=60) for part in self._parts.values()))

    async def stop(self) -> list[str]:
        """SIGTERM to all, services first; the processes of this run that are still there."""
        self._over.set()
        self._let_go.set()
        self._note_deaths()
        for part in self._parts.values():
            try:
                status = await part.process.terminated()
            except AssertionError as error:
                self.deaths.append(str(error))
            else:
                if status != 0:
                    self.deaths.append(f"{part.process.name} ended with {status} on SIGTERM")
        self.sim.stop()
        for server in self._nats:
            server.stop()
        return [f"process {pid}" for pid in sorted(self.pids) if process_exists(pid)]

    def _kill_all(self) -> None:
        self._over.set()
        self._let_go.set()
        for process in self.processes():
            process.kill9()

    def _note_pids(self) -> None:
        self.pids |= {process.pid for process in self.processes()}

    def _note_deaths(self) -> None:
        """Nobody but the matrix ends a process: one that is gone by itself is a finding, and started again."""
        for name, part in self._parts.items():
            if not part.lock.locked() and not part.process.running:
                tail = part.process.tail(15)
                self.deaths.append(f"{name} ended by itself with {part.process.returncode}:\n{tail}")
                part.process.start()
                self._note_pids()

    # -- faults ------------------------------------------------------------------------------------------------

    def hit(self, fault: Fault) -> None:
        """Let a fault happen; it waits for the one before on the same target. Returns at once."""
        task = asyncio.ensure_future(self._hit(fault))
        self._tasks.add(task)

    async def _hit(self, fault: Fault) -> None:
        if fault.target.startswith(NATS):
            await self._hit_nats(fault)
        elif fault.target == STORE:
            async with self._store_lock:
                done = self._begin(fault)
                await asyncio.to_thread(self._lock_store, fault.hold_s)
                done.over_s = time.time()
        elif fault.kind == "cut":
            done = self._begin(fault)
            await self._cut(fault.target, fault.hold_s)
            done.over_s = time.time()
        else:
            await self._hit_process(fault, self._parts[fault.target])

    def _begin(self, fault: Fault) -> Done:
        done = Done(fault, time.time())
        self.done.append(done)
        return done

    async def _hit_process(self, fault: Fault, part: _Part) -> None:
        async with part.lock:
            if not part.process.running:
                self.deaths.append(f"{fault.target} ended by itself:\n{part.process.tail(15)}")
                part.process.start()
            done = self._begin(fault)
            if fault.kind == "freeze":
                part.process.pause()
                await pause(self._over, fault.hold_s)
                part.process.resume()
                done.over_s = time.time()
                return
            part.process.kill9()
            await pause(self._over, fault.hold_s)
            part.process.start()
            self._note_pids()
        with contextlib.suppress(AssertionError, ProcessEnded):  # killed again meanwhile: that is a fault of its own
            await part.process.ready(timeout_s=60)
        done.over_s = time.time()

    async def _hit_nats(self, fault: Fault) -> None:
        """One fault at a time: the next waits until all servers are whole, so that a quorum is lost only on purpose."""
        async with self._nats_lock:
            hit = await self._servers(fault.target)
            done = self._begin(fault)
            for server in hit:
                await self._take_away(fault, server)
            await pause(self._over, fault.hold_s)
            for server in hit:
                if fault.kind == "freeze":
                    server.process.resume()
                else:
                    server.process.start()
            self._note_pids()
            await eventually(self._nats_healthy, what="NATS is healthy", timeout_s=NODE_BACK_TIMEOUT_S)
            done.over_s = time.time()

    async def _take_away(self, fault: Fault, server: NatsServer) -> None:
        if fault.kind == "freeze":
            server.process.pause()
        elif fault.kind == "term":
            await asyncio.to_thread(server.stop)
        else:
            server.kill9()

    async def _servers(self, target: str) -> list[NatsServer]:
        if self._nats_cluster is None:
            return self._nats
        if target in NODES:
            return [self._nats[NODES.index(target)]]
        assert target in (LEADER, TWO_NODES)
        leader = await asyncio.to_thread(self._nats_cluster.leader, EVENTS)
        return [leader, *self._nats_cluster.others(leader)[: 1 if target == TWO_NODES else 0]]

    async def _nats_healthy(self) -> bool:
        urls = [f"{server.monitoring_url}/healthz" for server in self._nats]
        answers = await asyncio.gather(*(asyncio.to_thread(http_status, url) for url in urls))
        return all(status == 200 for status, _ in answers)

    def _lock_store(self, hold_s: float) -> None:
        """Another writer holds the file: SQLite has one at a time."""
        connection = sqlite3.connect(self.store_path, timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._let_go.wait(hold_s)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    async def _cut(self, user: str, hold_s: float) -> None:
        """The server throws a service's connection out again and again: it is as good as off the network."""
        ends_s = time.monotonic() + hold_s
        while time.monotonic() < ends_s and not self._over.is_set():
            with contextlib.suppress(AssertionError, NatsError, OSError, ValueError, HTTPException):
                await self._kick(user)
            await pause(self._over, CUT_EVERY_S)

    async def _kick(self, user: str) -> None:
        assert self._sys is not None
        for server in self._nats:
            if not server.process.running:
                continue
            listed = await asyncio.to_thread(server.monitor, "connz?auth=1&limit=100")
            for connection in listed["connections"]:
                if connection.get("authorized_user") == user:
                    body = json.dumps({"cid": connection["cid"]}).encode()
                    await self._sys.request(f"$SYS.REQ.SERVER.{listed['server_id']}.KICK", body, timeout=1)


@asynccontextmanager
async def cluster(
    folder: Path,
    *,
    lease_s: float,
    tokens_per_s: float,
    broken: str | None = None,
    aim: str | None = None,
    nodes: int = 1,
) -> AsyncIterator[Cluster]:
    """All processes for the length of a block; none of them outlives it."""
    async with contextlib.AsyncExitStack() as stack:
        started = Cluster(folder, lease_s=lease_s, tokens_per_s=tokens_per_s, broken=broken, aim=aim, nodes=nodes)
        await started.start(stack)
        yield started
