"""What readers on thin lines cost the others: one post, 1,000 readers, with and without 100 of them at 1 KB/s.

    python -m benchmarks.slow_readers [--rounds 3] [--seconds 10] [--events-per-s 60]

The whole gateway and a real broker. Linux with a C compiler. benchmarks/README.md tells the method.
"""

import argparse
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks import rig as rigs
from benchmarks.fanout_rig import (
    CLIENT_CORE,
    GATEWAY,
    OWNER,
    LoadClient,
    Missing,
    Stage,
    median,
    pin,
    resident_kib,
    settle,
    staged,
)
from inkwire.following import PostFold
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import new_id
from inkwire_contracts.client_frames import SERVER_FRAME
from inkwire_contracts.fold import digest, document

SLOW_BYTES_PER_S = 1_024
TICK_S = 0.25
RECEIVE_BUFFER_BYTES = 4_096
"""Of a slow reader's socket: what it does not read stays with the server, not in its own kernel."""

DRAIN_S = 30.0
SAMPLE_S = 0.1
PONG = b"\x8a\x80\0\0\0\0"


class Line:
    """One reader's connection, by its bytes. Nothing is read before :meth:`read`, or understood before :meth:`fold_up`:
    that is the reader's own work, which here would stand on the core of those who are timed."""

    def __init__(self, port: int, post: str, token: str, receive_buffer_bytes: int = 0) -> None:
        self.fold = PostFold(post)
        self.snapshots = 0
        self._texts: list[bytes] = []
        self._rest = b""
        self._shaken = False
        self._socket = socket.socket()
        if receive_buffer_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        ask = f'{{"type":"subscribe","channel":"post:{post}"}}'.encode()
        self._socket.sendall(bytes((0x81, 0x80 | len(ask))) + bytes(4) + ask)
        self._socket.setblocking(False)

    def fold_up(self) -> int:
        """How far it has read, 0 before its first text is complete.

        Raises:
            OutOfStep: what came has a gap.
        """
        for text in self._texts:
            frame = SERVER_FRAME.validate_json(text)
            self.snapshots += frame.type == "snapshot"
            self.fold.receive(frame)
        self._texts.clear()
        return self.fold.snapshot.seq if self.fold.epoch is not None else 0

    def read(self, most_bytes: int) -> int:
        """Take so much of what has come; returns how much that was.

        Raises:
            ConnectionError: the server has closed it.
        """
        try:
            data = self._socket.recv(most_bytes)
        except BlockingIOError:
            return 0
        if not data:
            raise ConnectionError("the server ended the connection")
        self._rest += data
        if not self._shaken and b"\r\n\r\n" in self._rest:
            head, _, self._rest = self._rest.partition(b"\r\n\r\n")
            if b" 101 " not in head.partition(b"\r\n")[0] + b" ":
                raise ConnectionError(head.decode(errors="replace"))
            self._shaken = True
        if self._shaken:
            self._take_frames()
        return len(data)

    def _take_frames(self) -> None:
        while (found := _frame(self._rest)) is not None:
            opcode, payload, end = found
            self._rest = self._rest[end:]
            if opcode == 9:
                self._socket.send(PONG)
            elif opcode == 8:
                raise ConnectionError(f"closed with {int.from_bytes(payload[:2], 'big')}")
            else:
                self._texts.append(payload)

    def close(self) -> None:
        """Go away."""
        self._socket.close()


def _frame(data: bytes) -> tuple[int, bytes, int] | None:
    """The first frame of a server's bytes: opcode, payload, and where the next begins."""
    if len(data) < 2:
        return None
    length, head = data[1] & 127, 2
    if length >= 126:
        head = 4 if length == 126 else 10
        length = int.from_bytes(data[2:head], "big")
    if len(data) < head + length:
        return None
    return data[0] & 15, data[head : head + length], head + length


@dataclass
class SlowCrowd:
    """Readers at 1 KB/s, and one that keeps up, as whose text theirs must end; in a thread of their own."""

    port: int
    post: str
    count: int
    seq: int = 0
    """Where all are to end; known once everything is sent."""
    lines: list[Line] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)
    """How many events each was behind when the load stopped."""
    error: Exception | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect all, and wait until they follow the post."""
        token = KeyRing.parse(rigs.JWT_KEYS, "inkwire").mint(
            OWNER, now=datetime.now(UTC), lifetime_s=3_600, jti=new_id()
        )
        self.lines = [Line(self.port, self.post, token)]
        self.lines += [Line(self.port, self.post, token, RECEIVE_BUFFER_BYTES) for _ in range(self.count)]
        self._drain(lambda line: line.fold_up() > 0, "to follow the post")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        fast, *slow = self.lines
        try:
            for line in cycle(slow):  # one after the other over the tick: thin lines are not in step
                if self._stop.wait(TICK_S / len(slow)):
                    return
                line.read(int(SLOW_BYTES_PER_S * TICK_S))
                fast.read(1 << 16)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the thread
            self.error = error

    def finish(self, events: int) -> None:
        """Stop being slow: read to the end, which is so many events after the beginning, and compare.

        Raises:
            AssertionError: one has another text than the one that kept up, or never gets there.
            ConnectionError, OutOfStep: one was closed, or saw a gap.
        """
        assert self._thread is not None
        self._stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error
        self.seq += events
        self.behind = [self.seq - line.fold_up() for line in self.lines[1:]]
        self._drain(lambda line: line.fold_up() >= self.seq, "to have read everything")
        first, *others = (digest(document(line.fold.snapshot)) for line in self.lines)
        assert all(other == first for other in others), "a slow reader ends with another text"
        self.close()

    def _drain(self, done: Any, what: str) -> None:
        end_s = time.monotonic() + DRAIN_S
        while not all(map(done, self.lines)):
            assert time.monotonic() < end_s, f"a slow reader took too long {what}"
            if not sum(line.read(1 << 16) for line in self.lines):
                time.sleep(0.001)
        self.seq = self.seq or self.lines[0].fold_up()

    def close(self) -> None:
        """All go away."""
        self._stop.set()
        for line in self.lines:
            line.close()


class Watch:
    """A process's resident memory while something happens, in KiB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.seen = [resident_kib(pid)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.seen.append(resident_kib(self._pid))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """For the length of a block."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self.seen.append(resident_kib(self._pid))


