"""Throwaway servers that speak MongoDB's wire protocol, each named for what it is."""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import pymongo
from pymongo.errors import PyMongoError

from tests.support import docker
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import READY_TIMEOUT_S, ManagedProcess
from tests.support.report import Unavailable
from tests.support.wait import eventually_sync, scaled_s

FERRETDB_SOURCES: Final = Path(__file__).parent / "ferretdb"
CACHE: Final = Path(__file__).parents[2] / ".cache"
BUILD_TIMEOUT_S: Final = 300.0
PING_TIMEOUT_MS: Final = 2_000


@dataclass(frozen=True)
class MongoEndpoint:
    """A server that speaks MongoDB's wire protocol and that the run may use."""

    url: str
    label: str
    """What the run says it used; only MongoDB itself is called MongoDB."""
    is_mongodb: bool
    """Whether it is MongoDB itself; false for a server that lacks transactions, write concern and more."""


class MongoServer(Protocol):
    """A server that a test starts, stops, kills and starts again on its data and its port."""

    @property
    def url(self) -> str:
        """mongodb://HOST:PORT/"""

    def start(self) -> Self:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """End it as its operator would; nothing happens if it does not run."""

    def kill9(self) -> None:
        """SIGKILL."""


class Mongod:
    """MongoDB's own server as a process."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        argv = [binary, "--dbpath", str(folder), "--bind_ip", LOOPBACK, "--port", str(self._port)]
        self._process = ManagedProcess("mongod", [*argv, "--nounixsocket"])

    @property
    def url(self) -> str:
        """mongodb://127.0.0.1:PORT/"""
        return f"mongodb://{LOOPBACK}:{self._port}/"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process.start()
        await_ping(self.url, self._process)
        return self

    def stop(self) -> None:
        """SIGTERM and wait."""
        if self._process.running:
            self._process.term(timeout_s=30)

    def kill9(self) -> None:
        """SIGKILL."""
        self._process.kill9()


class FerretDB:
    """FerretDB 1.x over SQLite as a process: MongoDB's wire protocol, not MongoDB."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._address = f"{LOOPBACK}:0"  # the server chooses at the first start
        self._process = self._program()

    @property
    def url(self) -> str:
        """mongodb://127.0.0.1:PORT/"""
        return f"mongodb://{self._address}/"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self._process = self._program()
        self._process.start()
        ready = self._process.wait_line(r"^ready mongodb://(\S+)/$", timeout_s=READY_TIMEOUT_S)
        self._address = ready.group(1)
        await_ping(self.url, self._process)
        return self

    def stop(self) -> None:
        """SIGTERM and wait."""
        if self._process.running:
            self._process.term()

    def kill9(self) -> None:
        """SIGKILL."""
        self._process.kill9()

    def _program(self) -> ManagedProcess:
        self._folder.mkdir(parents=True, exist_ok=True)
        argv = [str(self._binary), "-addr", self._address, "-dir", str(self._folder / "data")]
        return ManagedProcess("ferretdb", argv, cwd=self._folder)


class MongoContainer:
    """MongoDB from its image, without a password, on a loopback port that a restart keeps."""

    def __init__(self, image: str) -> None:
        self._port = free_port()
        self._container = docker.container(image)
        # with_bind_ports knows no address, and a server without a password belongs on loopback alone.
        self._container.ports["27017/tcp"] = (LOOPBACK, self._port)
        self._started = False

    @property
    def url(self) -> str:
        """mongodb://127.0.0.1:PORT/"""
        return f"mongodb://{LOOPBACK}:{self._port}/"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        if self._started:
            self._container.get_wrapped_container().start()
        else:
            docker.start(self._container)
            self._started = True
        await_ping(self.url)
        return self

    def stop(self) -> None:
        """`docker stop`."""
        if self._started:
            self._container.get_wrapped_container().stop()

    def kill9(self) -> None:
        """`docker kill`."""
        if self._started:
            self._container.get_wrapped_container().kill()

    def remove(self) -> None:
        """Remove the container with its data."""
        if self._started:
            docker.remove(self._container)
            self._started = False


def ping(url: str) -> bool:
    """Whether a server answers within PING_TIMEOUT_MS; an error of the driver is raised as AssertionError."""
    with _client(url) as client:
        try:
            return bool(client.admin.command("ping")["ok"])
        except PyMongoError as error:
            raise AssertionError(f"no answer from {host_of(url)}: {type(error).__name__}") from error


def await_ping(url: str, process: ManagedProcess | None = None) -> None:
    """Wait until the server answers; stops early if its process ends."""

    def answers() -> bool:
        if process is not None:
            process.assert_running()
        return ping(url)

    eventually_sync(answers, what=f"{host_of(url)} answers a ping", timeout_s=60)


def identify(url: str) -> tuple[str, bool]:
    """What a server says it is, and whether that is MongoDB itself: never by the name of an image or a program."""
    with _client(url) as client:
        info = client.admin.command("buildInfo")
    if "ferretdbVersion" in info:
        return f"FerretDB {ferretdb_version()} (speaks MongoDB's wire protocol; not MongoDB)", False
    built_from_a_commit = re.fullmatch(r"[0-9a-f]{40}", str(info.get("gitVersion", "")))
    if built_from_a_commit and "wiredTiger" in info.get("storageEngines", []):
        return f"MongoDB {info['version']}", True
    return f"an unknown server that says version {info.get('version')} (not known to be MongoDB)", False


def drop_database(url: str, name: str) -> None:
    """Drop one database."""
    with _client(url) as client:
        client.drop_database(name)


def host_of(url: str) -> str:
    """Host and port of a URL, without user and password."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]


def ferretdb_version() -> str:
    """The version our small program embeds, read from its go.mod."""
    found = re.search(r"FerretDB/FerretDB v(\S+)", (FERRETDB_SOURCES / "go.mod").read_text(encoding="utf-8"))
    assert found, "go.mod names no version of FerretDB"
    return found.group(1)


def ferretdb_binary() -> Path:
    """The built program, from the cache or built now where Go is at hand (a first build takes about a minute).

    Raises Unavailable where there is no Go or the build fails, with the last line that Go printed.
    """
    sources = sorted([*FERRETDB_SOURCES.glob("*.go"), *FERRETDB_SOURCES.glob("go.*")])
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()}".encode())
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    binary = CACHE / "ferretdb" / digest.hexdigest()[:20] / "ferretdb"
    if not binary.exists():
        _build(binary)
    return binary


def _build(binary: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise Unavailable("no Go to build FerretDB with")
    binary.parent.mkdir(parents=True, exist_ok=True)
    # Built aside and moved, so that two runs at once never see half a program.
    with tempfile.TemporaryDirectory(dir=binary.parent) as aside:
        built = Path(aside) / "ferretdb"
        argv = [go, "build", "-tags", "ferretdb_no_postgresql", "-trimpath", "-ldflags=-s -w", "-o", str(built), "."]
        try:
            subprocess.run(
                argv,
                cwd=FERRETDB_SOURCES,
                env={**os.environ, "CGO_ENABLED": "0"},
                check=True,
                capture_output=True,
                text=True,
                timeout=scaled_s(BUILD_TIMEOUT_S),
            )
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["no message"])[-1]
            raise Unavailable(f"Go could not build FerretDB: {last}") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"Go needed more than {error.timeout:g} s to build FerretDB") from error
        built.replace(binary)


@contextlib.contextmanager
def _client(url: str) -> Any:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, serverSelectionTimeoutMS=PING_TIMEOUT_MS)
    try:
        yield client
    finally:
        client.close()
