"""A group of gateways behind one port: spread, killed, drained, and nobody left behind."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from inkwire_chassis.machine import SHARES_PORTS
from inkwire_contracts.fold import document
from inkwire_contracts.topology import EVENTS
from tests.integration.gateway_support import (
    SECRET,
    Author,
    Reader,
    close_code,
    event_log,
    gateway_process,
    reader,
    token,
)
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, http_status, process_exists
from tests.support.wait import eventually

pytestmark = [
    pytest.mark.nats,
    pytest.mark.skipif(not SHARES_PORTS, reason="the kernel spreads connections on Linux only"),
]

Keep = Callable[[ManagedProcess], ManagedProcess]
MOST_READERS = 64
"""So many all end up at one of two workers once in 2^63 runs."""


def pids(process: ManagedProcess) -> dict[int, int]:
    """The last process of each worker, as the parent's log tells."""
    found = re.findall(r'"number": (\d+), "pid": (\d+)', process.log)
    return {int(number): int(pid) for number, pid in found}


def readies(process: ManagedProcess) -> int:
    """How often a worker has become ready."""
    return sum('"event": "ready"' in line for line in process.lines)


def served_by(port: int, client: Reader) -> int:
    """The process that holds the other end of a connection, as the kernel tells."""
    own = client.socket.local_address[1]
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        cells = line.split()
        if cells[1].endswith(f":{port:04X}") and cells[2].endswith(f":{own:04X}"):
            inode = f"socket:[{cells[9]}]"
    assert inode, "the connection is there"
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and any(os.readlink(fd) == inode for fd in (entry / "fd").iterdir()):
                return int(entry.name)
        except OSError:  # gone meanwhile, or somebody else's
            continue
    raise LookupError(own)


@asynccontextmanager
async def group(keep: Keep, folder: Path, nats_url: str, **changes: str) -> AsyncIterator[tuple[ManagedProcess, int]]:
    """Two workers that are ready, and their port."""
    port = free_port(in_a_row=2)
    values = {"INKWIRE_NATS_URL": nats_url, "INKWIRE_GATEWAY_WORKERS": "2", "INKWIRE_STOP_TIMEOUT_S": "20", **changes}
    process = keep(gateway_process(folder, port, **values)).start()
    await eventually(lambda: "all workers are ready" in process.log, what="the group is ready", timeout_s=30)
    yield process, port


async def one_reader_each(stack: AsyncExitStack, port: int) -> dict[int, Reader]:
    """Readers at both workers, by the worker's process."""
    found: dict[int, Reader] = {}
    for _ in range(MOST_READERS):
        client = await stack.enter_async_context(reader(port, token()))
        found.setdefault(served_by(port, client), client)
        if len(found) == 2:
            return found
    raise AssertionError(f"all {MOST_READERS} readers are at one worker")


async def write(author: Author, section: str) -> None:
    """A section of some chunks."""
    await author.open_section(section)
    for n in range(20):
        await author.chunk(f"{section} {n} é ")
    await author.complete()


async def lost(client: Reader) -> bool:
    """Whether its connection has broken, once it has."""
    await close_code(client)
    return True


async def follow_on(client: Reader, before: Reader, author: Author) -> None:
    """Go on where another connection of the same reader ended."""
    client.snapshots, client.positions = before.snapshots, before.positions
    await client.follow(author.channel, position=before.positions[author.channel])


async def test_a_killed_worker_comes_back_and_its_readers_lose_nothing(
    nats_url: str, tmp_path: Path, keep: Keep
) -> None:
    """One port, two processes: readers of the killed one resume by position at the other, the others notice nothing."""
    async with event_log(nats_url) as log, AsyncExitStack() as stack:
        process, port = await stack.enter_async_context(group(keep, tmp_path, nats_url))
        readers = await one_reader_each(stack, port)
        workers = pids(process)
        assert set(readers) == set(workers.values()), "the parent serves nobody"
        author = Author(log)
        await author.begin("a", "b", "c")
        for client in readers.values():
            await client.follow(author.channel)
        await write(author, "a")
        victim = workers[1]
        os.kill(victim, signal.SIGKILL)
        assert await lost(readers[victim])
        await write(author, "b")
        await eventually(lambda: readies(process) == 3, what="worker 1 is back", timeout_s=30)
        assert pids(process)[2] == workers[2], "the other one was left alone"
        again = await stack.enter_async_context(reader(port, token()))
        await follow_on(again, readers[victim], author)
        await write(author, "c")
        await author.publish()
        for client in (again, readers[workers[2]]):
            end = await client.read_to_end(author.channel)
            assert document(end) == author.text and client.exact
        numbers = {int(n) for n in re.findall(r'"worker": (\d+)', process.log)}
        assert numbers == {1, 2}, "each line of a worker tells its number"


