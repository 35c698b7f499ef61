"""Three nats-servers with JetStream as one cluster of processes: killed, stopped, frozen and cut apart one by one.

Where a test asks for it, the routes between the servers go through relays of this module: then it can take a server off
the others' network while its clients still reach it.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from tests.support.nats_server import NatsServer
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import ManagedProcess, http_status
from tests.support.wait import eventually_sync

ELECTION_TIMEOUT_S: Final = 30.0
"""An election takes 4 to 9 s, and a vote may be split."""

_NODES: Final = 3
_RELAY_BYTES: Final = 65_536


class NatsCluster:
    """Three servers, named n1, n2 and n3, each with a folder, ports and a life of its own.

    Args:
        folder: takes data and configuration.
        extra_config: added to each configuration file as it is.
        relayed: routes can be cut, see `isolate`.
    """

    def __init__(self, folder: Path, *, extra_config: str = "", relayed: bool = False) -> None:
        cluster_ports = [free_port() for _ in range(_NODES)]
        pairs = [(a, b) for a in range(_NODES) for b in range(_NODES) if a != b] if relayed else []
        self._relays = {(a, b): Relay(cluster_ports[b]) for a, b in pairs}
        self.nodes = [
            NatsServer(
                folder / f"n{index + 1}",
                name=f"n{index + 1}",
                port=free_port(),
                monitoring_port=free_port(),
                extra_config=self._cluster_config(index, cluster_ports) + extra_config,
            )
            for index in range(_NODES)
        ]

    def _cluster_config(self, index: int, ports: Sequence[int]) -> str:
        # Clients would learn of servers without the user that they need there (no_advertise), and servers of each
        # other's own ports, around the relays: so they tell each other a port that nobody listens on.
        relays = {other: self._relays.get((index, other)) for other in range(_NODES) if other != index}
        reached = [ports[other] if relay is None else relay.port for other, relay in relays.items()]
        routes = [f"nats://{LOOPBACK}:{port}" for port in reached]
        away = f'advertise: "{LOOPBACK}:{free_port()}", ' if self._relays else ""
        return (
            f"cluster {{ name: inkwire, {away}"
            f"listen: {LOOPBACK}:{ports[index]}, routes: {json.dumps(routes)}, "
            f"no_advertise: true, pool_size: -1, connect_retries: 1000000 }}\n"
        )

    @property
    def url(self) -> str:
        """All servers, as INKWIRE_NATS_URL takes them."""
        return self.url_for()

    def url_for(self, user: str = "", password: str = "", *, first: NatsServer | None = None) -> str:
        """All servers with a user; `first` is tried first."""
        login = f"{user}:{password}@" if user else ""
        ordered = sorted(self.nodes, key=lambda node: node is not first)
        return ",".join(f"nats://{login}{LOOPBACK}:{node.port}" for node in ordered)

    @property
    def processes(self) -> list[ManagedProcess]:
        """Of all servers."""
        return [node.process for node in self.nodes]

    def node(self, name: str) -> NatsServer:
        """A server by its name."""
        return next(node for node in self.nodes if node.name == name)

    def others(self, *nodes: NatsServer) -> list[NatsServer]:
        """All but these."""
        return [node for node in self.nodes if node not in nodes]

    # -- life --------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start all and wait until JetStream has a leader and every server is healthy."""
        for relay in self._relays.values():
            relay.open()
        for node in self.nodes:
            node.start_process()
        self.wait_healthy()
        eventually_sync(self._is_complete, what="the servers know each other", timeout_s=ELECTION_TIMEOUT_S)
        return self

    def _is_complete(self) -> bool:
        """Whether JetStream's leader has heard of all: before, it finds no place for three copies."""
        known = self.meta_leader().monitor("jsz")["meta_cluster"].get("replicas", [])
        return len(known) == len(self.nodes) - 1 and not any(replica.get("offline") for replica in known)

    def wait_healthy(self, nodes: Iterable[NatsServer] | None = None) -> None:
        """Wait until these (all) servers say that they are whole: caught up in every stream and consumer."""
        for node in self.nodes if nodes is None else nodes:
            node.wait_healthy(timeout_s=ELECTION_TIMEOUT_S)

    def stop(self) -> None:
        """SIGTERM to all that run, then close the relays."""
        for node in self.nodes:
            node.stop()
        self._close_relays()

    def kill9(self) -> None:
        """SIGKILL to all that run, then close the relays."""
        for node in self.nodes:
            node.kill9()
        self._close_relays()

    def _close_relays(self) -> None:
        for relay in self._relays.values():
            relay.close()

    # -- leaders -----------------------------------------------------------------------------------------------

    def leader(self, stream: str, *, among: Sequence[NatsServer] | None = None) -> NatsServer:
        """The server that leads a stream now, as one of `among` (all that run) says; waits for an election."""

        def ask() -> NatsServer:
            asked = [node for node in (among or self.nodes) if node.process.running]
            for node in asked:
                named = _leader_of(node, stream)
                if named is not None and (among is None or self.node(named) in among):
                    return self.node(named)
            raise AssertionError(f"none of {[node.name for node in asked]} knows a leader of {stream}")

        return eventually_sync(ask, what=f"{stream} has a leader", timeout_s=ELECTION_TIMEOUT_S)

    def meta_leader(self) -> NatsServer:
        """The server that leads JetStream itself: without it nobody answers what is there; waits for an election."""

        def ask() -> NatsServer:
            answers = [node.monitor("jsz").get("meta_cluster", {}) for node in self.nodes if node.process.running]
            named = next((answer["leader"] for answer in answers if answer.get("leader")), None)
            assert named, "nobody leads"
            return self.node(named)

        return eventually_sync(ask, what="JetStream has a leader", timeout_s=ELECTION_TIMEOUT_S)

    # -- the network between them ------------------------------------------------------------------------------

    def isolate(self, node: NatsServer) -> None:
        """Cut all routes between a server and the others, in both directions. Its clients keep it."""
        assert self._relays, "only a relayed cluster can be cut apart"
        index = self.nodes.index(node)
        for pair, relay in self._relays.items():
            if index in pair:
                relay.cut()

    def heal(self) -> None:
        """Let all servers reach each other again."""
        for relay in self._relays.values():
            relay.mend()


