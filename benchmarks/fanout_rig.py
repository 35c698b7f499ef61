"""The parts of benchmarks.fanout: what is built on demand, the servers beside each other, and the load client."""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from benchmarks.rig import JWT_KEYS, ROOT, TICKS_PER_S, Broker
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import new_id
from inkwire_contracts.events import ChunkProduced, encode_event
from tests.support.log import TIME, ScriptedWriter, make_job, open_log
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, ServiceProcess, guarded

HERE = Path(__file__).resolve().parent
OWNER = "bench"
GATEWAY = "inkwire"
FLOOR = "C send()"
GO = "Go gorilla"
CENTRIFUGO = "Centrifugo"
PYTHON_PEERS = {
    "websockets broadcast()": "websockets-broadcast",
    "websockets send()": "websockets-send",
    "FastAPI": "fastapi",
}
SERVER_CORE, CLIENT_CORE = 0, 1
MAX_CONNECTIONS = 20_000
ANSWER_TIMEOUT_S = 120.0
POSTS_AT_ONCE = 50
SETTLED_S = 0.02
"""Processor time of a fifth of a second in which a process does nothing to speak of."""

TEXT = "Ink is a word on paper ~@stamp@~ "
SEQ, START, END, STAMP, POST = (bytes((code,)) for code in range(1, 6))
"""What the load client puts its figures in for."""


class Missing(Exception):
    """A tool of this machine that is not there."""


# -- what is sent ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Template:
    """The bytes of a chunk event, with a code for each figure that differs."""

    event: bytes
    envelope: bytes
    """The event as the native dialect sends it: what every other server is given, so that all send the same bytes."""
    chunk_chars: int


def template() -> Template:
    """A chunk as the log has it, made by the log's own encoder."""
    data = {"section": "s1", "start": 0, "end": len(TEXT), "text": TEXT}
    made = ChunkProduced.model_validate(
        {"post": new_id(), "owner": OWNER, "run": 1, "attempt": 1, "seq": 1, "time": TIME, "data": data}
    )
    fields = json.loads(encode_event(made))
    fields.update(post="@post@", seq="@seq@")
    fields["data"].update(start="@start@", end="@end@")
    event = json.dumps(fields, separators=(",", ":")).encode()
    for name, code in ((b'"@seq@"', SEQ), (b'"@start@"', START), (b'"@end@"', END), (b"@stamp@", STAMP)):
        event = event.replace(name, code)
    event = event.replace(b"@post@", POST)
    head = b'{"type":"event","channel":"post:' + POST + b'","name":"chunk.produced","event":'
    return Template(event, head + event + b"}", len(TEXT) - len("@stamp@") + 16)


async def write_posts(nats_url: str, count: int) -> tuple[list[str], int]:
    """Posts with an open section in the log; returns them and their newest ``seq``, the same for all."""
    room = asyncio.Semaphore(POSTS_AT_ONCE)
    async with open_log(nats_url) as log:

        async def write() -> tuple[str, int]:
            async with room:
                writer = await ScriptedWriter.begin(log, make_job(OWNER))
                await writer.open("s1", title="Ink")
                return writer.job.post, writer.snapshot.seq

        written = await asyncio.gather(*(write() for _ in range(count)))
    (seq,) = {seq for _, seq in written}
    return [post for post, _ in written], seq


# -- what is built -----------------------------------------------------------------------------------------------------


def compile_c(source: str, folder: Path) -> Path:
    """A program of this folder.

    Raises:
        Missing: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        raise Missing(f"{source} needs Linux and a C compiler (cc, gcc or clang)")
    program = folder / source.removesuffix(".c")
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), str(HERE / source)], check=True)
    return program


def compile_go(folder: Path, name: str, source: str, package: str = ".") -> Path:
    """A program that a Go module of this folder is, or that it names.

    Raises:
        Missing: there is no Go, or a module cannot be had.
    """
    go = shutil.which("go")
    if go is None:
        raise Missing(f"{name} needs the Go tool-chain")
    program = folder / source
    argv = [go, "build", "-o", str(program), package]
    built = subprocess.run(argv, cwd=HERE / source, capture_output=True, text=True, check=False)
    if built.returncode:
        raise Missing(f"{name} could not be built: {built.stderr.strip()[-300:]}")
    return program


# -- what it costs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cpu:
    """Processor time, seconds."""

    total_s: float
    """By the scheduler's clock."""
    user_s: float
    system_s: float
    """These two by ticks."""

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.total_s - other.total_s, self.user_s - other.user_s, self.system_s - other.system_s)