@dataclass(frozen=True)
class Turn:
    """The fast readers' time, beside slow ones or not."""

    slow: int
    p50_ms: float
    p99_ms: float
    late_ms: float
    lost: int
    memory_kib: tuple[int, int, int]
    """At the start, at most, at the end."""
    behind: int = 0
    """Events that the slow readers were behind in the middle, when the load stopped."""
    snapshots: int = 0


def turn(stage: Stage, given: argparse.Namespace, slow: int) -> Turn:
    """One load on a post that nobody follows yet; the readers who are not slow are as many each time."""
    pid = stage.gateway.process.pid
    settle(pid)
    crowd = SlowCrowd(stage.gateway.port, stage.posts[0], slow) if slow else None
    watch = Watch(pid)
    try:
        if crowd is not None:
            crowd.start()
        with LoadClient(stage, stage.gateway, 1) as client, watch.watching():
            client.ask(f"connect {given.readers - given.slow}")
            client.ask("subscribe")
            settle(pid)
            warm_up = given.events_per_s
            client.ask(f"send {warm_up} {given.events_per_s} {DRAIN_S} 10000000")
            events = round(given.events_per_s * given.seconds)
            told = client.ask(f"send {events} {given.events_per_s} {DRAIN_S} {10_000_000 + warm_up}")
            if crowd is not None:
                crowd.finish(warm_up + events)
    finally:
        if crowd is not None:
            crowd.close()
    stage.gateway.process.assert_running()
    return Turn(
        slow,
        told["p50_ms"],
        told["p99_ms"],
        told["late_ms"],
        told["expected"] - told["deliveries"],
        (watch.seen[0], max(watch.seen), watch.seen[-1]),
        round(median(crowd.behind)) if crowd else 0,
        sum(line.snapshots for line in crowd.lines[1:]) - slow if crowd else 0,
    )


def _show(found: Turn) -> None:
    start, most, end = (kib / 1024 for kib in found.memory_kib)
    told = f"  {found.behind} events behind at the end, {found.snapshots} snapshots more" if found.slow else ""
    print(
        f"{found.slow:>4} slow: p50 {found.p50_ms:6.2f} p99 {found.p99_ms:6.2f} ms  lost {found.lost}"
        f"  memory {start:.1f}, at most {most:.1f}, then {end:.1f} MiB  late {found.late_ms:.0f} ms{told}",
        flush=True,
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="of both; medians count (default 4)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load (default 10)")
    parser.add_argument("--readers", type=int, default=1_000, help="in all (default 1,000)")
    parser.add_argument("--slow", type=int, default=100, help="of them, at 1 KB/s (default 100)")
    parser.add_argument("--events-per-s", type=int, default=60, help="of the post (default 60)")
    return parser.parse_args()


def _summarise(rounds: list[tuple[Turn, Turn]], given: argparse.Namespace) -> None:
    """A Markdown table: medians of rounds, and of ratios made within a round."""
    print(f"\n| {given.readers - given.slow} readers | p50 ms | p99 ms | gateway's memory, MiB: start, most, end |")
    print("|---|---|---|---|")
    for which, name in enumerate(("by themselves", f"beside {given.slow} at 1 KB/s")):
        turns = [both[which] for both in rounds]
        memory = ", ".join(f"{median([t.memory_kib[at] for t in turns]) / 1024:.1f}" for at in range(3))
        print(f"| {name} | {median([t.p50_ms for t in turns]):.2f} | {median([t.p99_ms for t in turns]):.2f}"
              f" | {memory} |")  # fmt: skip
    for what in ("p50_ms", "p99_ms"):
        ratios = [getattr(beside, what) / getattr(alone, what) for alone, beside in rounds]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"\n{what.removesuffix('_ms')} beside slow readers: **{median(ratios):.2f}** times ({each})", flush=True)


def main() -> int:
    """Run; the exit status is 1 if a delivery was lost (a slow reader that is not exact ends the run)."""
    given = arguments()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    rounds: list[tuple[Turn, Turn]] = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="inkwire-bench-") as folder,
            staged(Path(folder), 1, [GATEWAY]) as stage,
        ):
            pin(os.getpid(), CLIENT_CORE)
            turn(stage, given, 0)  # to warm up
            for number in range(given.rounds):
                order = (0, given.slow) if number % 2 == 0 else (given.slow, 0)
                found = {}
                for slow in order:
                    found[slow] = turn(stage, given, slow)
                    _show(found[slow])
                rounds.append((found[0], found[given.slow]))
    except Missing as missing:
        print(f"not measured: {missing}")
        return 0
    _summarise(rounds, given)
    return int(any(each.lost for both in rounds for each in both))


if __name__ == "__main__":
    sys.exit(main())