def _leader_of(node: NatsServer, stream: str) -> str | None:
    """What a server believes; None where it does not know the stream, or nobody leads."""
    status, body = http_status(f"{node.monitoring_url}/jsz?streams=true&accounts=true", most_bytes=4_000_000)
    if status != 200:
        return None
    found: dict[str, Any] = json.loads(body)
    for account in found.get("account_details", []):
        for detail in account.get("stream_detail", []):
            if detail["name"] == stream:
                leader = detail.get("cluster", {}).get("leader")
                return str(leader) if leader else None
    return None


class Relay:
    """Carries TCP connections to one port, until it is cut: then they end, and new ones end at once."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._open = True
        self._listener: socket.socket | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()

    def open(self) -> None:
        """Listen; nothing happens if it does already."""
        if self._listener is not None:
            return
        self._listener = socket.create_server((LOOPBACK, self.port))
        self._spawn(self._accept, self._listener)

    def cut(self) -> None:
        """End what is there and let nothing through."""
        with self._lock:
            self._open = False
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                _shut(end)

    def mend(self) -> None:
        """Let new connections through."""
        with self._lock:
            self._open = True

    def close(self) -> None:
        """Cut, and stop listening."""
        self.cut()
        listener, self._listener = self._listener, None
        if listener is not None:
            _shut(listener)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                incoming, _ = listener.accept()
            except OSError:
                return  # closed
            outgoing = self._connect()
            if outgoing is None:
                incoming.close()
                continue
            with self._lock:
                admitted = self._open
                if admitted:
                    self._pairs.add((incoming, outgoing))
            if not admitted:
                incoming.close()
                outgoing.close()
                continue
            self._spawn(self._carry, incoming, outgoing, (incoming, outgoing))
            self._spawn(self._carry, outgoing, incoming, (incoming, outgoing))

    def _connect(self) -> socket.socket | None:
        if not self._open:
            return None
        try:
            return socket.create_connection((LOOPBACK, self._target_port), timeout=2)
        except OSError:
            return None

    def _carry(self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        source.settimeout(None)
        sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each acknowledgement waits 40 ms for the next
        with contextlib.suppress(OSError):
            while data := source.recv(_RELAY_BYTES):
                sink.sendall(data)
        for end in pair:
            _shut(end)
        with self._lock:
            # The second of the two directions to end closes both.
            if pair in self._pairs:
                self._pairs.discard(pair)
                return
        for end in pair:
            end.close()

    @staticmethod
    def _spawn(work: Any, *args: Any) -> None:
        threading.Thread(target=work, args=args, name="route relay", daemon=True).start()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