def cpu_of(pid: int) -> Cpu:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    total_s = sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    return Cpu(total_s, int(fields[11]) / TICKS_PER_S, int(fields[12]) / TICKS_PER_S)


def resident_kib(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def pin(pid: int, core: int) -> None:
    """Keep a process, with all its threads, on one core."""
    if (os.cpu_count() or 1) > 1:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


# -- what runs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """One way to fan out, as a process."""

    name: str
    process: ManagedProcess
    port: int
    feed: tuple[str, str]
    """The load client's option for where its events go."""


@dataclass
class Stage:
    """Everything that runs for as long as the benchmark does."""

    folder: Path
    servers: list[Server]
    broker: Broker
    posts: list[str]
    first_seq: int
    client: Path
    template: Template

    @property
    def gateway(self) -> Server:
        """Ours."""
        return next(server for server in self.servers if server.name == GATEWAY)

    def write_files(self, posts: int) -> tuple[Path, Path, Path]:
        """Topics, and the templates for broker and peers."""
        topics, event, envelope = (self.folder / name for name in ("topics", "event", "envelope"))
        topics.write_text("".join(f"{post}\n" for post in self.posts[:posts]))
        event.write_bytes(self.template.event)
        envelope.write_bytes(self.template.envelope)
        return topics, event, envelope


@contextmanager
def staged(folder: Path, posts: int, only: Sequence[str]) -> Iterator[Stage]:
    """Broker, gateway and peers, for the length of a block. Call it from the main thread.

    Raises:
        Missing: the load client cannot be built.
    """
    client = compile_c("fanout_client.c", folder)
    with ExitStack() as stack:
        broker = Broker(folder / "nats", "always").start()
        stack.callback(broker.stop)
        pin(broker.process.pid, CLIENT_CORE)
        names, seq = asyncio.run(write_posts(broker.url, posts))
        servers = [_gateway(stack, folder, broker)]
        if not only or CENTRIFUGO in only:
            servers += _centrifugo(stack, folder, broker)
        for name, argv in _peers(folder).items():
            if not only or name in only:
                servers.append(_peer(stack, name, argv))
        for server in servers:
            pin(server.process.pid, SERVER_CORE)
        yield Stage(folder, servers, broker, names, seq + 1, client, template())


def _gateway(stack: ExitStack, folder: Path, broker: Broker) -> Server:
    port = free_port()
    environment = {
        "INKWIRE_NATS_URL": broker.url,
        "INKWIRE_STORE_URL": f"sqlite:///{folder / 'posts.sqlite3'}",
        "INKWIRE_JWT_KEYS": JWT_KEYS,
        "INKWIRE_LOG_LEVEL": "warning",
        "INKWIRE_GATEWAY_PORT": str(port),
        "INKWIRE_GATEWAY_MAX_CONNECTIONS": str(MAX_CONNECTIONS),
        "INKWIRE_GATEWAY_MAX_OWNER_CONNECTIONS": str(MAX_CONNECTIONS),
        # A round's events are not in the log: the next round begins where the log stands.
        "INKWIRE_GATEWAY_LINGER_S": "0",
    }
    url = f"http://127.0.0.1:{port}/readyz"
    process = ServiceProcess("gateway", env=environment, ready_url=url, cwd=ROOT)
    process.start()
    stack.callback(process.kill9)
    return Server(GATEWAY, process.wait_ready(), port, ("--nats-port", str(broker.port)))


def _centrifugo(stack: ExitStack, folder: Path, broker: Broker) -> list[Server]:
    """The whole server as its authors ship it: tokens, NATS, its limits; nothing where it cannot be built."""
    try:
        program = compile_go(folder, CENTRIFUGO, "fanout_centrifugo", "github.com/centrifugal/centrifugo/v5")
    except Missing as missing:
        print(f"left out: {missing}", flush=True)
        return []
    port = free_port()
    settings = {
        "address": "127.0.0.1",
        "port": str(port),
        "health": True,
        "log_level": "error",
        "token_hmac_secret_key": JWT_KEYS.partition(":")[2],
        "allow_subscribe_for_client": True,
        "broker": "nats",
        "nats_url": broker.url,
        # Its subscriptions are those of our gateway, and it hands on what is published there as it is.
        "nats_raw_mode": {"enabled": True, "prefix": f"live.posts.{OWNER}."},
    }
    config = folder / "centrifugo.json"
    config.write_text(json.dumps(settings))
    argv, url = [str(program), "--config", str(config)], f"http://127.0.0.1:{port}/health"
    process = ServiceProcess(CENTRIFUGO, env={"GOMAXPROCS": "1"}, ready_url=url, argv=argv, cwd=folder)
    process.start()
    stack.callback(process.kill9)
    return [Server(CENTRIFUGO, process.wait_ready(), port, ("--nats-port", str(broker.port)))]


def _peers(folder: Path) -> dict[str, list[str]]:
    found = {FLOOR: [str(compile_c("fanout_floor.c", folder))]}
    try:
        found[GO] = [str(compile_go(folder, GO, "fanout_go"))]
    except Missing as missing:
        print(f"left out: {missing}", flush=True)
    for name, kind in PYTHON_PEERS.items():
        found[name] = [sys.executable, "-m", "benchmarks.fanout_peers", kind]
    return found


def _peer(stack: ExitStack, name: str, argv: list[str]) -> Server:
    port, ingest = free_port(), free_port()
    process = ManagedProcess(name, [*argv, str(port), str(ingest)], env={"GOMAXPROCS": "1"}, cwd=ROOT).start()
    stack.callback(process.kill9)
    process.wait_line("^ready$")
    return Server(name, process, port, ("--ingest-port", str(ingest)))


class LoadClient:
    """The program that reads and publishes; one for each round, ended with it."""

    def __init__(self, stage: Stage, server: Server, posts: int) -> None:
        topics, event, envelope = stage.write_files(posts)
        ours = server.name == GATEWAY
        token = KeyRing.parse(JWT_KEYS, "inkwire").mint(OWNER, now=datetime.now(UTC), lifetime_s=3_600, jti=new_id())
        options = {
            "--port": str(server.port),
            server.feed[0]: server.feed[1],
            "--topics": str(topics),
            "--template": str(event if ours or server.name == CENTRIFUGO else envelope),
            "--owner": OWNER,
            "--first-seq": str(stage.first_seq if ours else 1),
            "--chunk-chars": str(stage.template.chunk_chars),
        }
        if server.name == CENTRIFUGO:
            options["--centrifugo"] = json.dumps({"id": 1, "connect": {"token": token}})
        if ours:
            options["--header"] = f"Authorization: Bearer {token}"
        argv = [str(stage.client), *(part for option in options.items() for part in option)]
        self._process = subprocess.Popen(
            guarded(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT
        )
        pin(self._process.pid, CLIENT_CORE)

    def ask(self, command: str) -> dict[str, Any]:
        """One command and its answer.

        Raises:
            RuntimeError: a delivery was wrong or missing, or the client had to give up; it has said why.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load client ended with {self._process.wait(ANSWER_TIMEOUT_S)} at: {command}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()


def settle(pid: int, *, at_most_s: float = 5.0) -> None:
    """Wait until a process has nothing to do: readers of the round before are gone."""
    end_s = time.monotonic() + at_most_s
    before = cpu_of(pid).total_s
    while time.monotonic() < end_s:
        time.sleep(0.2)
        after = cpu_of(pid).total_s
        if after - before <= SETTLED_S:
            return
        before = after


def median(values: Sequence[float]) -> float:
    """The middle; 0 where there is none."""
    return statistics.median(values) if values else 0.0