async def test_a_worker_that_cannot_start_again_takes_nobody_along(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Without streams it cannot serve; the other one keeps its readers, and it is tried until it can."""
    async with AsyncExitStack() as stack:
        async with event_log(nats_url) as log:
            changes = {"INKWIRE_GATEWAY_PROVISION_TIMEOUT_S": "0.1"}
            process, port = await stack.enter_async_context(group(keep, tmp_path, nats_url, **changes))
            readers, workers = await one_reader_each(stack, port), pids(process)
            await log.jetstream.api(f"STREAM.DELETE.{EVENTS}")
            os.kill(workers[1], signal.SIGKILL)
            await eventually(lambda: "worker cannot start" in process.log, what="a try", timeout_s=30)
        async with event_log(nats_url) as log:  # makes the streams anew
            await eventually(lambda: readies(process) == 3, what="worker 1 is back", timeout_s=30)
            assert pids(process)[2] == workers[2] and process_exists(workers[2]), "the other one was left alone"
            author = Author(log)
            await author.begin("a")
            await write(author, "a")
            await author.publish()
            client = readers[workers[2]]
            await client.follow(author.channel)
            end = await client.read_to_end(author.channel)
            assert document(end) == author.text and client.exact


async def test_a_signal_drains_all_workers(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """SIGTERM to the parent moves the readers of both on with 4200, ends with 0 and leaves nobody behind."""
    async with event_log(nats_url), AsyncExitStack() as stack:
        process, port = await stack.enter_async_context(group(keep, tmp_path, nats_url))
        readers = await one_reader_each(stack, port)
        ended = asyncio.create_task(asyncio.to_thread(process.term))
        codes = [await close_code(client) for client in readers.values()]
        assert codes == [4200, 4200]
        assert await ended == 0
        assert not any(process_exists(pid) for pid in pids(process).values())
        assert "Traceback" not in process.log and "killing" not in process.log


async def test_a_second_signal_ends_them_at_once(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Who asks twice does not wait for workers that take their time; these here have stopped for good."""
    async with event_log(nats_url), AsyncExitStack() as stack:
        process, _ = await stack.enter_async_context(group(keep, tmp_path, nats_url, INKWIRE_STOP_TIMEOUT_S="300"))
        workers = pids(process)
        for pid in workers.values():
            os.kill(pid, signal.SIGSTOP)
        os.kill(process.pid, signal.SIGTERM)
        await eventually(lambda: '"event": "stopping"' in process.log, what="the first is heard")
        os.kill(process.pid, signal.SIGTERM)
        await eventually(lambda: not process.running, what="the group has ended")
        assert process.returncode == 0 and "asked twice" in process.log
        assert not any(process_exists(pid) for pid in workers.values())


async def test_a_worker_that_does_not_stop_is_killed_at_the_deadline(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """It holds nobody up for longer than that; the others have ended in order."""
    times = {"DRAIN_S": "0.3", "CLOSE_TIMEOUT_S": "0.3"}
    changes = {"INKWIRE_STOP_TIMEOUT_S": "5", **{f"INKWIRE_GATEWAY_{name}": time for name, time in times.items()}}
    async with event_log(nats_url), AsyncExitStack() as stack:
        process, _ = await stack.enter_async_context(group(keep, tmp_path, nats_url, **changes))
        workers = pids(process)
        os.kill(workers[2], signal.SIGSTOP)
        assert await asyncio.to_thread(process.term) == 0
        assert '"workers": [2]' in process.log and "did not stop in time" in process.log
        assert not any(process_exists(pid) for pid in workers.values())


async def test_a_killed_parent_leaves_nobody_behind(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """After SIGKILL of the parent its workers end too, and the port is free for the next group."""
    async with event_log(nats_url), AsyncExitStack() as stack:
        process, port = await stack.enter_async_context(group(keep, tmp_path, nats_url))
        workers = pids(process)
        process.kill9()
        await eventually(
            lambda: not any(process_exists(pid) for pid in workers.values()), what="the workers have ended"
        )
        socket.create_server(("127.0.0.1", port)).close()


async def test_on_ports_of_their_own(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Where a port cannot be shared worker n listens on port + n - 1; its admin port is its own in any case."""
    admin = free_port(in_a_row=2)
    ports = {"INKWIRE_GATEWAY_WORKER_PORTS": "own", "INKWIRE_GATEWAY_ADMIN_PORT": str(admin)}
    async with event_log(nats_url), AsyncExitStack() as stack:
        process, port = await stack.enter_async_context(group(keep, tmp_path, nats_url, **ports))
        for worker in (1, 2):
            client = await stack.enter_async_context(reader(port + worker - 1, token()))
            assert served_by(port + worker - 1, client) == pids(process)[worker]
            status, _ = await asyncio.to_thread(http_status, f"http://127.0.0.1:{admin + worker - 1}/readyz")
            assert status == 200


@pytest.mark.parametrize(
    ("changes", "code", "names"),
    [
        ({"INKWIRE_GATEWAY_PING_INTERVAL_S": "0"}, 78, "INKWIRE_GATEWAY_PING_INTERVAL_S"),
        ({"INKWIRE_GATEWAY_WORKERS": "many"}, 78, "INKWIRE_GATEWAY_WORKERS"),
        ({"INKWIRE_GATEWAY_PORT": "65535", "INKWIRE_GATEWAY_WORKER_PORTS": "own"}, 78, "INKWIRE_GATEWAY_PORT"),
        ({"INKWIRE_GATEWAY_ADMIN_PORT": "65535"}, 78, "INKWIRE_GATEWAY_ADMIN_PORT"),
        ({"INKWIRE_GATEWAY_HOST": "192.0.2.1"}, 69, "192.0.2.1"),
    ],
    ids=["of_a_worker", "number", "ports", "admin_ports", "address"],
)
async def test_a_wrong_setting_is_one_line(
    tmp_path: Path, keep: Keep, changes: dict[str, str], code: int, names: str
) -> None:
    """It ends the group before a worker is started."""
    process = keep(gateway_process(tmp_path, free_port(), **{"INKWIRE_GATEWAY_WORKERS": "2", **changes})).start()
    await eventually(lambda: not process.running, what="the gateway has ended")
    assert process.returncode == code
    assert len(process.lines) == 1 and names in process.lines[0]
    assert SECRET not in process.log


async def test_a_port_of_somebody_else_is_refused(tmp_path: Path, keep: Keep) -> None:
    """Also where he would share it: readers would be spread over what does not belong together."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        process = keep(gateway_process(tmp_path, port, INKWIRE_GATEWAY_WORKERS="2")).start()
        await eventually(lambda: not process.running, what="the gateway has ended")
    assert process.returncode == 69
    assert len(process.lines) == 1 and str(port) in process.lines[0]


async def test_workers_that_cannot_work_with_the_broker_end_the_group(
    nats_url: str, tmp_path: Path, keep: Keep
) -> None:
    """What only workers find out ends the group as well, with the same exit code: here nobody has made the streams."""
    values = {"INKWIRE_NATS_URL": nats_url, "INKWIRE_GATEWAY_PROVISION_TIMEOUT_S": "0.1"}
    process = keep(gateway_process(tmp_path, free_port(), INKWIRE_GATEWAY_WORKERS="2", **values)).start()
    await eventually(lambda: not process.running, what="the group has ended", timeout_s=30)
    assert process.returncode == 78
    assert "giving up" in process.log and "inkwire provision" in process.log and "Traceback" not in process.log


async def test_one_worker_that_cannot_start_ends_the_group(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Half a group is none: the port of worker 2 is taken, so worker 1 is stopped, too."""
    async with event_log(nats_url):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = int(taken.getsockname()[1])
            values = {"INKWIRE_GATEWAY_WORKERS": "2", "INKWIRE_GATEWAY_WORKER_PORTS": "own"}
            process = keep(gateway_process(tmp_path, port - 1, INKWIRE_NATS_URL=nats_url, **values)).start()
            await eventually(lambda: not process.running, what="the group has ended", timeout_s=30)
    assert process.returncode == 69
    assert not any(process_exists(pid) for pid in pids(process).values())


def test_the_number_on_the_command_line_wins_and_is_checked(tmp_path: Path, keep: Keep) -> None:
    """A number that is none is refused with what to give instead; --help tells of workers."""
    for argument, code, word in (("0.5", 2, "or auto"), ("257", 2, "256"), ("--help", 0, "SIGTERM")):
        arguments = [argument] if argument == "--help" else ["--workers", argument]
        process = keep(ManagedProcess("gateway", [sys.executable, "-m", "inkwire_gateway.main", *arguments])).start()
        assert process._process is not None
        assert process._process.wait(30) == code
        process._join_reader()
        assert word in process.log


async def test_any_worker_answers_for_the_port(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """Readiness on the shared port goes on while one of them is stopped."""
    async with event_log(nats_url), AsyncExitStack() as stack:
        process, port = await stack.enter_async_context(group(keep, tmp_path, nats_url))
        os.kill(pids(process)[1], signal.SIGKILL)

        async def answered() -> bool:
            status, _ = await asyncio.to_thread(http_status, f"http://127.0.0.1:{port}/readyz")
            return status == 200

        await eventually(answered, what="the other one answers")
